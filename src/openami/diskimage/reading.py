"""Reads of what is read once: from the page cache what is there, past it what is not.

Where a machine's free memory is its host's, finding a page for what nobody reads again costs
more than reading it.
"""

import errno
import mmap
import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

_CANNOT: Final = (errno.EOPNOTSUPP, errno.EINVAL)


class OwnPages(threading.local):
    """Memory of each thread, aligned as direct reads and writes need it.

    Finding it anew for each of them is dearer than they are. It is shared memory, as direct reads
    need it where a process may fork: so a fork finds its own.
    """

    def __init__(self, length: int) -> None:
        self._length: Final = length
        self._owner = 0

    @property
    def pages(self) -> mmap.mmap:
        if self._owner != os.getpid():
            self._pages = mmap.mmap(-1, self._length)
            self._owner = os.getpid()
        return self._pages


class ReadOnce:
    """Reads an open file, in many threads; the descriptor stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._direct: int | None = None
        with suppress(OSError):  # a filesystem that has no direct reads
            flags = os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC
            self._direct = os.open(f"/proc/self/fd/{descriptor}", flags)

    def into(self, memory: memoryview, offset: int) -> int:
        """Fill aligned memory with what is at an aligned offset: fewer bytes only if the file ends.

        Raises OSError.
        """
        done = self._from_cache(memory, offset)
        while done < len(memory):
            count = self._read(memory[done:], offset + done)
            if count == 0:
                break
            done += count
        return done

    def _from_cache(self, memory: memoryview, offset: int) -> int:
        try:
            return os.preadv(self._descriptor, [memory], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return 0

    def _read(self, memory: memoryview, offset: int) -> int:
        if self._direct is not None:
            try:
                return os.preadv(self._direct, [memory], offset)
            except OSError as error:  # within a sector, where the file ends or the cache did
                if error.errno not in _CANNOT:
                    raise
        return os.preadv(self._descriptor, [memory], offset)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._direct is not None:
            os.close(self._direct)
