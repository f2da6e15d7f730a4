"""The S3 chunk store over a bucket in memory, where something may happen with each request."""

from collections.abc import Callable

from obstore.store import MemoryStore

from openami.blockstore.s3.bucket import Bucket
from openami.blockstore.s3.store import S3ChunkStore


def s3_in_memory(moment: Callable[[], None] = lambda: None) -> S3ChunkStore:
    """`moment` runs before and after everything that changes the bucket."""
    return S3ChunkStore(_Watched(moment))


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
