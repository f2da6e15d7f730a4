"""A disk from one store into another: only what is missing there, as it is stored.

The caller holds the ingest's lease in the target, and sees to it that nothing collects the disk
in the source meanwhile (DESIGN section 4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from openami.blockstore.manifest import Manifests
from openami.blockstore.parallel import Progress, Tally, for_each, no_progress
from openami.blockstore.store import ChunkStore, Kind, Writer
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.manifest import Root

_THREADS: Final = 8
COMMIT_EVERY: Final = 256
"""Chunks between two commits: a crash costs at most these, 128 MiB before compression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What went from store to store; the bytes are those that are stored, headers and all."""

    chunks: int = 0
    pages: int = 0
    stored_bytes: int = 0


def transfer(
    source: ChunkStore,
    target: ChunkStore,
    root: Root,
    *,
    progress: Progress = no_progress,
    commit_every: int = COMMIT_EVERY,
) -> Moved:
    """Make `target` hold the disk, durably; every object is verified on its way.

    Pages are asked for too where the chunks below them are there, so a target that lost a chunk
    gets it back. What was committed before a crash is not moved again. Raises ChunkLost or
    ChunkCorrupt if `source` cannot give it, StoreFull.
    """
    if source is target:
        return Moved()
    pages, chunks = Manifests(source).named(root)
    tally = Tally(progress, len(chunks) * BLOCK_BYTES)
    with target.writer() as writer:
        absent_chunks, absent_pages = writer.missing(chunks), writer.missing(pages, Kind.PAGE)
        tally.add((len(chunks) - len(absent_chunks)) * BLOCK_BYTES)
        wanted = [digest for digest in chunks if digest in absent_chunks]
        move = _Mover(source, writer, tally)
        for part in _parts(wanted, commit_every):
            for_each(part, move.chunk, _THREADS)
            writer.commit()
        for digest in pages:  # last: a page that is there names only what is there
            if digest in absent_pages:
                move.page(digest)
    return Moved(chunks=len(wanted), pages=len(absent_pages), stored_bytes=move.stored_bytes)


class _Mover:
    def __init__(self, source: ChunkStore, writer: Writer, tally: Tally) -> None:
        self._source, self._writer, self._tally = source, writer, tally
        self._sizes: list[int] = []  # appending is atomic, adding is not

    @property
    def stored_bytes(self) -> int:
        return sum(self._sizes)

    def chunk(self, digest: Digest) -> None:
        self._move(digest, Kind.CHUNK)
        self._tally.add(BLOCK_BYTES)

    def page(self, digest: Digest) -> None:
        self._move(digest, Kind.PAGE)

    def _move(self, digest: Digest, kind: Kind) -> None:
        body = self._source.framed(digest, kind)
        self._writer.put(digest, body, kind)
        self._sizes.append(len(body))


def _parts(digests: Sequence[Digest], size: int) -> Iterator[Sequence[Digest]]:
    for start in range(0, len(digests), size):
        yield digests[start : start + size]
