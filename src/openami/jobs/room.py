"""Room on the scratch disk, promised to the jobs that will need it before they take it.

So a job that does not fit is refused by itself, and those that run come to their end.
"""

import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SPARE_BYTES: Final = 512 << 20
"""As much of the filesystem stays free: the server has more to do than to move disks."""
_SECTOR: Final = 512  # the unit of st_blocks, stat(2)


class NoRoom(Exception):
    """The filesystem has less room than is asked for and promised to others."""

    def __init__(self, lacking_bytes: int) -> None:
        super().__init__(f"{lacking_bytes} bytes of room are lacking")
        self.lacking_bytes = lacking_bytes


def _free(directory: Path) -> int:
    return shutil.disk_usage(directory).free


class Room:
    """What directories may take of their filesystems. Thread-safe.

    Nothing of it is kept: after a crash each job asks anew, and what it wrote before counts as
    its own.
    """

    def __init__(self, spare_bytes: int = SPARE_BYTES, free: Callable[[Path], int] = _free) -> None:
        self._spare_bytes, self._free = spare_bytes, free
        self._lock = threading.Lock()
        self._shares: set[Share] = set()

    @contextmanager
    def share(self, directory: Path) -> "Generator[Share]":
        """For work whose files are in `directory` alone; what it was promised ends with it."""
        share = Share(self, directory)
        with self._lock:
            self._shares.add(share)
        try:
            yield share
        finally:
            with self._lock:
                self._shares.remove(share)

    def claim(self, share: "Share", more_bytes: int) -> None:
        with self._lock:
            self._require(share, more_bytes)
            share.promised_bytes = share.taken_bytes() + more_bytes

    def look(self, share: "Share") -> None:
        with self._lock:
            self._require(share, 0)

    def _require(self, share: "Share", bytes_wanted: int) -> None:
        others = sum(
            each.awaited_bytes()
            for each in self._shares
            if each is not share and each.device == share.device
        )
        free = self._free(share.directory) - others - self._spare_bytes
        if free < bytes_wanted:
            raise NoRoom(bytes_wanted - free)


class Share:
    """One job's part of the room."""

    def __init__(self, room: Room, directory: Path) -> None:
        self.directory = directory
        self.device = directory.stat().st_dev
        self.promised_bytes = 0  # for all that the directory holds
        self._room = room

    def claim(self, more_bytes: int) -> None:
        """Have so much kept for what is written from now on. Raises NoRoom."""
        self._room.claim(self, more_bytes)

    def look(self) -> None:
        """Raises NoRoom where this work, beyond what it was promised, takes what others were.

        A chunk store on the same filesystem grows while nothing of it is promised.
        """
        self._room.look(self)

    def release(self) -> None:
        """Nothing more will be written; what is there may go."""
        self.promised_bytes = 0

    def taken_bytes(self) -> int:
        """Another thread looks while the files, and the directory, come and go."""
        taken = 0
        with suppress(FileNotFoundError):
            for file in self.directory.iterdir():
                with suppress(FileNotFoundError):
                    taken += file.lstat().st_blocks * _SECTOR
        return taken

    def awaited_bytes(self) -> int:
        """Of the promise, what is not written yet."""
        return max(0, self.promised_bytes - self.taken_bytes()) if self.promised_bytes else 0
