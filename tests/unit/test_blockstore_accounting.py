"""Whose bytes they are, to the byte."""

from pathlib import Path

import pytest

from openami.blockstore.accounting import Share, freed_bytes, shares
from openami.blockstore.ingest import ingest_blocks, ingest_file
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkLost, Kind
from openami.domain.block import BLOCK_BYTES
from openami.domain.manifest import Root
from support.blocks import a_block, a_disk

BLOCKS = {i: a_block(str(i)) for i in range(0, 600, 100)}


@pytest.fixture
def store() -> MemoryChunkStore:
    return MemoryChunkStore()


@pytest.fixture
def root(store: MemoryChunkStore, tmp_path: Path) -> Root:
    return ingest_file(store, a_disk(tmp_path / "disk", BLOCKS, 600 * BLOCK_BYTES))


def stored(store: MemoryChunkStore) -> int:
    return sum(store.stored_bytes(digest, kind) for kind in Kind for digest in store.digests(kind))


def test_a_disk_costs_what_goes_with_it(store: MemoryChunkStore, root: Root) -> None:
    before = stored(store)
    second = ingest_blocks(store, root, [(100, a_block("new")), (300, a_block("newer"))])
    assert freed_bytes(store, [second], [root]) == stored(store) - before
    assert freed_bytes(store, [root, second], []) == stored(store)
    assert freed_bytes(store, [root], [root]) == 0


def test_what_two_rely_on_is_neithers_own(store: MemoryChunkStore, root: Root) -> None:
    before = stored(store)
    second = ingest_blocks(store, root, [(100, a_block("new"))])
    told = shares(store, {"first": [root], "second": [second], "nobody": []})
    assert told["second"].own_bytes == stored(store) - before
    assert told["first"].shared_bytes == told["second"].shared_bytes
    assert told["first"].own_bytes + told["first"].shared_bytes == before
    assert told["nobody"] == Share()


def test_equal_disks_of_two_holders_free_nothing_alone(store: MemoryChunkStore, root: Root) -> None:
    told = shares(store, {"one": [root], "other": [root]})
    assert told["one"] == told["other"] == Share(shared_bytes=stored(store))


def test_a_disk_that_is_not_whole_has_no_cost(store: MemoryChunkStore, root: Root) -> None:
    store.delete(root.digest, Kind.PAGE)
    with pytest.raises(ChunkLost):
        freed_bytes(store, [root], [])
