"""The few system calls that make files durable and say where they go, and a full disk told."""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from openami.blockstore.store import StoreFull
from openami.diskimage.reading import OwnPages, ReadOnce
from openami.domain.block import BLOCK_BYTES

_libc: Final = ctypes.CDLL(None, use_errno=True)
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # linux/fs.h: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_TOP_OF_TREES: Final = 0x0002_0000  # FS_TOPDIR_FL


_own: Final = OwnPages(BLOCK_BYTES)


@contextmanager
def full_disk_is_told(where: Path) -> Generator[None]:
    """Turns "no space left on device" into StoreFull; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull(f"no room left in {where}: {error.strerror}") from error
        raise


def syncfs(directory: Path) -> None:
    """Make durable all that was written to the directory's filesystem: syncfs(2).

    Raises OSError, also for a write-back that failed since the last call (Linux 5.8 on).
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(directory))
    finally:
        os.close(descriptor)


@contextmanager
def past_the_page_cache(descriptor: int) -> Generator[None]:
    """Meanwhile writes go to the disk directly, where the filesystem can: open(2), O_DIRECT.

    They have to be `write_pages`'s. What was written is not durable before a sync.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with contextlib.suppress(OSError):  # EINVAL: through the page cache then
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


def write_pages(descriptor: int, data: bytes, offset: int = 0) -> int:
    """Write the whole pages of `data`, a block at most, from aligned memory; how many bytes."""
    length = len(data) // mmap.PAGESIZE * mmap.PAGESIZE
    with memoryview(_own.pages) as pages:
        pages[:length] = memoryview(data)[:length]
        done = 0
        while done < length:
            done += _write(descriptor, pages[done:length], offset + done)
    return length


def copy_pages(source: ReadOnce, target: int, offset: int, length: int) -> int:
    """Copy some pages, a block at most, through aligned memory; fewer only if the source ends."""
    with memoryview(_own.pages) as pages:
        found = source.into(pages[:length], offset) // mmap.PAGESIZE * mmap.PAGESIZE
        done = 0
        while done < found:
            done += _write(target, pages[done:found], offset + done)
    return found


def _write(descriptor: int, data: memoryview, offset: int) -> int:
    """Through the page cache from now on where EINVAL says that it does not go directly: there are
    filesystems that accept O_DIRECT and refuse the write, and a write may have ended short, within
    a sector, because the disk is full."""
    try:
        return os.pwrite(descriptor, data, offset)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    return os.pwrite(descriptor, data, offset)


def spread_directories(parent: Path) -> None:
    """Have directories made in `parent` lie apart, if the filesystem can: chattr(1), "T".

    ext4 makes files where their directory is. For each it passes over all that were deleted there
    within the last minutes, one by one: 2000 files after as many deletions took a CPU second.
    """
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # another filesystem, with no such flag
            flags = bytearray(4)
            fcntl.ioctl(descriptor, _GET_FLAGS, flags)
            wanted = int.from_bytes(flags, sys.byteorder) | _TOP_OF_TREES
            fcntl.ioctl(descriptor, _SET_FLAGS, wanted.to_bytes(4, sys.byteorder))
    finally:
        os.close(descriptor)


def sync_file(file: Path) -> None:
    sync_directory(file)  # to the system it is the same


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])
