"""Objects in memory, which pass the same contract suite as the S3 store; buckets in a real one."""

import hashlib
import http.client
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from openami.app import RealClock
from openami.domain.store_place import BucketPlace
from openami.objects.store import (
    Endpoint,
    Looker,
    ObjectAbsent,
    ObjectChanged,
    ObjectInfo,
    ObjectStoreError,
)
from openami.wire import sign


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

    def hurried(self) -> Looker:
        return self

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


def make_bucket(endpoint: Endpoint, bucket: str) -> None:
    host = urlsplit(endpoint.url).netloc
    headers = sign.signed_headers(
        *("PUT", f"/{bucket}", "", {"host": host}),
        payload=sign.UNSIGNED_PAYLOAD,
        access_key_id=endpoint.access_key_id,
        secret=endpoint.secret_access_key,
        region=endpoint.region,
        now=RealClock().now(),
    )
    connection = http.client.HTTPConnection(host)
    connection.request("PUT", f"/{bucket}", headers=headers)
    assert connection.getresponse().status == 200
    connection.close()


def place_in(endpoint: Endpoint, bucket: str, prefix: str) -> BucketPlace:
    """Where a chunk store may be in a bucket of the endpoint."""
    return BucketPlace(
        bucket=bucket,
        prefix=prefix,
        endpoint=endpoint.url,
        region=endpoint.region,
        access_key_id=endpoint.access_key_id,
        secret_access_key=endpoint.secret_access_key,
    )
