"""A store whose garbage goes while others write (DESIGN section 4), and whose losses are noted.

An ingest may find an object that a collector is about to delete. So its writer, which is opened
under the ingest's lease, has every object spared before it says that it is there. Only where
nothing at all is condemned when it is opened it need not: what is condemned later is no danger to
it, since the collector waits for the leases that were held then, and marks once more.
"""

import threading
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from openami.blockstore.store import ChunkLost, ChunkStore, Kind, Writer
from openami.domain.block import Digest

Named = tuple[Kind, Digest]


class Book(Protocol):
    """What is kept about this store: what a collector is about to delete, and what is lost."""

    def any_condemned(self) -> bool:
        """Whether a collector is about to delete anything."""
        ...

    def spare(self, named: Collection[Named]) -> None:
        """Return when no collector will delete any of them: spared, or gone already.

        Raises StillDoomed if one that can no longer be spared is not gone in good time.
        """
        ...

    def lost(self, named: Named) -> None:
        """Somebody wanted to read it, and it is missing or corrupt."""
        ...


class StillDoomed(Exception):
    """An object that is needed is being deleted, and the collector does not get on with it."""


class GuardedStore:
    """`store`, with writers that know what is condemned."""

    def __init__(self, store: ChunkStore, book: Book) -> None:
        self._store, self._book = store, book
        self.looks_are_cheap, self.directory = store.looks_are_cheap, store.directory
        self.stored_bytes = store.stored_bytes
        self.has, self.missing, self.digests = store.has, store.missing, store.digests
        self.delete, self.quarantine = store.delete, store.quarantine

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        with self._losses_noted():
            return self._store.get(digest, kind)

    def framed(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        with self._losses_noted():
            return self._store.framed(digest, kind)

    def writer(self) -> Writer:
        return GuardedWriter(self._store, self._book)

    @contextmanager
    def _losses_noted(self) -> Generator[None]:
        try:
            yield
        except ChunkLost as lost:
            self._book.lost((lost.kind, lost.digest))
            raise


class GuardedWriter:
    """Asks whether anything is condemned before its first look at the store."""

    def __init__(self, store: ChunkStore, book: Book) -> None:
        self._book = book
        self._are_any = book.any_condemned()
        self._writer = store.writer()
        self._sparing = threading.Lock()

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        asked = list(digests)
        if self._are_any:
            with self._sparing:  # many threads write, and one of them asks
                self._book.spare([(kind, digest) for digest in asked])
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
