"""Chunks in a dict, for tests and for trying things out."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from openami.blockstore import codec
from openami.blockstore.store import ChunkCorrupt, ChunkLost, Kind
from openami.domain.block import Digest

Key = tuple[Kind, Digest]


class MemoryWriter:
    def __init__(self, published: dict[Key, bytes], lock: threading.Lock) -> None:
        self._published, self._lock = published, lock
        self._staged: dict[Key, bytes] = {}

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        with self._lock:
            return {
                digest
                for digest in digests
                if (kind, digest) not in self._staged and (kind, digest) not in self._published
            }

    def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
        with self._lock:
            self._staged[kind, digest] = framed

    def commit(self) -> None:
        with self._lock:
            self._published.update(self._staged)
            self._staged.clear()

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
        self._staged.clear()


class MemoryChunkStore:
    looks_are_cheap = True
    directory: Path | None = None

    def __init__(self) -> None:
        self._objects: dict[Key, bytes] = {}
        self._quarantined: dict[Key, bytes] = {}
        self._lock = threading.Lock()

    def writer(self) -> MemoryWriter:
        return MemoryWriter(self._objects, self._lock)

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        try:
            return codec.decode(digest, self._body(digest, kind), kind)
        except ChunkCorrupt:
            self.quarantine(digest, kind)
            raise

    def framed(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        body = self._body(digest, kind)
        self.get(digest, kind)
        return body

    def has(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bool:
        return (kind, digest) in self._objects

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        return {digest for digest in digests if not self.has(digest, kind)}

    def stored_bytes(self, digest: Digest, kind: Kind = Kind.CHUNK) -> int:
        return len(self._body(digest, kind))

    def delete(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        with self._lock:
            self._objects.pop((kind, digest), None)

    def quarantine(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        with self._lock:
            body = self._objects.pop((kind, digest), None)
            if body is not None:
                self._quarantined[kind, digest] = body

    def digests(self, kind: Kind = Kind.CHUNK) -> Iterator[Digest]:
        with self._lock:
            return iter([digest for its_kind, digest in self._objects if its_kind is kind])

    def _body(self, digest: Digest, kind: Kind) -> bytes:
        body = self._objects.get((kind, digest))
        if body is None:
            raise ChunkLost(digest, kind)
        return body
