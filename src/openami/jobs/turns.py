"""Requests that wait for a store: a silent one must not take all threads that requests have."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

AT_ONCE: Final = 16
WAIT_S: Final = 0.2
"""Where the store is well, a place is free much sooner."""


class NoTurn(Exception):
    """As many requests as may wait for a store do so already."""


class Turns:
    """`at_once` requests have a place. Thread-safe."""

    def __init__(self, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._places = threading.BoundedSemaphore(at_once)

    @contextmanager
    def one(self) -> Generator[None]:
        """A place until the end. Raises NoTurn when there is none soon."""
        if not self._places.acquire(timeout=self._wait_s):
            raise NoTurn
        try:
            yield
        finally:
            self._places.release()
