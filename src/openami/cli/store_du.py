"""openami store du: whose bytes they are, and what deleting some of them would free."""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from openami.blockstore.accounting import freed_bytes, shares
from openami.blockstore.store import ChunkLost, ChunkStore
from openami.catalog.catalog import Catalog
from openami.catalog.storage import holdings
from openami.catalog.storage.holdings import Holdings
from openami.cli.command import open_catalog, open_stores
from openami.cli.failed import CommandFailed
from openami.domain.ids import Region, SnapshotId
from openami.domain.manifest import Root
from openami.settings import Settings

_ROW: Final = "{:<24} {:>16} {:>16}  {}"
_OTHERS: Final = "volumes and copies"

Holders = Mapping[str, Iterable[SnapshotId]]


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """A line per image and per snapshot; at the end what deleting the named ones would free."""
    catalog = open_catalog(settings)
    wanted: set[str] = set(arguments.ids)
    known: set[str] = set()
    freed = 0
    for region, store in open_stores(settings, catalog).items():
        held, lines, its_bytes = _told(catalog, region, store, wanted)
        known |= held.snapshots.keys() | held.images.keys()
        print(_ROW.format(region, "its own bytes", "shared bytes", ""), *lines, sep="\n")
        freed += its_bytes
    if wanted - known:
        raise CommandFailed(f"nothing is stored for {', '.join(sorted(wanted - known))}")
    if wanted:
        print(f"deleting {', '.join(sorted(wanted))} frees {freed} bytes")
    return 0


def _told(
    catalog: Catalog, region: Region, store: ChunkStore, wanted: set[str]
) -> tuple[Holdings, list[str], int]:
    """The region's lines, and what would be freed.

    What is deleted and collected while we read is no loss: we look again.
    """
    held: Holdings | None = None
    while True:
        before = held
        with catalog.read() as tx:
            held = holdings.of_region(tx, region)
        try:
            return held, [*_lines(store, held)], _freed(store, held, wanted)
        except ChunkLost as lost:
            if held == before:
                raise CommandFailed(
                    f"a disk is not whole: {lost}; see 'openami store verify'"
                ) from lost


def _lines(store: ChunkStore, held: Holdings) -> Iterator[str]:
    """Images against each other and against the snapshots that are of none; then snapshots."""
    of_images = {each for its in held.images.values() for each in its}
    alone: Holders = {each: [each] for each in held.snapshots if each not in of_images}
    yield from _shares(store, held, {**held.images}, alone)
    yield from _shares(store, held, {each: [each] for each in held.snapshots}, {})


def _shares(
    store: ChunkStore,
    held: Holdings,
    told: Holders,
    beside: Holders,
) -> Iterator[str]:
    names: Mapping[str, str] = {**held.names}
    holders = {
        holder: _roots(held.snapshots[each] for each in its)
        for holder, its in {**beside, **told}.items()
    }
    others = {**holders, _OTHERS: _roots(held.others)}
    found = shares(store, others, {_OTHERS: held.written})
    for holder in told:
        share = found[holder]
        yield _ROW.format(holder, share.own_bytes, share.shared_bytes, names.get(holder, ""))


def _freed(store: ChunkStore, held: Holdings, wanted: set[str]) -> int:
    """An image goes with its snapshots, but for those that an image which stays has, too."""
    users: dict[SnapshotId, set[str]] = {each: set() for each in held.snapshots}
    for image_id, its in held.images.items():
        for each in its:
            users[each].add(image_id)
    going = {
        each
        for each, its_images in users.items()
        if (its_images or each in wanted) and its_images <= wanted
    }
    staying = {root for each, root in held.snapshots.items() if each not in going}
    return freed_bytes(
        store,
        _roots(held.snapshots[each] for each in going),
        _roots(staying | held.others),
        held.written,
    )


def _roots(texts: Iterable[str]) -> set[Root]:
    return {Root.from_text(text) for text in texts}
