"""Work on a stream of items with a few threads, holding only what is being worked on."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

Progress = Callable[[int, int], None]
"""Told (done_bytes, total_bytes) as work proceeds, from any thread but never from two at once."""


def no_progress(done_bytes: int, total_bytes: int) -> None:
    """Told to those who want to hear nothing."""


def for_each(items: Iterable[Item], work: Callable[[Item], None], threads: int) -> None:
    """Do `work` for every item. The first error stops the others after their item and is raised.

    Items are taken one at a time, so they may come from a generator that reads files.
    """
    stream = iter(items)
    taking = threading.Lock()
    failed = threading.Event()

    def run() -> None:
        try:
            for item in _taken(stream, taking, failed):
                work(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(threads, thread_name_prefix="blocks") as pool:
        running = [pool.submit(run) for _ in range(threads)]
    for thread in running:
        thread.result()


def _taken(
    stream: Iterator[Item], taking: threading.Lock, failed: threading.Event
) -> Iterator[Item]:
    while not failed.is_set():
        with taking:
            try:
                item = next(stream)
            except StopIteration:
                return
        yield item


class Tally:
    """Adds up done bytes over threads and tells `progress`."""

    def __init__(self, progress: Progress, total_bytes: int) -> None:
        self._progress, self._total_bytes = progress, total_bytes
        self._done_bytes = 0
        self._lock = threading.Lock()

    def add(self, done_bytes: int) -> None:
        with self._lock:
            self._done_bytes += done_bytes
            self._progress(self._done_bytes, self._total_bytes)
