"""The few system calls that make files durable, and the one that tells a full disk."""

import contextlib
import ctypes
import errno
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from openami.blockstore.store import StoreFull

_libc: Final = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WRITE: Final = 2
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


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


def start_writeback(descriptor: int, offset: int = 0, length: int = 0) -> None:
    """Let the disk begin with a range of the file now (length 0: to its end), so that a later
    sync finds little to do: sync_file_range(2).

    Only a hint: whether it worked is told by the sync, so its result is not looked at.
    """
    _libc.sync_file_range(
        *(descriptor, ctypes.c_int64(offset), ctypes.c_int64(length)),
        ctypes.c_uint(_SYNC_FILE_RANGE_WRITE),
    )


@contextmanager
def past_the_page_cache(descriptor: int) -> Generator[None]:
    """Meanwhile writes go to the disk directly, where the filesystem can: open(2), O_DIRECT.

    Offset, length and address of each have to be multiples of 4096. What was written is not
    durable before the file is synced.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with contextlib.suppress(OSError):  # EINVAL: through the page cache then
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    try:
        yield
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


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
