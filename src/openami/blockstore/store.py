"""Where chunks and manifest pages live. tests/contract holds every implementation to this.

Three sentences from which the rest follows. No page is there before its writer commits, and what
a commit has published survives a power cut. What is read was verified. An object
is named by its content, so writing it again is harmless and writers never contend.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from openami.domain.block import Digest


class Kind(StrEnum):
    """The two key spaces of a store; the value is the prefix of the object's key."""

    CHUNK = "c"
    PAGE = "n"  # a page of a manifest


class Writer(Protocol):
    """One ingest's objects on their way in. Its methods may be called from many threads.

    It is opened under the ingest's lease: what it says to be there may be relied on until the
    lease ends. Leaving the `with` block commits; leaving it by an exception drops all that was
    not committed before, but for chunks that are in the store already: nothing names them, so
    they are garbage. Each method may raise StoreAway.
    """

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        """Those that have to be put: neither published nor staged here."""
        ...

    def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
        """Stage an object as `codec.encode` framed it. Raises StoreFull.

        A store without a place to stage in may have a chunk at once; a page never.
        """
        ...

    def commit(self) -> None:
        """Publish durably what was staged: chunks first, then pages in the order of their puts.

        Also makes durable whatever other writers had published before, so that one who found
        all its chunks in the store may rely on them afterwards. May be repeated.
        Raises StoreFull; nothing short or torn is then under any name. May raise NoLongerThere.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ChunkStore(Protocol):
    """Each method may raise StoreAway, if the store is not on this host."""

    looks_are_cheap: bool
    """Whether `has` costs a system call, and not a request to another host."""

    @property
    def directory(self) -> Path | None:
        """Where it is, if it is on this host."""
        ...

    def writer(self) -> Writer: ...

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        """The plain bytes, verified against their digest.

        Raises ChunkLost if there is no such object, ChunkCorrupt if its bytes are not what
        its name says: the object is then in quarantine and no longer counts as there.
        """
        ...

    def framed(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        """The object as it is stored, for another store's `put`: verified as `get` does it."""
        ...

    def has(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bool:
        """Whether it is published now. Who is to rely on it asks a writer."""
        ...

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        """Those that are not published now, asked for at once: `has` of many."""
        ...

    def stored_bytes(self, digest: Digest, kind: Kind = Kind.CHUNK) -> int:
        """What the object takes in the store, header and all. Raises ChunkLost."""
        ...

    def delete(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        """Forget the object. Deleting what is not there is harmless."""
        ...

    def quarantine(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        """Take the object out of the store but keep its bytes for whoever looks into it."""
        ...

    def digests(self, kind: Kind = Kind.CHUNK) -> Iterator[Digest]: ...


class ChunkLost(Exception):
    """Bytes that a snapshot relies on are gone. Never the caller's fault, always an alarm."""

    def __init__(self, digest: Digest, kind: Kind = Kind.CHUNK, reason: str = "is missing") -> None:
        super().__init__(f"{kind}/{digest.hex()} {reason}")
        self.digest, self.kind = digest, kind


class ChunkCorrupt(ChunkLost):
    """The object is there, but its bytes are not the ones its name promises."""


class NoLongerThere(Exception):
    """What a writer has found, and its caller did not put, is gone before it was made durable: it
    was collected, or is in quarantine. Who writes it begins anew."""


class StoreFull(Exception):
    """There is no room left where the chunks are kept; the message says where."""


class StoreAway(Exception):
    """The store cannot be reached, or does not do as it is asked, for as long as is reasonable.

    Nothing is lost and nothing is known: who tries again later may have it. The message says
    which store and why.
    """
