"""Objects in memory: what passes the same contract suite as the S3 store."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from openami.objects.store import (
    Endpoint,
    ObjectAbsent,
    ObjectChanged,
    ObjectInfo,
    ObjectStoreError,
)


def _nothing() -> None: ...


@dataclass
class MemoryObjects:
    """`buckets` are those there are; a test may look into `held` and `tags`, and take it `down`.

    `uploads` are those that have begun and not ended. `moment` runs with each part of one.
    """

    buckets: set[str] = field(default_factory=set[str])
    held: dict[tuple[str, str], bytes] = field(default_factory=dict[tuple[str, str], bytes])
    tags: dict[tuple[str, str], dict[str, str]] = field(
        default_factory=dict[tuple[str, str], dict[str, str]]
    )
    uploads: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    down: bool = False
    moment: Callable[[], None] = _nothing

    def endpoint(self) -> Endpoint:
        self._answer()
        return Endpoint(
            url="http://127.0.0.1:1", access_key_id="a", secret_access_key="b", region="us-east-1"
        )

    def head(self, bucket: str, key: str) -> ObjectInfo:
        data = self._found(bucket, key)
        return ObjectInfo(size_bytes=len(data), etag=_etag(data))

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        data = self._found(bucket, key)
        if _etag(data) != etag:
            raise ObjectChanged(f"{bucket}/{key}")
        if start + length > len(data):
            raise ObjectChanged(f"{bucket}/{key} ended")
        return data[start : start + length]

    def put(
        self,
        bucket: str,
        key: str,
        parts: Iterable[bytes],
        *,
        tags: Mapping[str, str] | None = None,
        size_bytes: int = 0,
    ) -> None:
        self._answer()
        if bucket not in self.buckets:
            raise ObjectAbsent(bucket)
        self.uploads.add((bucket, key))
        try:
            data = b"".join(self._taken(parts))
        except Exception:
            self.abandon(bucket, key)
            raise
        self.uploads.discard((bucket, key))
        self.held[bucket, key] = data
        self.tags[bucket, key] = dict(tags or {})
        self.moment()

    def _taken(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            self.moment()
            yield part

    def abandon(self, bucket: str, key: str) -> None:
        self._answer()
        if bucket not in self.buckets:
            raise ObjectAbsent(bucket)
        self.uploads.discard((bucket, key))

    def delete(self, bucket: str, key: str) -> None:
        self._answer()
        self.held.pop((bucket, key), None)

    def close(self) -> None: ...

    def _found(self, bucket: str, key: str) -> bytes:
        self._answer()
        if (bucket, key) not in self.held:
            raise ObjectAbsent(f"{bucket}/{key}")
        return self.held[bucket, key]

    def _answer(self) -> None:
        if self.down:
            raise ObjectStoreError("the store is down")


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'
