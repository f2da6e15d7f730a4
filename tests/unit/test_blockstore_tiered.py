"""A store with an archive: what is read from where, and how chunks move between the two."""

import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from openami.blockstore import codec
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.memory import MemoryChunkStore, MemoryWriter
from openami.blockstore.store import ChunkCorrupt, ChunkLost, ChunkStore, Kind, StoreAway
from openami.blockstore.tiered import TieredStore, move
from openami.domain.block import BLOCK_BYTES, Digest


def put(store: ChunkStore, sign: bytes) -> Digest:
    block = sign * BLOCK_BYTES
    digest = codec.digest_of(block)
    with store.writer() as writer:
        writer.put(digest, codec.encode(block))
    return digest


def test_what_is_archived_is_read_but_counts_as_not_there() -> None:
    hot, cold = MemoryChunkStore(), MemoryChunkStore()
    store = TieredStore(hot, cold)
    a, b = put(store, b"a"), put(cold, b"b")
    assert store.get(b) == b"b" * BLOCK_BYTES
    assert (store.has(a), store.has(b), store.missing([a, b])) == (True, False, {b})
    assert store.stored_bytes(b) == cold.stored_bytes(b)
    assert set(store.digests()) == {a, b}
    store.delete(b)
    assert cold.has(b), "the archive's objects are the archive's"


def test_what_is_in_neither_is_lost() -> None:
    store = TieredStore(MemoryChunkStore(), MemoryChunkStore())
    with pytest.raises(ChunkLost):
        store.get(codec.digest_of(b"x" * BLOCK_BYTES))


def test_a_damaged_chunk_is_read_from_the_archive_or_told_as_damaged(tmp_path: Path) -> None:
    hot = LocalDirChunkStore(tmp_path)
    cold = LocalDirChunkStore(tmp_path / "archive")
    store = TieredStore(hot, cold)
    a, b = put(store, b"a"), put(store, b"b")
    put(cold, b"a")
    for digest in (a, b):
        next(tmp_path.glob(f"c/*/{digest.hex()}")).write_bytes(b"not it")
    assert store.get(a) == b"a" * BLOCK_BYTES
    with pytest.raises(ChunkCorrupt):
        store.get(b)


def test_chunks_move_there_and_back(tmp_path: Path) -> None:
    hot = LocalDirChunkStore(tmp_path)
    cold = LocalDirChunkStore(tmp_path / "archive")
    store = TieredStore(hot, cold)
    digests = [put(store, bytes([n])) for n in range(1, 6)]
    put(cold, bytes([1]))  # of an attempt that died
    assert move(store, cold, digests[:3]) == 3
    assert [hot.has(each) for each in digests] == [False] * 3 + [True] * 2
    assert [store.get(each)[:1] for each in digests] == [bytes([n]) for n in range(1, 6)]
    assert move(store, cold, digests[:3]) == 0
    assert move(cold, store, digests) == 3
    assert all(hot.has(each) for each in digests)
    assert list(cold.digests()) == []


class _UndecidedStore(MemoryChunkStore):
    """Seems to have what a request that was given up may yet delete: its writer knows."""

    def writer(self) -> MemoryWriter:
        return _UndecidedWriter({}, threading.Lock())


class _UndecidedWriter(MemoryWriter):
    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        raise StoreAway("a late deletion is possible")


def test_nothing_is_taken_away_while_the_other_copy_may_yet_be_deleted() -> None:
    hot, cold = MemoryChunkStore(), _UndecidedStore()
    a = put(hot, b"a")
    with MemoryChunkStore.writer(cold) as writer:
        writer.put(a, hot.framed(a))
    with pytest.raises(StoreAway):
        move(hot, cold, [a])
    assert hot.has(a)
