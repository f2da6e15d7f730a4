"""A store that may be away when the server starts: taken when it is there, used only from then on.

Whose a store is, its owner's record says, and nobody uses it before that was read. A server whose
store does not answer starts nevertheless: then whoever wants something of the store looks first
whether it is there by now, and is told StoreAway until it is there and this catalog's.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from openami.blockstore.ownership import ForeignStore
from openami.blockstore.store import ChunkStore, Kind, StoreAway, StoreFull, Writer
from openami.domain.block import Digest

PAUSE_S: Final = 5.0
"""Between two tries: who asks meanwhile is told what the last one has found."""
_log = logging.getLogger(__name__)


class Arrival:
    """`take` makes the store ours. It is called by one at a time, until it has returned once."""

    def __init__(self, take: Callable[[], None]) -> None:
        self._take = take
        self._trying = threading.Lock()
        self._is_here = False
        self._reason = ""
        self._again_s = 0.0

    def require(self) -> None:
        """Return if the store has been taken. Raises StoreAway if it is away, or is another's: it
        may be the one that is wanted at the next look."""
        if self._is_here:
            return
        with self._trying:
            if self._is_here:
                return
            if time.monotonic() < self._again_s:
                raise StoreAway(self._reason)
            try:
                self._take()
            except StoreAway as away:
                self._missed(str(away))
                raise
            except (ForeignStore, StoreFull) as refusal:
                _log.error("a store that was away is not used: %s", refusal)
                self._missed(str(refusal))
                raise StoreAway(self._reason) from refusal
            self._is_here = True

    def missed(self, away: StoreAway) -> None:
        """Somebody else has looked for it just now."""
        with self._trying:
            self._missed(str(away))

    def _missed(self, reason: str) -> None:
        self._reason, self._again_s = reason, time.monotonic() + PAUSE_S


class AwaitedStore:
    """`store`, of which nothing is read and nothing written before its arrival."""

    def __init__(self, store: ChunkStore, arrival: Arrival) -> None:
        self._store, self._arrival = store, arrival
        self.looks_are_cheap = store.looks_are_cheap

    @property
    def directory(self) -> Path | None:
        return self._store.directory

    def writer(self) -> Writer:
        return self._here().writer()

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._here().get(digest, kind)

    def framed(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        return self._here().framed(digest, kind)

    def has(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bool:
        return self._here().has(digest, kind)

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        return self._here().missing(digests, kind)

    def stored_bytes(self, digest: Digest, kind: Kind = Kind.CHUNK) -> int:
        return self._here().stored_bytes(digest, kind)

    def delete(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        self._here().delete(digest, kind)

    def quarantine(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        self._here().quarantine(digest, kind)

    def digests(self, kind: Kind = Kind.CHUNK) -> Iterator[Digest]:
        return self._here().digests(kind)

    def _here(self) -> ChunkStore:
        self._arrival.require()
        return self._store
