"""Is every byte there that a disk relies on, and whose bytes are they?"""

from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from typing import Final

from openami.blockstore.manifest import Manifests
from openami.blockstore.parallel import Progress, Tally, for_each, no_progress
from openami.blockstore.store import ChunkCorrupt, ChunkLost, ChunkStore, Kind
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.manifest import Root

_THREADS: Final = 8
Named = tuple[Kind, Digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found. Corrupt objects are in quarantine when it is told.

    Orphans are objects that no given root needs: of running ingests, or garbage.
    """

    chunks: int
    pages: int
    missing: tuple[Named, ...]
    corrupt: tuple[Named, ...]
    orphans: tuple[Named, ...]

    @property
    def lost(self) -> tuple[Named, ...]:
        return self.missing + self.corrupt

    @property
    def intact(self) -> bool:
        return not self.lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a store must give: whole disks, and chunks that no disk has yet."""

    roots: Set[Root]
    chunks: Set[Digest] = frozenset()


def verify(
    store: ChunkStore,
    roots: Iterable[Root],
    progress: Progress = no_progress,
    *,
    more_chunks: Collection[Digest] = (),
) -> Report:
    """Read every object that `roots` need and compare it with its name; list those not needed.

    `more_chunks` are needed though no disk has them yet. What lies below a lost page is unknown,
    so it is counted among the orphans.
    """
    missing: list[Named] = []
    corrupt: list[Named] = []

    def note(lost: ChunkLost) -> None:
        (corrupt if isinstance(lost, ChunkCorrupt) else missing).append((lost.kind, lost.digest))

    live = _live(store, roots, note)
    chunks = live[Kind.CHUNK]
    chunks.update(more_chunks)
    tally = Tally(progress, len(chunks) * BLOCK_BYTES)

    def read(digest: Digest) -> None:
        try:
            store.get(digest)
        except ChunkLost as lost:
            note(lost)
        tally.add(BLOCK_BYTES)

    for_each(chunks, read, _THREADS)
    return Report(
        chunks=len(chunks),
        pages=len(live[Kind.PAGE]),
        missing=tuple(missing),
        corrupt=tuple(corrupt),
        orphans=tuple(_orphans(store, live)),
    )


def still_lost(store: ChunkStore, report: Report, relied_on: Callable[[], Wanted]) -> Report:
    """The report without what nobody relies on any more.

    While it was made disks may have been deleted, and a collector may have been there. What
    `relied_on` tells may change meanwhile, too: then it is looked at once more.
    """
    now, before = relied_on(), Wanted(roots=set())
    while not report.intact and now != before:
        wanted = needs(store, now.roots) | {(Kind.CHUNK, digest) for digest in now.chunks}
        report = replace(
            report,
            missing=tuple(each for each in report.missing if each in wanted),
            corrupt=tuple(each for each in report.corrupt if each in wanted),
        )
        now, before = relied_on(), now
    return report


def needs(store: ChunkStore, roots: Iterable[Root]) -> set[Named]:
    """What the disks need, be it there or not."""
    lost: set[Named] = set()
    live = _live(store, roots, lambda each: lost.add((each.kind, each.digest)))
    return lost | {(kind, digest) for kind in Kind for digest in live[kind]}


def chunks_only_of(store: ChunkStore, root: Root, others: Iterable[Root]) -> set[Digest]:
    """The chunks that the disk needs and none of `others` does.

    Raises ChunkLost if a manifest of any of them is not whole.
    """

    def refuse(lost: ChunkLost) -> None:
        raise lost

    kept = _live(store, others, refuse)[Kind.CHUNK]
    return _live(store, [root], refuse)[Kind.CHUNK] - kept


def _live(
    store: ChunkStore, roots: Iterable[Root], on_lost: Callable[[ChunkLost], None]
) -> dict[Kind, set[Digest]]:
    pages: set[Digest] = set()
    chunks: set[Digest] = set()
    manifests = Manifests(store)
    for root in roots:
        for entries in manifests.leaves(root, pages, on_lost):
            chunks.update(entries)
    return {Kind.CHUNK: chunks, Kind.PAGE: pages}


def _orphans(store: ChunkStore, live: dict[Kind, set[Digest]]) -> Iterator[Named]:
    for kind in Kind:
        for digest in store.digests(kind):
            if digest not in live[kind]:
                yield kind, digest
