"""Objects in buckets of an S3 endpoint, by obstore (D9)."""

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Final

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from openami.domain.ids import Clock
from openami.objects import uploads
from openami.objects.hurried import Hurried
from openami.objects.store import (
    PART_BYTES,
    Endpoint,
    Looker,
    ObjectAbsent,
    ObjectChanged,
    ObjectInfo,
    ObjectStoreError,
)
from openami.wire.s3_client import Patience, s3_client

_PARTS_MAX: Final = 9000  # S3 takes 10,000
_AT_ONCE: Final = 2  # parts on their way: each is held in memory
_PATIENCE: Final = Patience(request_s=300.0, retries=5, retry_for_s=60.0)
_HURRY: Final = Patience(request_s=5.0, retries=0, retry_for_s=5.0)


class _Looks:
    """Reads objects with a patience. Asks `find` for the endpoint each time, so that a store that
    is started late or anew is met; it may raise ObjectStoreError."""

    def __init__(self, find: Callable[[], Endpoint], patience: Patience) -> None:
        self._find, self._patience = find, patience
        self._stores: dict[tuple[Endpoint, str], S3Store] = {}
        self._lock = threading.Lock()

    def head(self, bucket: str, key: str) -> ObjectInfo:
        with _told(), _told_of_key(key):
            found = obstore.head(self._of(bucket), key)
        return ObjectInfo(size_bytes=found["size"], etag=found["e_tag"] or "")

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        with _told(), _told_of_key(key):
            found = obstore.get(
                self._of(bucket),
                key,
                options={"range": (start, start + length), "if_match": etag},
            )
            data = found.bytes().to_bytes()
        if len(data) != length:
            raise ObjectChanged(f"{bucket}/{key} ended at byte {start + len(data)}")
        return data

    def _of(self, bucket: str) -> S3Store:
        endpoint = self._find()
        with self._lock:
            if (endpoint, bucket) not in self._stores:
                self._stores[endpoint, bucket] = s3_client(
                    bucket,
                    url=endpoint.url,
                    region=endpoint.region,
                    access_key_id=endpoint.access_key_id,
                    secret_access_key=endpoint.secret_access_key,
                    patience=self._patience,
                )
            return self._stores[endpoint, bucket]


class S3Objects(_Looks):
    """`on_close` ends what `find` started. `hurry` is the patience of requests."""

    def __init__(
        self,
        find: Callable[[], Endpoint],
        clock: Clock,
        on_close: Callable[[], None] = lambda: None,
        hurry: Patience = _HURRY,
    ) -> None:
        super().__init__(find, _PATIENCE)
        self._clock, self._on_close = clock, on_close
        self._hurried = Hurried(_Looks(find, hurry))

    def endpoint(self) -> Endpoint:
        return self._find()

    def hurried(self) -> Looker:
        return self._hurried

    def put(
        self,
        bucket: str,
        key: str,
        parts: Iterable[bytes],
        *,
        tags: Mapping[str, str] | None = None,
        size_bytes: int = 0,
    ) -> None:
        part_bytes = max(PART_BYTES, -(-size_bytes // _PARTS_MAX))
        try:
            with _told():
                obstore.put(
                    self._of(bucket),
                    key,
                    iter(parts),
                    tags=dict(tags) if tags else None,
                    chunk_size=part_bytes,
                    max_concurrency=_AT_ONCE,
                )
        except Exception:
            with suppress(ObjectStoreError, ObjectAbsent):
                self.abandon(bucket, key)
            raise

    def abandon(self, bucket: str, key: str) -> None:
        uploads.abandon(self._find(), self._clock.now(), bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        with _told():
            try:
                obstore.delete(self._of(bucket), key)
            except FileNotFoundError:
                return

    def close(self) -> None:
        self._on_close()


@contextmanager
def _told_of_key(key: str) -> Generator[None]:
    """A key that is no path to obstore can name nothing that it finds."""
    try:
        yield
    except ValueError as odd:
        raise ObjectAbsent(key) from odd


@contextmanager
def _told() -> Generator[None]:
    """obstore's errors as the store's."""
    try:
        yield
    except FileNotFoundError as absent:
        raise ObjectAbsent(str(absent)) from absent
    except PreconditionError as changed:
        raise ObjectChanged(str(changed)) from changed
    except (BaseError, PermissionError, TimeoutError, ConnectionError) as failure:
        # The first line says what failed; thirty more are the inside of obstore's error.
        raise ObjectStoreError(str(failure).partition("\n")[0]) from failure
