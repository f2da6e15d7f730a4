"""How long a store has been away, as one job has found it, and when to look again."""

import time
from typing import Final
from zlib import crc32

SHORTEST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
REQUEST_S: Final = 90.0
"""For so long a single request is made again before it fails (blockstore/s3/bucket.py): what a try
did before that was work."""
WORKED_S: Final = 600.0
"""A try that worked for so long before it failed met another outage than the one before."""


class Outage:
    """The work of the tries is no part of it."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._tried = 0
        self._left_s = 0.0

    def goes_on(self, tried_from_s: float, patience_s: float) -> bool:
        """Note a try that failed, of a beginning on the clock of `time.monotonic`; whether it is to
        be waited for any longer."""
        now_s = time.monotonic()
        worked_s = max(0.0, now_s - tried_from_s - REQUEST_S)
        if self._since_s is None or worked_s > WORKED_S:
            self._since_s, self._tried = tried_from_s, 0
        self._since_s += worked_s
        self._tried += 1
        self._left_s = self._since_s + patience_s - now_s
        return self._left_s > 0

    def end(self) -> None:
        """A step was done: the store is there."""
        self._since_s = None

    def lasted_s(self) -> float:
        return 0.0 if self._since_s is None else time.monotonic() - self._since_s

    def pause_s(self, job_id: str) -> float:
        """Until the next try: longer each time, and for no two jobs the same."""
        chance = crc32(f"{job_id} {self._tried}".encode()) / 2**32
        pause_s = min(LONGEST_PAUSE_S, 2.0 ** min(self._tried, 10)) * (1 + chance) / 2
        return max(SHORTEST_PAUSE_S, min(pause_s, self._left_s))
