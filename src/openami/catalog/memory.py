"""What was read of a catalog in a file, kept until anybody commits anything to it."""

import sqlite3
from collections.abc import Hashable
from pathlib import Path
from threading import Lock
from typing import Any, Final

KNOWN_MAX: Final = 1000

Known = dict[Hashable, Any]


class Memory:
    """For all threads of a process. Every commit, by whatever process, empties it.

    SQLite tells of commits: `PRAGMA data_version` says another number when any other connection
    has committed since it was last asked on this one, which never writes itself.
    https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, file: Path, busy_timeout_s: float) -> None:
        self._file, self._busy_timeout_s = file, busy_timeout_s
        self._listening: sqlite3.Connection | None = None
        self._lock = Lock()
        self._version = 0
        self._known: Known = {}

    def now(self) -> Known:
        """What is known and still holds. What is read after this call may be added to it."""
        with self._lock:
            version = self._committed()
            if version != self._version or len(self._known) >= KNOWN_MAX:
                self._version, self._known = version, {}
            return self._known

    def close(self) -> None:
        with self._lock:
            if self._listening is not None:
                self._listening.close()
            self._listening, self._known = None, {}

    def _committed(self) -> int:
        if self._listening is None:
            self._listening = sqlite3.connect(
                self._file,
                timeout=self._busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
            )
        # All rows, though there is one: while a statement has not ended, the connection goes on
        # to see the past. So two threads must not ask at once either.
        [(version,)] = self._listening.execute("PRAGMA data_version").fetchall()
        return int(version)
