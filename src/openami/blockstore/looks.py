"""Which disks were looked through lately, so that nobody looks at every block again and again."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from openami.domain.block import Digest
from openami.domain.ids import Region

LATELY_S: Final = 3600.0
_PAGES_MAX: Final = 1 << 17
"""Of all regions, with 256 blocks each: they are those of 16 TiB, in some 20 MiB of memory."""


class Looks:
    """Pages of manifests, each seen with all that is below it. Thread-safe, and not kept."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._seen: dict[tuple[Region, Digest], float] = {}  # the oldest first

    def lately(self, region: Region) -> set[Digest]:
        """The pages that were seen whole within the last hour."""
        since = self._clock_s() - LATELY_S
        with self._lock:
            return {page for (of, page), at in self._seen.items() if of == region and at > since}

    def note(self, region: Region, pages: Iterable[Digest]) -> None:
        """They are whole now."""
        now = self._clock_s()
        with self._lock:
            for page in pages:
                self._seen.pop((region, page), None)
                self._seen[region, page] = now
            for each in list(self._seen)[: max(0, len(self._seen) - _PAGES_MAX)]:
                del self._seen[each]
