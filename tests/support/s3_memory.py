"""A bucket in memory, where something may happen with each request that changes it."""

from collections.abc import Callable

from obstore.store import MemoryStore

from openami.blockstore.s3.bucket import Bucket


def bucket_in_memory(moment: Callable[[], None] = lambda: None) -> Bucket:
    """`moment` runs before and after each of those. It may outlive who has a store in it."""
    return _Watched(moment)


class _Watched(Bucket):
    def __init__(self, moment: Callable[[], None]) -> None:
        super().__init__(MemoryStore(), "store", "memory")
        self._moment = moment

    def put(self, key: str, body: bytes) -> None:
        self._moment()
        super().put(key, body)
        self._moment()

    def delete(self, key: str) -> None:
        self._moment()
        super().delete(key)
        self._moment()
