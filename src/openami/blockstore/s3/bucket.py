"""One prefix of a bucket, whose operations are done when they return, or raise StoreAway.

obstore tries again what an S3 refuses, breaks off or leaves unanswered (wire/s3_client.py). What it
leaves to us: an answer that ends in its middle, and a write that was acknowledged and is not there.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from openami.blockstore.store import StoreAway, StoreFull
from openami.domain.store_place import BucketPlace
from openami.wire.s3_client import Patience, s3_client

T = TypeVar("T")

PATIENCE: Final = Patience(request_s=30.0, retries=10, retry_for_s=90.0, longest_pause_s=5.0)
BRIEF: Final = Patience(request_s=10.0, retries=4, retry_for_s=15.0, longest_pause_s=2.0)
"""For what is looked at each minute, while others wait: a store that is away must not hold them."""
_TRIES: Final = 5
"""Of what obstore does not try again."""
_LISTED_AT_ONCE: Final = 1000  # as many as S3 tells at once
_FULL: Final = ("QuotaExceeded", "StorageFull", "InsufficientStorage", "507 ")
_REASON_CHARS_MAX: Final = 300


class WriteLost(StoreAway):
    """A write was acknowledged again and again, and the object is not there, or not all of it."""


class Bucket:
    """`where` is its name for people. Safe between threads. Every method may raise StoreAway."""

    def __init__(
        self, store: ObjectStore, prefix: str, where: str, patience: Patience = PATIENCE
    ) -> None:
        self._store, self.where = store, where
        self._prefix = f"{prefix}/" if prefix else ""
        self._patience = patience

    def put(self, key: str, body: bytes) -> None:
        """Write the object, and look whether it is there and as long. Raises StoreFull, WriteLost.

        Without the look, a store that acknowledges what it loses would be believed, and snapshots
        would name what nobody has. docs/storage.md tells what it costs.
        """
        for pause_s in (*self._pauses(), 0.0):
            with self._told(key):
                obstore.put(self._store, self._prefix + key, body, use_multipart=False)
            if self.size(key) == len(body):
                return
            threading.Event().wait(pause_s)
        raise WriteLost(f"{self.where} acknowledges {key} again and again and does not have it")

    def create(self, key: str, body: bytes) -> bool:
        """Write the object unless it is there; False if another one is."""

        def create() -> bool:
            with suppress(AlreadyExistsError):  # by another, or by a try of ours without an answer
                obstore.put(
                    self._store, self._prefix + key, body, mode="create", use_multipart=False
                )
            return self.get(key, len(body)) == body

        return self._again(key, create)

    def get(self, key: str, bytes_max: int) -> bytes | None:
        """The object, or None. One that is too long is not read: zeros, too many, stand for it."""

        def get() -> bytes | None:
            try:
                found = obstore.get(self._store, self._prefix + key)
            except FileNotFoundError as absent:
                self._require_bucket(absent)
                return None
            if found.meta["size"] > bytes_max:
                return bytes(bytes_max + 1)
            return found.bytes().to_bytes()

        return self._again(key, get)

    def size(self, key: str) -> int | None:
        """How long the object is; None if it is not there."""
        with self._told(key):
            try:
                return obstore.head(self._store, self._prefix + key)["size"]
            except FileNotFoundError as absent:
                self._require_bucket(absent)
                return None

    def delete(self, key: str) -> None:
        """Forget the object, if it is there. After StoreAway it may still be deleted later."""
        with self._told(key):
            try:
                obstore.delete(self._store, self._prefix + key)
            except FileNotFoundError as absent:
                self._require_bucket(absent)

    def copy(self, key: str, target: str) -> bool:
        """Give the object a second name; False if it is not there."""

        def copy() -> bool:
            try:
                obstore.copy(self._store, self._prefix + key, self._prefix + target)
            except FileNotFoundError as absent:
                self._require_bucket(absent)
                return False
            return True

        return self._again(key, copy)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin so, in order, each once, a page at a time."""
        after = ""
        while page := self._page(prefix, after):
            yield from (key.removeprefix(self._prefix) for key in page)
            after = page[-1]

    def _page(self, prefix: str, after: str) -> list[str]:
        """The keys that follow `after`, some of them; none if there are no more."""

        def page() -> list[str]:
            listing = obstore.list(  # pyright: ignore[reportUnknownMemberType] # arrow is not here
                self._store,
                self._prefix + prefix,
                offset=after or None,
                chunk_size=_LISTED_AT_ONCE,
            )
            found = {entry["path"] for entry in next(iter(listing), ())}
            return sorted(key for key in found if key > after)

        return self._again(prefix, page)

    def _again(self, key: str, act: Callable[[], T]) -> T:
        """`act`, which may be done twice, until it is done."""
        deadline = time.monotonic() + self._patience.retry_for_s
        for pause_s in self._pauses():
            try:
                with self._told(key):
                    return act()
            except StoreAway:
                if time.monotonic() > deadline:
                    raise
                threading.Event().wait(pause_s)
        with self._told(key):
            return act()

    def _pauses(self) -> Iterator[float]:
        return (self._patience.first_pause_s * 2**tried for tried in range(_TRIES - 1))

    @contextmanager
    def _told(self, key: str) -> Generator[None]:
        """obstore's errors as the store's."""
        try:
            yield
        except (BaseError, PermissionError, TimeoutError, ConnectionError) as failure:
            reason = str(failure).partition("\n\nDebug source")[0][:_REASON_CHARS_MAX]
            if any(code in reason for code in _FULL):
                raise StoreFull(f"no room left in {self.where}: {reason}") from failure
            raise StoreAway(
                f"{self.where} does not do as it is asked ({key}): {reason}"
            ) from failure

    def _require_bucket(self, absent: FileNotFoundError) -> None:
        """An object that is not there is one thing, a bucket another."""
        if "NoSuchBucket" in str(absent):
            raise StoreAway(f"{self.where}: there is no such bucket") from absent


def at(place: BucketPlace, patience: Patience = PATIENCE) -> Bucket:
    """Nothing is connected yet."""
    client = s3_client(
        place.bucket,
        url=place.endpoint,
        region=place.region,
        access_key_id=place.access_key_id,
        secret_access_key=place.secret_access_key,
        patience=patience,
    )
    return Bucket(client, place.prefix, str(place), patience)
