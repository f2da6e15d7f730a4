"""qcow2 overlays: made without forking qemu-img, and read back without trusting whoever wrote them.

Format: docs/interop/qcow2.txt of QEMU. An overlay that a guest's QEMU has written is hostile input:
every offset, size and feature is checked before it is followed, the backing file it names never
is. Whoever reads says what the base is.
"""

import mmap
import os
import stat
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.diskimage.errors import DiskImageError
from openami.diskimage.reading import OwnPages, ReadOnce
from openami.domain.block import BLOCK_BYTES

CLUSTER_BITS: Final = 19  # 512 KiB: a cluster of an overlay is a block of the disk
DISK_BYTES_MAX: Final = 64 << 40  # EBS's largest volume, io2 Block Express
_MAGIC: Final = b"QFI\xfb"
_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_SIZE_AT: Final = 24  # in the header
_L1_ENTRIES_AT: Final = 36
_BACKING_FORMAT: Final = 0xE2792ACA
_CORRUPT, _COMPRESSION_TYPE, _EXTENDED_L2 = 1 << 1, 1 << 3, 1 << 4
_READABLE_FEATURES: Final = 1 | _COMPRESSION_TYPE | _EXTENDED_L2  # 1: refcounts may be stale
_OFFSET_MASK: Final = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED, _READS_ZERO = 1 << 62, 1
_SUBCLUSTERS: Final = 32
_ALL_SUBCLUSTERS: Final = (1 << _SUBCLUSTERS) - 1
_L1_ENTRIES_MAX: Final = (32 << 20) // 8  # QEMU's own limit
_BACKING_NAME_MAX: Final = 1023
_ZEROS: Final = -1  # in place of a host offset
_own: Final = OwnPages(BLOCK_BYTES)

Words = npt.NDArray[np.uint64]


class Qcow2Error(DiskImageError):
    """The file is not a qcow2 image that can be read; the message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """An open image whose header has been checked."""

    descriptor: int
    file_bytes: int
    size_bytes: int
    cluster_bytes: int
    extended: bool
    zero_flag: bool  # version 2 has none
    l1: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A stretch of the guest's disk that the overlay decides: at a host offset, or zeros."""

    start: int
    length: int
    host: int


