"""What a check of the store finds, and what a disk costs."""

from pathlib import Path

import pytest

from openami.blockstore import codec
from openami.blockstore.ingest import ingest_blocks, ingest_file
from openami.blockstore.manifest import Manifests
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import Kind
from openami.blockstore.verify import verify
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


def test_a_whole_store_is_intact(store: MemoryChunkStore, root: Root) -> None:
    report = verify(store, [root])
    assert report.intact
    assert (report.chunks, report.pages, report.orphans) == (6, 3, ())


def test_missing_corrupt_and_unneeded_objects_are_told_apart(
    store: MemoryChunkStore, root: Root
) -> None:
    missing, corrupt = (Manifests(store).lookup(root, index) for index in (100, 200))
    orphan = codec.digest_of(b"orphan")
    store.delete(missing)
    with store.writer() as writer:
        writer.put(corrupt, codec.encode(b"other"))
        writer.put(orphan, codec.encode(b"orphan"))
    report = verify(store, [root])
    assert not report.intact
    assert report.missing == ((Kind.CHUNK, missing),)
    assert report.corrupt == ((Kind.CHUNK, corrupt),)
    assert report.orphans == ((Kind.CHUNK, orphan),)


def test_a_lost_page_does_not_end_the_check(store: MemoryChunkStore, root: Root) -> None:
    store.delete(root.digest, Kind.PAGE)
    other = ingest_blocks(store, Root.empty(10), [(0, a_block("other"))])
    report = verify(store, [root, other])
    assert report.missing == ((Kind.PAGE, root.digest),)
    assert report.chunks == 1
    assert len(report.orphans) == 6 + 2
