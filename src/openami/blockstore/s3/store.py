"""Objects under the keys that they have in a directory, too: `c/ab/<hex>` and `n/ab/<hex>`.

A chunk is put as soon as a writer has it, many at once: it is whole under its name or not there,
and nothing names it yet. Pages wait for the commit: each is put when all is there that it may
name. So nothing is staged, and nothing is left of a writer that died but garbage.
"""

import re
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as all_of
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from openami.blockstore import codec
from openami.blockstore.s3.bucket import Bucket, WriteLost
from openami.blockstore.store import ChunkCorrupt, ChunkLost, Kind, StoreAway
from openami.domain.block import Digest

AT_ONCE: Final = 16
"""Requests on their way: more were no faster over loopback."""
_ASKED_AT_ONCE: Final = 1024
_KEYS_PER_LOOK: Final = 4
"""Listing so many keys is at most as dear as one look, in money and in time."""
LATE_S: Final = 900.0
"""A request whose signature is older is refused: so long may one that was given up still arrive."""
_QUARANTINE: Final = "q"
_NAME: Final = re.compile(r"[0-9a-f]{64}")


class S3ChunkStore:
    looks_are_cheap = False
    directory: Path | None = None

    def __init__(self, bucket: Bucket, late_s: float = LATE_S) -> None:
        self._bucket, self._late_s = bucket, late_s
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="s3")
        self._undecided: dict[str, float] = {}
        self._writing = [threading.Lock() for _ in range(256)]

    def recover(self) -> int:
        """What writers of dead processes left behind: nothing is staged here."""
        return 0

    def writer(self) -> "S3Writer":
        return S3Writer(self, self._pool)

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._verified(digest, kind)[1]

    def framed(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._verified(digest, kind)[0]

    def has(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bool:
        return self._bucket.size(_key(digest, kind)) is not None

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        """A listing finds what is not there; that something is there, only a look at it tells:
        an S3 may go on listing what was deleted."""
        asked = set(digests)
        absent = self._unlisted(asked, kind) if len(asked) > _ASKED_AT_ONCE else set[Digest]()
        if len(asked) == 1:  # without waiting for what a writer puts
            return {digest for digest in asked if not self.has(digest, kind)}
        looked_at = iter(asked - absent)
        while part := list(islice(looked_at, _ASKED_AT_ONCE)):
            sizes = self._pool.map(self._bucket.size, (_key(each, kind) for each in part))
            absent.update(each for each, size in zip(part, sizes, strict=True) if size is None)
        return absent

    def stored_bytes(self, digest: Digest, kind: Kind = Kind.CHUNK) -> int:
        size = self._bucket.size(_key(digest, kind))
        if size is None:
            raise ChunkLost(digest, kind)
        return size

    def delete(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        """A deletion that was not answered may come late, after another one, too: until it cannot
        any more, a writer who needs the object is told StoreAway."""
        key = _key(digest, kind)
        try:
            self._bucket.delete(key)
        except StoreAway:
            self._undecided[key] = time.monotonic() + self._late_s
            raise

    def quarantine(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        if self._bucket.copy(_key(digest, kind), f"{_QUARANTINE}/{kind}{digest.hex()}"):
            self.delete(digest, kind)

    def digests(self, kind: Kind = Kind.CHUNK) -> Iterator[Digest]:
        for key in self._bucket.keys(f"{kind}/"):
            name = key.rpartition("/")[2]
            if _NAME.fullmatch(name) and key == _key(Digest(bytes.fromhex(name)), kind):
                yield Digest(bytes.fromhex(name))

    def write(self, digest: Digest, framed: bytes, kind: Kind) -> None:
        """Put the object, durably, now. Raises StoreFull.

        One at a time writes an object: who must take back the half that an S3 kept of it must not
        take the whole that another has put meanwhile.
        """
        key = _key(digest, kind)
        with self._writing[digest[0]]:
            self.require_decided([key])
            try:
                self._bucket.put(key, framed)
            except WriteLost:
                with suppress(StoreAway):
                    self.delete(digest, kind)
                raise

    def require_decided(self, keys: Iterable[str]) -> None:
        """Raises StoreAway if one of them may yet be deleted by a request that was given up."""
        for key in keys if self._undecided else ():
            left_s = self._undecided.get(key, 0.0) - time.monotonic()
            if left_s > 0:
                raise StoreAway(
                    f"{self._bucket.where} did not answer whether {key} is deleted; a late deletion"
                    f" is possible for {left_s:.0f} s more"
                )
            self._undecided.pop(key, None)

    def _unlisted(self, asked: Collection[Digest], kind: Kind) -> set[Digest]:
        """Those that are not listed; none where a listing is dearer than looking at each."""
        listed = list(islice(self.digests(kind), len(asked) * _KEYS_PER_LOOK))
        if len(listed) == len(asked) * _KEYS_PER_LOOK:
            return set()
        return set(asked).difference(listed)

    def _verified(self, digest: Digest, kind: Kind) -> tuple[bytes, bytes]:
        """The object as it is stored, and its plain bytes."""
        try:
            return self._decoded(digest, kind)
        except ChunkCorrupt:
            pass
        body = self._body(digest, kind)  # once more: what went wrong on the way is no loss
        try:
            return body, codec.decode(digest, body, kind)
        except ChunkCorrupt:
            self._require_whole(digest, kind, body)
            self.quarantine(digest, kind)
            raise

    def _decoded(self, digest: Digest, kind: Kind) -> tuple[bytes, bytes]:
        body = self._body(digest, kind)
        return body, codec.decode(digest, body, kind)

    def _body(self, digest: Digest, kind: Kind) -> bytes:
        body = self._bucket.get(_key(digest, kind), codec.body_bytes_max(kind))
        if body is None:
            raise ChunkLost(digest, kind)
        return body

    def _require_whole(self, digest: Digest, kind: Kind, body: bytes) -> None:
        """Raises StoreAway if what was read is not as long as the object: something between us and
        the store cuts answers short, and the object may be a good one."""
        size = self._bucket.size(_key(digest, kind))
        if size is not None and min(size, codec.body_bytes_max(kind) + 1) != len(body):
            raise StoreAway(
                f"{self._bucket.where} hands out {len(body)} bytes of the {size} of"
                f" {_key(digest, kind)}"
            )


class S3Writer:
    """Holds twice AT_ONCE chunks at most, on their way or waiting, and the pages of a commit."""

    def __init__(self, store: S3ChunkStore, pool: ThreadPoolExecutor) -> None:
        self._store, self._pool = store, pool
        self._staged: dict[Kind, set[Digest]] = {kind: set() for kind in Kind}
        self._pages: list[tuple[Digest, bytes]] = []
        self._running: set[Future[None]] = set()
        self._room = threading.BoundedSemaphore(2 * AT_ONCE)
        self._adding = threading.Lock()
        self._broken: BaseException | None = None

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        staged = self._staged[kind]
        asked = [digest for digest in digests if digest not in staged]
        self._store.require_decided(_key(digest, kind) for digest in asked)
        return self._store.missing(asked, kind)

    def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
        self._require_sound()
        with self._adding:
            if digest in self._staged[kind]:
                return
            self._staged[kind].add(digest)
            if kind is Kind.PAGE:
                self._pages.append((digest, framed))
                return
        self._room.acquire()
        running = self._pool.submit(self._store.write, digest, framed, kind)
        with self._adding:
            self._running.add(running)
        running.add_done_callback(self._ended)

    def commit(self) -> None:
        self._require_sound()
        self._await()
        try:
            for digest, framed in self._pages:  # a page is never there before what it names
                self._store.write(digest, framed, Kind.PAGE)
        except BaseException as failure:
            self._broken = failure
            raise
        self._pages.clear()
        for staged in self._staged.values():
            staged.clear()

    def _await(self) -> None:
        """Return when every chunk is in the store. Raises what kept one from it."""
        with self._adding:
            running = list(self._running)
        all_of(running)
        for each in running:  # their `_ended` may not have been called yet
            each.result()
        self._require_sound()

    def _ended(self, done: Future[None]) -> None:
        with self._adding:
            self._running.discard(done)
            if not done.cancelled() and self._broken is None:
                self._broken = done.exception()
        self._room.release()

    def _require_sound(self) -> None:
        """After a put that failed nothing is published any more: its page would name nothing."""
        if self._broken is not None:
            raise self._broken

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.commit()
            return
        with self._adding:
            running = list(self._running)
        for each in running:
            each.cancel()
        all_of(running)


def _key(digest: Digest, kind: Kind) -> str:
    name = digest.hex()
    return f"{kind}/{name[:2]}/{name}"