def create_overlay(path: Path, size_bytes: int, base: Path | None) -> None:
    """A new qcow2 at `path`, durable, with extended L2 entries, over the raw file `base`.

    The disk may be larger than the base: it then ends in zeros. Raises FileExistsError,
    ValueError for a size or name that qcow2 cannot have. Costs three small writes and a sync;
    `qemu-img create` costs 10 ms.
    """
    name = b"" if base is None else os.fsencode(base.absolute())
    if not 0 < size_bytes <= DISK_BYTES_MAX or size_bytes % 512:
        raise ValueError(f"no disk has {size_bytes} bytes")
    if len(name) > _BACKING_NAME_MAX:
        raise ValueError(f"a backing file's name has at most {_BACKING_NAME_MAX} bytes: {base}")
    cluster = 1 << CLUSTER_BITS
    l1_entries = -(-size_bytes // (cluster * (cluster // 16)))
    extensions = b"" if base is None else struct.pack(">II3s5x", _BACKING_FORMAT, 3, b"raw")
    extensions += bytes(8)  # the end of the extensions
    backing_at = _HEADER.size + len(extensions) if base is not None else 0
    # Clusters: 0 header, 1 refcount table, 2 refcount block, 3 L1 table.
    header = _HEADER.pack(
        *(_MAGIC, 3, backing_at, len(name), CLUSTER_BITS, size_bytes, 0, l1_entries, 3 * cluster),
        *(cluster, 1, 0, 0, _EXTENDED_L2, 0, 0, 4, _HEADER.size),
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, header + extensions + name, 0)
        os.pwrite(descriptor, struct.pack(">Q", 2 * cluster), cluster)
        os.pwrite(descriptor, struct.pack(">4H", 1, 1, 1, 1), 2 * cluster)
        os.ftruncate(descriptor, 4 * cluster)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def grow(path: Path, size_bytes: int) -> None:
    """Make the disk larger, durably; one that is as large already is left as it is.

    Nobody may have it open. Only the header says how large a disk is, and the cluster of its L1
    table has room for the entries of any disk. Raises Qcow2Error, ValueError.
    """
    if not 0 < size_bytes <= DISK_BYTES_MAX or size_bytes % 512:
        raise ValueError(f"no disk has {size_bytes} bytes")
    image = _opened(path)
    os.close(image.descriptor)
    if image.size_bytes >= size_bytes:
        return
    cluster = image.cluster_bytes
    entries = -(-size_bytes // (cluster * (cluster // (16 if image.extended else 8))))
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        header = _HEADER.unpack(os.pread(descriptor, _HEADER.size, 0))
        had, at = header[7], header[8]
        if entries * 8 > -(-had * 8 // cluster) * cluster:
            raise Qcow2Error(f"{path} has no room for {entries} L1 entries")
        if entries > had:
            os.pwrite(descriptor, bytes((entries - had) * 8), at + had * 8)
            os.fsync(descriptor)  # before the header counts them
        os.pwrite(descriptor, struct.pack(">Q", size_bytes), _SIZE_AT)
        os.pwrite(descriptor, struct.pack(">I", max(entries, had)), _L1_ENTRIES_AT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A block that an overlay has a say in, and where that is."""

    index: int
    pieces: Sequence[_Run]


class Overlay:
    """An open overlay, to be read by many threads. The disk must be quiescent: QEMU keeps tables in
    memory while it runs."""

    def __init__(self, image: _Image, once: ReadOnce) -> None:
        self._image, self._once = image, once

    def changes(self) -> Iterator[Changed]:
        """Ascending. Raises Qcow2Error."""
        for index, pieces in groupby(_pieces(self._image), lambda run: run.start // BLOCK_BYTES):
            yield Changed(index=index, pieces=tuple(pieces))

    def block(self, changed: Changed, read_base: Callable[[int], bytes]) -> bytes | memoryview:
        """Its 512 KiB, which may lie in memory of this thread's that its next block comes into.

        `read_base(index)` gives the 512 KiB under a block that the overlay holds only in part. A
        disk that ends inside a block has zeros after its end.
        """
        whole = changed.pieces[0]
        if whole.length < BLOCK_BYTES or whole.host == _ZEROS or whole.host % mmap.PAGESIZE:
            return _block(self._image, changed.index, changed.pieces, read_base)
        memory = memoryview(_own.pages)
        found = self._once.into(memory, whole.host)
        memory[found:] = bytes(BLOCK_BYTES - found)  # the file may end inside its last cluster
        return memory


@contextmanager
def overlay_at(path: Path, size_bytes: int) -> Generator[Overlay]:
    """Raises Qcow2Error if the file is not such an image, or has another size than the
    `size_bytes` that the catalog knows."""
    image = _opened(path)
    try:
        if image.size_bytes != size_bytes:
            raise Qcow2Error(f"{path} is a disk of {image.size_bytes} bytes, not {size_bytes}")
        with ReadOnce(image.descriptor) as once:
            yield Overlay(image, once)
    finally:
        os.close(image.descriptor)


def changed_blocks(
    path: Path, size_bytes: int, read_base: Callable[[int], bytes]
) -> Iterator[tuple[int, bytes]]:
    """The blocks that the overlay at `path` has a say in, ascending: (index, 512 KiB).

    See Overlay.block. Raises Qcow2Error.
    """
    with overlay_at(path, size_bytes) as overlay:
        for changed in overlay.changes():
            yield changed.index, bytes(overlay.block(changed, read_base))


def virtual_size_bytes(path: Path) -> int:
    """The size of the guest's disk, as the image's header says. Raises Qcow2Error."""
    image = _opened(path)
    os.close(image.descriptor)
    return image.size_bytes


def _opened(path: Path) -> _Image:
    # Its owner may be QEMU's user, who may have put a link or a FIFO in its place.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise Qcow2Error(f"{path} cannot be read: {error.strerror}") from error
    try:
        return _checked(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _checked(path: Path, descriptor: int) -> _Image:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Qcow2Error(f"{path} is not a file")
    raw = os.pread(descriptor, _HEADER.size, 0).ljust(_HEADER.size, b"\0")
    fields = _HEADER.unpack(raw)
    magic, version, _, _, cluster_bits, size_bytes, encryption, l1_entries, l1_at = fields[:9]
    features = fields[13] if version == 3 else 0
    extended = bool(features & _EXTENDED_L2)
    if magic != _MAGIC or version not in (2, 3):
        raise Qcow2Error(f"{path} is not a qcow2 image")
    if features & ~_READABLE_FEATURES or encryption:
        raise Qcow2Error(f"{path} is marked corrupt, encrypted, or split: features {features:#x}")
    if not (14 if extended else 9) <= cluster_bits <= 21:
        raise Qcow2Error(f"{path} has clusters of 2^{cluster_bits} bytes")
    if not 0 < size_bytes <= DISK_BYTES_MAX:
        raise Qcow2Error(f"{path} is a disk of {size_bytes} bytes")
    cluster_bytes = 1 << cluster_bits
    needed = -(-size_bytes // (cluster_bytes * (cluster_bytes // (16 if extended else 8))))
    if not needed <= l1_entries <= _L1_ENTRIES_MAX:
        raise Qcow2Error(f"{path} has {l1_entries} L1 entries where it needs {needed}")
    return _Image(
        descriptor=descriptor,
        file_bytes=status.st_size,
        size_bytes=size_bytes,
        cluster_bytes=cluster_bytes,
        extended=extended,
        zero_flag=version == 3,
        l1=_words(descriptor, l1_at, needed),
    )


def _words(descriptor: int, offset: int, count: int) -> Words:
    if offset % 512 or offset >= 1 << 62:
        raise Qcow2Error(f"a table at the impossible offset {offset:#x}")
    table = os.pread(descriptor, count * 8, offset)
    if len(table) != count * 8:
        raise Qcow2Error(f"a table at offset {offset:#x} is beyond the end of the file")
    return np.frombuffer(table, ">u8").astype(np.uint64)


def _pieces(image: _Image) -> Iterator[_Run]:
    """What the overlay decides, ascending, cut where the disk's blocks end."""
    for run in _runs(image):
        start, end = run.start, min(run.start + run.length, image.size_bytes)
        while start < end:
            length = min(BLOCK_BYTES - start % BLOCK_BYTES, end - start)
            host = run.host if run.host == _ZEROS else run.host + start - run.start
            yield _Run(start=start, length=length, host=host)
            start += length


def _runs(image: _Image) -> Iterator[_Run]:
    words_per_entry = 2 if image.extended else 1
    entries = image.cluster_bytes // (8 * words_per_entry)
    for i in np.flatnonzero(image.l1).tolist():
        table_at = int(image.l1[i]) & _OFFSET_MASK
        if table_at == 0:
            continue
        table = _words(image.descriptor, table_at, entries * words_per_entry)
        table = table.reshape(entries, words_per_entry)
        for k in np.flatnonzero(table.any(axis=1)).tolist():
            start = (i * entries + k) * image.cluster_bytes
            entry = int(table[k, 0])
            if image.extended:
                yield from _subcluster_runs(image, start, entry, int(table[k, 1]))
            else:
                yield from _cluster_runs(image, start, entry)


def _cluster_runs(image: _Image, start: int, entry: int) -> Iterator[_Run]:
    if entry & _READS_ZERO and image.zero_flag and not entry & _COMPRESSED:
        yield _Run(start=start, length=image.cluster_bytes, host=_ZEROS)
        return
    host = _host_offset(image, entry)
    if host:
        yield _Run(start=start, length=image.cluster_bytes, host=host)


def _subcluster_runs(image: _Image, start: int, entry: int, bitmap: int) -> Iterator[_Run]:
    host = _host_offset(image, entry)
    allocated, zero = bitmap & _ALL_SUBCLUSTERS, bitmap >> _SUBCLUSTERS
    if allocated & zero or (allocated and not host):
        raise Qcow2Error(f"the cluster at {start:#x} contradicts its own bitmap")
    size = image.cluster_bytes // _SUBCLUSTERS
    edges = allocated ^ (allocated << 1) | zero ^ (zero << 1)
    bounds = [bit for bit in range(_SUBCLUSTERS + 1) if edges >> bit & 1]
    for first, after in pairwise(bounds):
        begin, length = start + first * size, (after - first) * size
        if allocated >> first & 1:
            yield _Run(start=begin, length=length, host=host + first * size)
        elif zero >> first & 1:
            yield _Run(start=begin, length=length, host=_ZEROS)


def _host_offset(image: _Image, entry: int) -> int:
    if entry & _COMPRESSED:
        raise Qcow2Error("a compressed cluster, which no overlay of ours has")
    host = entry & _OFFSET_MASK
    if host % image.cluster_bytes or host >= max(image.file_bytes, 1):
        raise Qcow2Error(f"a cluster at the impossible offset {host:#x}")
    return host


def _block(
    image: _Image, index: int, pieces: Sequence[_Run], read_base: Callable[[int], bytes]
) -> bytes:
    present = min(BLOCK_BYTES, image.size_bytes - index * BLOCK_BYTES)
    if sum(piece.length for piece in pieces) == present:
        block = bytearray(BLOCK_BYTES)
    else:
        block = bytearray(read_base(index))
        if len(block) != BLOCK_BYTES:
            raise ValueError(f"the base gave {len(block)} bytes for block {index}")
    for piece in pieces:
        at = piece.start - index * BLOCK_BYTES
        if piece.host == _ZEROS:
            block[at : at + piece.length] = bytes(piece.length)
        else:
            block[at : at + piece.length] = _read(image, piece)
    return bytes(block)


def _read(image: _Image, piece: _Run) -> bytes:
    """The file may end inside its last cluster: what is not there reads as zeros, as in QEMU."""
    data = os.pread(image.descriptor, piece.length, piece.host)
    while len(data) < piece.length:
        more = os.pread(image.descriptor, piece.length - len(data), piece.host + len(data))
        if not more:
            return data.ljust(piece.length, b"\0")
        data += more
    return data
