"""Blocks that guests wait for, fetched by a few threads, the disks taking turns.

A guest that reads all of its disk at once delays the reads of its own disk, not of others.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final, Protocol

THREADS: Final = 8
_log = logging.getLogger(__name__)


class Fetching(Protocol):
    def fetch(self, index: int) -> int:
        """Bring a block here and tell those who wait for it, whatever happens.

        How many bytes the store has given for it.
        """
        ...


class Demand:
    """Threads that fetch what was asked for, first come, first served within a disk."""

    def __init__(self, threads: int = THREADS) -> None:
        self._lock = threading.Lock()
        # Two, so that a block that is asked for wakes a thread that fetches, never one that
        # waits for a quiet moment.
        self._work_came = threading.Condition(self._lock)
        self._work_ended = threading.Condition(self._lock)
        self._asked: OrderedDict[Fetching, deque[int]] = OrderedDict()
        self._busy = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, disk: Fetching, indices: Sequence[int]) -> None:
        """Have these, at least one, fetched. After `close` they are not: nobody is left to wait."""
        with self._lock:
            self._asked.setdefault(disk, deque()).extend(indices)
            self._work_came.notify(len(indices))

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether no guest waited for a block at some moment before the timeout."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while (self._asked or self._busy) and not self._closed:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._work_ended.wait(left_s):
                    return False
        return True

    def close(self) -> None:
        """Begin no other fetch. One that is under way ends by itself, or with the process."""
        with self._lock:
            self._closed = True
            self._asked.clear()
            self._work_came.notify_all()
            self._work_ended.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            disk, index = job
            try:
                disk.fetch(index)
            except Exception:  # noqa: BLE001, a thread must outlive whatever one block meets
                _log.exception("block %s cannot be fetched", index)
            finally:
                self._ended()

    def _next(self) -> tuple[Fetching, int] | None:
        with self._lock:
            while not self._asked and not self._closed:
                self._work_came.wait()
            if self._closed:
                return None
            disk, indices = self._asked.popitem(last=False)
            index = indices.popleft()
            if indices:
                self._asked[disk] = indices  # behind the others
            self._busy += 1
            return disk, index

    def _ended(self) -> None:
        with self._lock:
            self._busy -= 1
            if not self._busy and not self._asked:
                self._work_ended.notify_all()
