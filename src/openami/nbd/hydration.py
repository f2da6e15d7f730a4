"""The rest of each disk, brought here while no guest waits for a block, and no faster than set."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from openami.nbd.demand import Demand
from openami.nbd.disk import Disk

THREADS: Final = 4  # so that a store that is far is asked for the next before the last is here
YIELD_S: Final = 1.0
"""Longer than this no guest can keep the disks of others from coming here."""
IDLE_S: Final = 0.5
_log = logging.getLogger(__name__)


class Rate:
    """So many bytes a second, 0 for any number; what was not used in the last second is lost."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self, count: int) -> float:
        """How many seconds to wait before using `count` bytes, which are taken with this."""
        if not self._bytes_per_s:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next, now - 1.0)
            wait_s = max(self._next - now, 0.0)
            self._next += count / self._bytes_per_s
        return wait_s


class Hydration:
    """Threads that go round the disks that `disks` tells, one block of each at a time."""

    def __init__(self, disks: Callable[[], Sequence[Disk]], demand: Demand, rate: Rate) -> None:
        self._disks, self._demand, self._rate = disks, demand, rate
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"hydrate-{number}", daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Begin nothing more; the fetches that are under way end by themselves."""
        self._closing.set()

    def _work(self) -> None:
        while not self._closing.is_set():
            moved = False
            for disk in self._disks():
                if self._closing.is_set() or not disk.enter():
                    continue
                fetched_bytes = None
                try:
                    fetched_bytes = self._advance(disk)
                except Exception:  # noqa: BLE001, a thread must outlive whatever a disk meets
                    _log.exception("%s does not hydrate", disk.root.to_text())
                finally:
                    disk.leave()
                if fetched_bytes is not None:
                    moved = True
                    # No longer with the disk: it may be closed meanwhile, and opened again.
                    self._closing.wait(self._rate.take(fetched_bytes))
            if not moved:
                self._closing.wait(IDLE_S)

    def _advance(self, disk: Disk) -> int | None:
        """How many bytes the store gave; None if there was nothing to do."""
        if disk.kept.complete:
            return None
        self._demand.wait_idle(YIELD_S)
        index = disk.next_wanted()
        if index is None:
            if disk.kept.blocks_here == disk.root.blocks:
                disk.finish()
            return None
        return disk.fetch(index)
