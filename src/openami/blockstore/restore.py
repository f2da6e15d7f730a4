"""Disks out of the store, every chunk verified: to a sparse raw file, or as a stream."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final

from openami.blockstore.disk_sync import (
    full_disk_is_told,
    past_the_page_cache,
    sync_directory,
    write_pages,
)
from openami.blockstore.manifest import Manifests
from openami.blockstore.parallel import Progress, Tally, for_each, no_progress
from openami.blockstore.store import ChunkCorrupt, ChunkStore
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.manifest import Root

# Each has one write under way, which keeps a disk busy; they hide a network's delay, too.
THREADS: Final = 8
_ZERO: Final = bytes(BLOCK_BYTES)


def restore(
    store: ChunkStore,
    root: Root,
    path: Path,
    *,
    size_bytes: int | None = None,
    threads: int = THREADS,
    progress: Progress = no_progress,
) -> None:
    """Write the disk to `path` as a sparse raw file: durable, whole, and verified, or not at all.

    `size_bytes` is the disk's own if not given; a larger file ends in a hole, a smaller one may
    only lose zeros. Raises ValueError if it would lose data, ChunkLost or ChunkCorrupt if the
    store cannot give it back, StoreFull.
    """
    with full_disk_is_told(path.parent):
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            write_disk(
                store, root, descriptor, size_bytes=size_bytes, threads=threads, progress=progress
            )
            os.fsync(descriptor)
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        sync_directory(path.parent)


def write_disk(
    store: ChunkStore,
    root: Root,
    descriptor: int,
    *,
    size_bytes: int | None = None,
    threads: int = THREADS,
    progress: Progress = no_progress,
) -> None:
    """Make the open file hold the disk and nothing else. Syncing it is the caller's.

    The page cache is left to what is read often: a disk can be larger than memory, and a machine
    that boots from it reads little of it. Finding memory for a page costs more than all the rest.
    """
    size = root.size_bytes if size_bytes is None else size_bytes
    blocks = list(Manifests(store).iterate(root))
    tally = Tally(progress, len(blocks) * BLOCK_BYTES)
    os.ftruncate(descriptor, 0)
    os.ftruncate(descriptor, max(size, root.size_bytes))  # whole blocks, until all are written
    # Writers of what is allocated do not wait for each other, and a full disk is told at once.
    for first, count in _runs(index for index, _ in blocks):
        os.posix_fallocate(descriptor, first * BLOCK_BYTES, count * BLOCK_BYTES)

    def write(item: tuple[int, Digest]) -> None:
        index, digest = item
        offset, block = index * BLOCK_BYTES, store.get(digest)
        _clipped(block, size - offset)  # refuses data beyond the end, which is cut off below
        if write_pages(descriptor, block, offset) < BLOCK_BYTES:
            raise ChunkCorrupt(digest, reason="is no whole block")
        tally.add(BLOCK_BYTES)

    with past_the_page_cache(descriptor):
        for_each(blocks, write, threads)
    os.ftruncate(descriptor, size)


def export(
    store: ChunkStore,
    root: Root,
    out: BinaryIO,
    *,
    size_bytes: int | None = None,
    progress: Progress = no_progress,
) -> None:
    """Write the disk to a stream from its first byte to its last, holes as zeros.

    What was written before an error stays written: only a return says that all of it was.
    """
    for piece in pieces(store, root, size_bytes=size_bytes, progress=progress):
        out.write(piece)
    out.flush()


def pieces(
    store: ChunkStore,
    root: Root,
    *,
    size_bytes: int | None = None,
    progress: Progress = no_progress,
) -> Iterator[bytes]:
    """The disk from its first byte to its last, holes as zeros, a block or less at a time.

    `progress` is told when a piece has been taken. Raises as `restore` does.
    """
    size = root.size_bytes if size_bytes is None else size_bytes
    tally = Tally(progress, size)
    position = 0
    for index, digest in Manifests(store).iterate(root):
        block = _clipped(store.get(digest), size - index * BLOCK_BYTES)
        yield from _counted(tally, _zeros(index * BLOCK_BYTES - position))
        yield from _counted(tally, [block])
        position = index * BLOCK_BYTES + len(block)
    yield from _counted(tally, _zeros(size - position))


def _counted(tally: Tally, found: Iterable[bytes]) -> Iterator[bytes]:
    for piece in found:
        yield piece
        tally.add(len(piece))


def _clipped(block: bytes, room: int) -> bytes:
    if room >= len(block):
        return block
    kept = max(room, 0)
    if any(block[kept:]):
        raise ValueError("the disk has data beyond the size asked for")
    return block[:kept]


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZERO[:count]
        count -= BLOCK_BYTES


def _runs(indices: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as the first and the count of each run of neighbours."""
    for _, run in groupby(enumerate(indices), lambda each: each[1] - each[0]):
        first, *others = (index for _, index in run)
        yield first, 1 + len(others)
