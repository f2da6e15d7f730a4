"""Disks into the store: read, drop zeros, hash, drop what is known, compress, stage, commit.

The caller holds the lease (DESIGN section 4): what is found in the store here must stay there
until the root that is returned is in a committed row.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from openami.blockstore import codec
from openami.blockstore.manifest import Manifests
from openami.blockstore.parallel import Progress, Tally, for_each, no_progress
from openami.blockstore.store import ChunkStore, Writer
from openami.domain.block import BLOCK_BYTES, HOLE, Digest
from openami.domain.manifest import Root

Change = TypeVar("Change")

_ZERO: Final = bytes(BLOCK_BYTES)
_GLANCE_BYTES: Final = 512
_WRITING: Final = 2  # threads that wait for the disk while the others have the cores
_BATCH_BLOCKS: Final = 8  # as many as make handing them out free beside compressing them


class SourceChanged(Exception):
    """The disk became shorter while it was read: what was read is no point in time of it."""


class _Intake:
    """Turns blocks into digests, staging the chunks that the store does not have."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._staged: set[Digest] = set()
        self.found: dict[int, Digest] = {}

    def take(self, index: int, block: codec.Buffer) -> None:
        if _is_zero(block):
            self.found[index] = HOLE
            return
        digest = codec.digest_of(block)
        self.found[index] = digest
        # Two threads may both find a chunk missing: the writer stages it once.
        if digest not in self._staged and self._writer.missing((digest,)):
            self._staged.add(digest)
            self._writer.put(digest, codec.encode(block))


def _is_zero(block: codec.Buffer) -> bool:
    """bytes and bytearray compare at 34 GB/s, a memoryview at 0.6: it is copied if it may be."""
    if isinstance(block, memoryview):
        return not any(block[:_GLANCE_BYTES]) and bytes(block) == _ZERO
    return block == _ZERO


def ingest_file(
    store: ChunkStore,
    path: Path,
    *,
    progress: Progress = no_progress,
    threads: int | None = None,
) -> Root:
    """Store a raw disk, sparse or not; it is durable when this returns.

    A size that is no multiple of 512 KiB is filled up with zeros. `threads` are two more than
    the cores if not given. Raises OSError if it cannot be read, SourceChanged, StoreFull.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size_bytes = os.lseek(descriptor, 0, os.SEEK_END)
        if size_bytes == 0:
            raise ValueError(f"{path} is empty: no disk is")
        return _ingest_open(store, descriptor, size_bytes, progress, threads or _threads())
    finally:
        os.close(descriptor)


def ingest_blocks(
    store: ChunkStore,
    base_root: Root,
    blocks: Iterable[tuple[int, codec.Buffer]],
    *,
    threads: int | None = None,
) -> Root:
    """The disk `base_root` with some blocks replaced; durable when this returns.

    As `ingest_changes` of blocks that have been read.
    """
    return ingest_changes(store, base_root, blocks, lambda each: each, threads=threads)


def ingest_changes(
    store: ChunkStore,
    base_root: Root,
    changes: Iterable[Change],
    read: Callable[[Change], tuple[int, codec.Buffer]],
    *,
    threads: int | None = None,
    manifests: Manifests | None = None,
) -> Root:
    """The disk `base_root` with some blocks replaced; durable when this returns.

    `changes` may come from a generator: it is asked by one thread at a time, for one at a time.
    Each is read by the thread that stores it, which is done with it before it reads the next.
    Every block has 512 KiB. Raises ValueError or IndexError for one that cannot be of
    this disk, StoreFull, and whatever the generator and `read` raise.
    """
    with store.writer() as writer:
        intake = _Intake(writer)

        def take(change: Change) -> None:
            index, block = read(change)
            if len(block) != BLOCK_BYTES:
                raise ValueError(f"block {index} has {len(block)} bytes")
            intake.take(index, block)

        for_each(changes, take, threads or _threads())
        return (manifests or Manifests(store)).update(writer, base_root, intake.found)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) + _WRITING


def _ingest_open(
    store: ChunkStore, descriptor: int, size_bytes: int, progress: Progress, threads: int
) -> Root:
    blocks = -(-size_bytes // BLOCK_BYTES)
    ranges = list(data_ranges(descriptor, size_bytes))
    tally = Tally(progress, sum(len(span) for span in ranges) * BLOCK_BYTES)
    buffers = threading.local()
    with store.writer() as writer:
        intake = _Intake(writer)

        def take(batch: range) -> None:
            if not hasattr(buffers, "block"):
                buffers.block = bytearray(BLOCK_BYTES)
            for index in batch:
                _read_block(descriptor, index, size_bytes, buffers.block)
                intake.take(index, buffers.block)
            tally.add(len(batch) * BLOCK_BYTES)

        for_each(_batches(ranges), take, threads)
        return Manifests(store).update(writer, Root.empty(blocks), intake.found)


def _read_block(descriptor: int, index: int, size_bytes: int, block: bytearray) -> None:
    """Fill `block`, which is reused: a new one each time costs more in page faults than reading."""
    offset = index * BLOCK_BYTES
    wanted = min(BLOCK_BYTES, size_bytes - offset)
    if wanted < BLOCK_BYTES:
        block[wanted:] = bytes(BLOCK_BYTES - wanted)
    done = 0
    with memoryview(block) as whole:
        while done < wanted:
            count = os.preadv(descriptor, [whole[done:wanted]], offset + done)
            if count == 0:
                raise SourceChanged(f"the disk ended at byte {offset + done} of {size_bytes}")
            done += count


def data_ranges(descriptor: int, size_bytes: int) -> Iterator[range]:
    """The blocks that may hold data, as ascending ranges: lseek(2), SEEK_DATA and SEEK_HOLE."""
    position, after = 0, 0
    while position < size_bytes:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data from here on
                return
            if error.errno != errno.EINVAL:  # a block device cannot tell: all of it is data
                raise
            start, position = position, size_bytes
        first = max(start // BLOCK_BYTES, after)
        after = max(after, -(-min(position, size_bytes) // BLOCK_BYTES))
        if first < after:
            yield range(first, after)


def _batches(ranges: Iterable[range]) -> Iterator[range]:
    for span in ranges:
        for first in range(span.start, span.stop, _BATCH_BLOCKS):
            yield range(first, min(first + _BATCH_BLOCKS, span.stop))
