"""One lock per resource: look, act and commit as one, beside other workflows of this process.

A lock guards nothing across a crash; there, steps look before they act.
"""

import threading
from collections.abc import Generator
from contextlib import contextmanager


class KeyedLocks:
    """Locks by key, made when first asked for and dropped when nobody holds or awaits them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}

    @contextmanager
    def __call__(self, key: str) -> Generator[None]:
        """Hold the lock of `key`; the same thread may take it again."""
        with self._used(key) as lock, lock:
            yield

    @contextmanager
    def if_free(self, key: str) -> Generator[bool]:
        """Hold the lock of `key` unless another thread does; whether it is held within."""
        with self._used(key) as lock:
            held = lock.acquire(blocking=False)
            try:
                yield held
            finally:
                if held:
                    lock.release()

    @contextmanager
    def _used(self, key: str) -> Generator[threading.RLock]:
        with self._guard:
            lock, users = self._locks.get(key, (threading.RLock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            yield lock
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)
