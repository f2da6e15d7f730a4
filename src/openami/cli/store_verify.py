"""openami store verify: is every byte there, and if not, where else it is."""

import argparse
from collections.abc import Callable, Mapping, Set

from openami.blockstore import repair, verify
from openami.blockstore.cache import BaseCache
from openami.blockstore.guarded import GuardedStore, StillDoomed
from openami.blockstore.store import ChunkLost, ChunkStore, Kind, StoreFull
from openami.blockstore.verify import Named, Report, Wanted
from openami.catalog.catalog import Catalog
from openami.catalog.storage import losses
from openami.cli.command import open_catalog, open_stores, progress_to_stderr, volume_host
from openami.cli.failed import CommandFailed
from openami.domain.block import Digest
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.settings import Settings
from openami.workflows import region_stores
from openami.workflows.collect import Ledger

Needs = Callable[[], Wanted]
Mend = Callable[[ChunkStore, Report, Set[Root]], Mapping[Named, str]]


class _Noting(Ledger):
    """Remembers what was found to be lost here, so that it can be forgotten when it is back."""

    def __init__(self, catalog: Catalog, region: Region) -> None:
        super().__init__(catalog, region)
        self.met: set[Named] = set()

    def lost(self, named: Named) -> None:
        super().lost(named)
        self.met.add(named)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Say what was read and what is wrong with it, after a repair if that is asked for; 1 if
    anything is."""
    catalog = open_catalog(settings)
    host, bases = volume_host(settings), BaseCache(settings.state_dir / "cache")
    # What is written here is needed, but a collector may have begun to delete it before it was.
    own = open_stores(settings, catalog)
    ledgers = {region: _Noting(catalog, region) for region in own}
    stores = {region: GuardedStore(store, ledgers[region]) for region, store in own.items()}
    whole: list[bool] = []
    for region, store in stores.items():
        with catalog.read() as tx:
            known = losses.known(tx, region)

        def wanted(region: Region = region, store: ChunkStore = store) -> Wanted:
            return region_stores.wanted(catalog, host, region, store)

        report = _verified(region, store, wanted)
        if arguments.repair:
            others = {str(name): each for name, each in stores.items() if name != region}
            report = _repaired(region, store, wanted, report, _mending(others, bases))
        with catalog.begin() as tx:
            losses.forget(tx, region, (known | ledgers[region].met).difference(report.lost))
            losses.note(tx, region, report.lost)
        _tell(region, store, report)
        whole.append(report.intact)
    return 0 if all(whole) else 1


def _verified(region: Region, store: ChunkStore, wanted: Needs) -> Report:
    now, progress = wanted(), progress_to_stderr(f"verifying {region}")
    report = verify.verify(store, now.roots, progress, more_chunks=now.chunks)
    return verify.still_lost(store, report, wanted)


def _mending(others: Mapping[str, ChunkStore], bases: BaseCache) -> Mend:
    def mend(store: ChunkStore, report: Report, roots: Set[Root]) -> Mapping[Named, str]:
        found = repair.from_stores(store, report.lost, others)
        left = [each for each in report.lost if each not in found]
        here = {root: path for root in roots if (path := bases.path(root)).exists()}
        return {**found, **repair.from_bases(store, left, here)}

    return mend


def _repaired(
    region: Region, store: ChunkStore, wanted: Needs, report: Report, mend: Mend
) -> Report:
    """Until all is there, or no more is found: below a page that is back there may be more."""
    before: tuple[Named, ...] = ()
    try:
        while report.lost != before and (found := mend(store, report, wanted().roots)):
            before = report.lost
            for (kind, digest), source in found.items():
                print(f"{region}: repaired {kind} {digest.hex()} from {source}")
            report = _verified(region, store, wanted)
    except (StoreFull, StillDoomed, OSError) as failed:
        raise CommandFailed(f"the repair of {region} cannot go on: {failed}") from failed
    return report


def _tell(region: Region, store: ChunkStore, report: Report) -> None:
    for verdict, found in (("missing", report.missing), ("corrupt", report.corrupt)):
        for kind, digest in found:
            print(f"{region}: {verdict} {kind} {digest.hex()}")
    spare = sum(_stored_bytes(store, digest, kind) for kind, digest in report.orphans)
    print(
        f"{region}: {report.chunks} chunks and {report.pages} manifest pages verified,"
        f" {len(report.missing)} missing, {len(report.corrupt)} corrupt;"
        f" {len(report.orphans)} objects ({spare} bytes) belong to no snapshot or volume"
    )


def _stored_bytes(store: ChunkStore, digest: Digest, kind: Kind) -> int:
    try:
        return store.stored_bytes(digest, kind)
    except ChunkLost:
        return 0  # a server has collected it meanwhile
