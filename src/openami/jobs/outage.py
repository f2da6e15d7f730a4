"""How long a store has been away, as one job has found it, and when to look again."""

import time
from typing import Final
from zlib import crc32

LONGEST_PAUSE_S: Final = 60.0
WORKED_S: Final = 600.0
"""A try that failed after so long has done work meanwhile: what it met is another outage."""


class Outage:
    """`began_s` is when the job began, if a process did that which is dead: it may have waited
    since then. Times are those of `time.monotonic`."""

    def __init__(self, began_s: float | None = None) -> None:
        self._began_s = began_s
        self._since_s: float | None = None
        self._tried = 0

    def goes_on(self, tried_from_s: float, patience_s: float) -> bool:
        """Note a try that failed; whether it is to be waited for any longer."""
        now_s = time.monotonic()
        if self._since_s is None or now_s - tried_from_s > WORKED_S:
            self._since_s, self._tried = self._first(tried_from_s, patience_s), 0
        self._tried += 1
        self._left_s = self._since_s + patience_s - now_s
        return self._left_s > 0

    def _first(self, tried_from_s: float, patience_s: float) -> float:
        began_s, self._began_s = self._began_s, None
        if began_s is None or tried_from_s - began_s > patience_s:
            return tried_from_s
        return began_s

    def end(self) -> None:
        """A step was done: the store is there."""
        self._since_s = self._began_s = None

    def lasted_s(self) -> float:
        return 0.0 if self._since_s is None else time.monotonic() - self._since_s

    def pause_s(self, job_id: str) -> float:
        """Until the next try: longer each time, and for no two jobs the same."""
        chance = crc32(f"{job_id} {self._tried}".encode()) / 2**32
        pause_s = min(LONGEST_PAUSE_S, 2.0 ** min(self._tried, 10)) * (1 + chance) / 2
        return min(pause_s, max(0.0, self._left_s))
