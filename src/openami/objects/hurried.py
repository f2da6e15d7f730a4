"""Objects for those who keep a request waiting: a silent store must not take all of them."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from openami.objects.store import Looker, ObjectInfo, ObjectStoreError

AT_ONCE: Final = 8
"""So many requests wait for the store; it has that many of the server's threads, and no more."""


class Hurried:
    """The same objects. When others wait already, ObjectStoreError comes at once. Thread-safe."""

    def __init__(self, store: Looker) -> None:
        self._store = store
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def head(self, bucket: str, key: str) -> ObjectInfo:
        with self._turn():
            return self._store.head(bucket, key)

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        with self._turn():
            return self._store.read(bucket, key, etag, start, length)

    @contextmanager
    def _turn(self) -> Generator[None]:
        if not self._turns.acquire(blocking=False):
            raise ObjectStoreError(f"{AT_ONCE} requests wait for the S3 store already")
        try:
            yield
        finally:
            self._turns.release()
