"""Where imports come from and exports go: objects in buckets. tests/contract holds stores to it.

Who owns a bucket is not known here; the catalog says, and whoever calls has asked it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

PART_BYTES: Final = 8 << 20
"""As much of an object as is asked for at a time."""


class ObjectStoreError(Exception):
    """The store cannot be reached or does not do as it is asked; the text is for the log."""


class ObjectAbsent(Exception):
    """There is no such object, or no such bucket."""


class ObjectChanged(Exception):
    """The object is another one than when it was first looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An S3 endpoint, and the keys by which it knows us."""

    url: str
    access_key_id: str
    secret_access_key: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """`etag` names the content: another content has another one."""

    size_bytes: int
    etag: str


class ObjectStore(Protocol):
    """Thread-safe. Every method may raise ObjectStoreError."""

    def endpoint(self) -> Endpoint:
        """Where the store is, started if it has to be."""
        ...

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """Raises ObjectAbsent."""
        ...

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        """A range of the object, which has to reach so far. Raises ObjectAbsent, ObjectChanged."""
        ...

    def hurried(self) -> "Looker":
        """The objects for who keeps a request waiting: they are there in seconds or not at all."""
        ...

    def put(
        self,
        bucket: str,
        key: str,
        parts: Iterable[bytes],
        *,
        tags: Mapping[str, str] | None = None,
        size_bytes: int = 0,
    ) -> None:
        """Write the object: it is there whole when this returns, and not before.

        `size_bytes` is about how large it will be. Raises ObjectAbsent for a bucket that is not
        there, and whatever `parts` raises: then there is no object.
        """
        ...

    def abandon(self, bucket: str, key: str) -> None:
        """Forget what an upload of the key left that ended before the object was whole.

        That of a process that was killed is still there. Raises ObjectAbsent for no such bucket.
        """
        ...

    def delete(self, bucket: str, key: str) -> None:
        """Remove the object. One that is not there is fine."""
        ...

    def close(self) -> None:
        """Let go of everything. Safe to call twice."""
        ...


class Reader(Protocol):
    """The part of a store that reads."""

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        """As `ObjectStore.read`."""
        ...


class Looker(Reader, Protocol):
    """The part of a store that reads and tells what is there."""

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """As `ObjectStore.head`."""
        ...


def stream(
    store: Reader,
    bucket: str,
    key: str,
    info: ObjectInfo,
    start: int = 0,
    part_bytes: int = PART_BYTES,
) -> Iterator[bytes]:
    """The object's bytes from `start` on. Raises as `read` does."""
    while start < info.size_bytes:
        length = min(part_bytes, info.size_bytes - start)
        yield store.read(bucket, key, info.etag, start, length)
        start += length
