"""A store whose garbage goes while others write (DESIGN section 4).

An ingest may find an object that a collector is about to delete. So its writer, which is opened
under the ingest's lease, has every object spared before it says that it is there. Only where
nothing at all is condemned when it is opened it need not: what is condemned later is no danger to
it, since the collector waits for the leases that were held then, and marks once more.
"""

import threading
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Protocol, Self

from openami.blockstore.store import ChunkStore, Kind, Writer
from openami.domain.block import Digest

Named = tuple[Kind, Digest]


class Condemnations(Protocol):
    """What a collector of this store is about to delete."""

    def any(self) -> bool:
        """Whether there is anything."""
        ...

    def spare(self, named: Collection[Named]) -> None:
        """Return when no collector will delete any of them: spared, or gone already.

        Raises StillDoomed if one that can no longer be spared is not gone in good time.
        """
        ...


class StillDoomed(Exception):
    """An object that is needed is being deleted, and the collector does not get on with it."""


class GuardedStore:
    """`store`, with writers that know what is condemned."""

    def __init__(self, store: ChunkStore, condemnations: Condemnations) -> None:
        self._store, self._condemnations = store, condemnations
        self.get, self.framed, self.stored_bytes = store.get, store.framed, store.stored_bytes
        self.has, self.missing, self.digests = store.has, store.missing, store.digests
        self.delete, self.quarantine = store.delete, store.quarantine

    def writer(self) -> Writer:
        return GuardedWriter(self._store, self._condemnations)


class GuardedWriter:
    """Asks whether anything is condemned before its first look at the store."""

    def __init__(self, store: ChunkStore, condemnations: Condemnations) -> None:
        self._condemnations = condemnations
        self._are_any = condemnations.any()
        self._writer = store.writer()
        self._sparing = threading.Lock()

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        asked = list(digests)
        if self._are_any:
            with self._sparing:  # many threads write, and one of them asks
                self._condemnations.spare([(kind, digest) for digest in asked])
        return self._writer.missing(asked, kind)

    def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
        self._writer.put(digest, framed, kind)

    def commit(self) -> None:
        self._writer.commit()

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)
