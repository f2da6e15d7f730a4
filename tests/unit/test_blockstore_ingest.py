"""Disks in, disks out, and everything that may happen on the way."""

import fcntl
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.blockstore.disk_sync import past_the_page_cache
from openami.blockstore.ingest import SourceChanged, ingest_blocks, ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.manifest import Manifests
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.restore import export, restore
from openami.blockstore.store import ChunkCorrupt, ChunkLost, Kind
from openami.domain.block import BLOCK_BYTES, HOLE, Digest
from openami.domain.manifest import Root
from support.blocks import a_block, a_disk, open_descriptors, stored_on_disk_bytes

A, B, C = a_block("a"), a_block("b"), a_block("c")
ZERO = bytes(BLOCK_BYTES)


def test_a_disk_comes_back_as_it_was(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    disk = a_disk(tmp_path / "disk", {0: A, 1: B, 7: A, 300: C, 301: ZERO}, 310 * BLOCK_BYTES)
    root = ingest_file(store, disk)
    restore(store, root, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()
    assert len(list(store.digests())) == 3


def test_a_restored_disk_is_as_sparse_as_its_content(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    root = ingest_file(store, a_disk(tmp_path / "disk", {5: A}, 1000 * BLOCK_BYTES))
    restore(store, root, tmp_path / "back")
    assert (tmp_path / "back").stat().st_size == 1000 * BLOCK_BYTES
    assert stored_on_disk_bytes(tmp_path / "back") <= BLOCK_BYTES + 65536


def test_a_disk_that_ends_inside_a_block_is_filled_up_with_zeros(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    odd = tmp_path / "odd"
    odd.write_bytes(A + B[:1000])
    root = ingest_file(store, odd)
    assert root.blocks == 2
    restore(store, root, tmp_path / "padded")
    assert (tmp_path / "padded").read_bytes() == A + B[:1000] + bytes(BLOCK_BYTES - 1000)
    restore(store, root, tmp_path / "same", size_bytes=BLOCK_BYTES + 1000)
    assert (tmp_path / "same").read_bytes() == odd.read_bytes()


def test_a_restore_may_cut_off_zeros_but_no_data(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    root = ingest_file(store, a_disk(tmp_path / "disk", {0: A}, 4 * BLOCK_BYTES))
    restore(store, root, tmp_path / "shorter", size_bytes=BLOCK_BYTES)
    assert (tmp_path / "shorter").read_bytes() == A
    with pytest.raises(ValueError, match="beyond"):
        restore(store, root, tmp_path / "too_short", size_bytes=1000)
    assert not (tmp_path / "too_short").exists()


def test_a_disk_of_zeros_needs_no_bytes(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    root = ingest_file(store, a_disk(tmp_path / "disk", {3: ZERO}, 8 * BLOCK_BYTES))
    assert root == Root(digest=HOLE, blocks=8)
    assert not list(store.digests())
    restore(store, root, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(8 * BLOCK_BYTES)


def test_an_empty_file_is_no_disk(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="empty"):
        ingest_file(MemoryChunkStore(), tmp_path / "empty")


class CountingStore(MemoryChunkStore):
    """Tells what was read: a test of what is *not* done."""

    def __init__(self) -> None:
        super().__init__()
        self.got = 0

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        self.got += 1
        return super().get(digest, kind)


def test_only_the_changed_blocks_of_a_disk_are_looked_at(tmp_path: Path) -> None:
    store = CountingStore()
    blocks = {i: a_block(str(i)) for i in range(0, 1024, 64)}
    base = ingest_file(store, a_disk(tmp_path / "disk", blocks, 1024 * BLOCK_BYTES))
    store.got = 0
    root = ingest_blocks(store, base, [(64, ZERO), (65, A), (128, blocks[128])])
    assert store.got <= 3  # the root page and the one leaf
    restore(store, root, tmp_path / "back")
    expected = (blocks | {64: ZERO, 65: A}).items()
    a_disk(tmp_path / "expected", dict(expected), 1024 * BLOCK_BYTES)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "expected").read_bytes()


def test_equal_disks_have_equal_roots_however_they_came(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    whole = ingest_file(store, a_disk(tmp_path / "disk", {0: A, 9: B}, 600 * BLOCK_BYTES))
    pieces = ingest_blocks(store, Root.empty(600), [(9, C), (0, A), (4, C)])
    pieces = ingest_blocks(store, pieces, [(4, ZERO), (9, B)])
    assert pieces == whole


def test_a_block_that_the_disk_does_not_have_is_refused() -> None:
    store = MemoryChunkStore()
    with pytest.raises(IndexError):
        ingest_blocks(store, Root.empty(4), [(4, A)])
    with pytest.raises(ValueError, match="block 0"):
        ingest_blocks(store, Root.empty(4), [(0, A[:-1])])
    assert not list(store.digests())


def test_a_source_that_fails_leaves_nothing_in_the_store(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")

    def failing() -> Iterator[tuple[int, bytes]]:
        yield 0, A
        raise OSError("the disk is on fire")

    before = open_descriptors()
    with pytest.raises(OSError, match="on fire"):
        ingest_blocks(store, Root.empty(4), failing())
    assert not list(store.digests())
    assert not list((tmp_path / "store" / "stage").iterdir())
    assert open_descriptors() == before


def test_progress_counts_the_data_and_arrives(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    store = MemoryChunkStore()
    blocks = {i: a_block(str(i)) for i in range(20)}
    disk = a_disk(tmp_path / "disk", blocks, 4000 * BLOCK_BYTES)
    root = ingest_file(store, disk, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (20 * BLOCK_BYTES, 20 * BLOCK_BYTES)
    told.clear()
    restore(store, root, tmp_path / "back", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20 * BLOCK_BYTES, 20 * BLOCK_BYTES)


def test_a_failing_progress_callback_stops_the_ingest(tmp_path: Path) -> None:
    store = MemoryChunkStore()

    def cancel(done: int, total: int) -> None:
        raise InterruptedError("no longer wanted")

    with pytest.raises(InterruptedError):
        ingest_file(store, a_disk(tmp_path / "disk", {0: A}, BLOCK_BYTES), progress=cancel)
    assert not list(store.digests())


def test_a_restore_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    root = ingest_file(store, a_disk(tmp_path / "disk", {0: A, 1: B}, 2 * BLOCK_BYTES))
    digest = Manifests(store).lookup(root, 1)
    target = tmp_path / "target"
    target.write_text("precious")
    rot(store, digest)
    with pytest.raises(ChunkCorrupt):
        restore(store, root, target)
    with pytest.raises(ChunkLost):
        restore(store, root, target)
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "store", "target"]


def test_a_disk_is_healed_by_ingesting_it_again(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    disk = a_disk(tmp_path / "disk", {0: A, 1: B}, 2 * BLOCK_BYTES)
    root = ingest_file(store, disk)
    rot(store, Manifests(store).lookup(root, 1))
    with pytest.raises(ChunkCorrupt):
        restore(store, root, tmp_path / "back")
    assert ingest_file(store, disk) == root
    restore(store, root, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()


def test_an_exported_stream_is_the_disk(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    disk = a_disk(tmp_path / "disk", {1: A, 4: B}, 6 * BLOCK_BYTES)
    root = ingest_file(store, disk)
    stream = io.BytesIO()
    export(store, root, stream)
    assert stream.getvalue() == disk.read_bytes()
    stream = io.BytesIO()
    export(store, root, stream, size_bytes=5 * BLOCK_BYTES)
    assert stream.getvalue() == disk.read_bytes()[: 5 * BLOCK_BYTES]


def test_two_ingests_of_one_disk_at_once_store_it_once(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    blocks = {i: a_block(str(i)) for i in range(40)}
    disk = a_disk(tmp_path / "disk", blocks, 64 * BLOCK_BYTES)
    roots: list[Root] = []
    threads = [
        threading.Thread(target=lambda: roots.append(ingest_file(store, disk))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(roots) == 4
    assert len(set(roots)) == 1
    assert len(list(store.digests())) == 40
    restore(store, roots[0], tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()


def test_a_disk_that_becomes_shorter_while_it_is_read_is_refused(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    blocks = {i: a_block(str(i)) for i in range(64)}
    disk = a_disk(tmp_path / "disk", blocks, 64 * BLOCK_BYTES)

    def shorten(done: int, total: int) -> None:
        os.truncate(disk, BLOCK_BYTES)

    with pytest.raises(SourceChanged, match="ended at byte"):
        ingest_file(store, disk, progress=shorten)


def rot(store: LocalDirChunkStore, digest: Digest) -> None:
    path = Path(store.path(digest, Kind.CHUNK))
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


def test_a_file_that_cannot_be_written_directly_is_written_as_usual(tmp_path: Path) -> None:
    def direct(descriptor: int) -> bool:
        return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)

    with Path("/proc/self/comm").open("r+b") as unable, past_the_page_cache(unable.fileno()):
        assert not direct(unable.fileno())
    with (tmp_path / "able").open("wb") as able:
        with past_the_page_cache(able.fileno()):
            pass
        assert not direct(able.fileno()), "who writes on need not align"
        able.write(b"odd")
