"""A store with an archive beside it: what archived snapshots alone need lies in a colder place.

Reading looks into both, so whoever relies on a chunk gets it, wherever it has been moved
meanwhile. All else is about the store itself: what was archived counts as not there, so an
ingest that needs it writes it again and does not depend on the archive.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from openami.blockstore.store import ChunkCorrupt, ChunkLost, ChunkStore, Kind, Writer
from openami.domain.block import Digest

T = TypeVar("T")

_LISTED_AT_ONCE: Final = 1000
MOVE_AT_ONCE: Final = 256
"""Chunks that are copied before the first of them is deleted: 128 MiB before compression."""


class TieredStore:
    """`delete` forgets what is in the store itself; the archive's objects are the archive's."""

    def __init__(self, hot: ChunkStore, cold: ChunkStore) -> None:
        self._hot, self._cold = hot, cold
        self.archive: ChunkStore = cold
        self.looks_are_cheap, self.directory = hot.looks_are_cheap, hot.directory
        self.writer: Callable[[], Writer] = hot.writer
        self.has, self.missing, self.delete = hot.has, hot.missing, hot.delete

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._either(lambda store: store.get(digest, kind))

    def framed(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._either(lambda store: store.framed(digest, kind))

    def stored_bytes(self, digest: Digest, kind: Kind = Kind.CHUNK) -> int:
        """In both places, where a move is under way."""
        held = [store for store in (self._hot, self._cold) if store.has(digest, kind)]
        if not held:
            raise ChunkLost(digest, kind)
        return sum(store.stored_bytes(digest, kind) for store in held)

    def quarantine(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        holder = self._hot if self._hot.has(digest, kind) else self._cold
        holder.quarantine(digest, kind)

    def digests(self, kind: Kind = Kind.CHUNK) -> Iterator[Digest]:
        yield from self._hot.digests(kind)
        archived = self._cold.digests(kind)
        while part := list(islice(archived, _LISTED_AT_ONCE)):
            alone = self._hot.missing(part, kind)
            yield from (digest for digest in part if digest in alone)

    def _either(self, ask: Callable[[ChunkStore], T]) -> T:
        try:
            return ask(self._hot)
        except ChunkLost as lost:
            try:
                return ask(self._cold)
            except ChunkCorrupt:
                raise
            except ChunkLost:
                if isinstance(lost, ChunkCorrupt):
                    raise lost from None
                return ask(self._hot)  # it came back between the two looks, or is lost


def move(source: ChunkStore, target: ChunkStore, digests: Iterable[Digest]) -> int:
    """Bring chunks that are in `source` itself into `target`; how many there were.

    Each is durable there before it is deleted here, so it may die anywhere and be run again:
    what is in both is only deleted. Raises ChunkCorrupt, StoreFull.
    """
    asked = list(digests)
    absent = source.missing(asked)
    held = [digest for digest in asked if digest not in absent]
    for start in range(0, len(held), MOVE_AT_ONCE):
        _move(source, target, held[start : start + MOVE_AT_ONCE])
    return len(held)


def _move(source: ChunkStore, target: ChunkStore, part: Sequence[Digest]) -> None:
    with target.writer() as writer:
        absent = writer.missing(part)  # it knows what a deletion may yet take away
        for digest in part:
            if digest in absent:
                writer.put(digest, source.framed(digest))
    for digest in part:
        source.delete(digest)
