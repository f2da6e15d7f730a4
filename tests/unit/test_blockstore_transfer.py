"""Disks between stores: what is missing moves, as it is stored, and nothing else does."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from openami.blockstore.ingest import ingest_file
from openami.blockstore.manifest import Manifests
from openami.blockstore.memory import MemoryChunkStore, MemoryWriter
from openami.blockstore.restore import restore
from openami.blockstore.store import ChunkCorrupt, ChunkLost, ChunkStore, Kind
from openami.blockstore.transfer import Moved, transfer
from openami.blockstore.verify import verify
from openami.domain.block import BLOCK_BYTES, HOLE, Digest
from openami.domain.manifest import Root
from support.blocks import a_block, a_disk

BLOCKS = {index: a_block(f"block {index}") for index in (0, 3, 300, 301, 599)}


class CalledStore(MemoryChunkStore):
    """Counts what it is asked, and loses its power after some commits."""

    def __init__(self, commits: int = 1000) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.commits = commits

    def has(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bool:
        return (kind, digest) in self._objects

    def writer(self) -> MemoryWriter:
        store = self

        class Writer(MemoryWriter):
            def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
                store.calls.append("missing")
                return super().missing(digests, kind)

            def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
                store.calls.append(f"put {kind}")
                super().put(digest, framed, kind)

            def commit(self) -> None:
                store.calls.append("commit")
                if store.commits == 0:
                    raise KeyboardInterrupt
                store.commits -= 1
                super().commit()

        return Writer(self._objects, self._lock)


def the_disk(store: ChunkStore, tmp_path: Path, blocks: dict[int, bytes] = BLOCKS) -> Root:
    return ingest_file(store, a_disk(tmp_path / "disk", blocks, 600 * BLOCK_BYTES))


def stored_bytes(store: MemoryChunkStore) -> int:
    return sum(store.stored_bytes(each, kind) for kind in Kind for each in store.digests(kind))


def test_a_disk_is_the_same_in_the_other_store(tmp_path: Path) -> None:
    here, there = MemoryChunkStore(), MemoryChunkStore()
    root = the_disk(here, tmp_path)
    moved = transfer(here, there, root)
    assert moved == Moved(chunks=5, pages=4, stored_bytes=stored_bytes(here))
    assert stored_bytes(there) == stored_bytes(here)
    restore(there, root, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "disk").read_bytes()


def test_only_what_is_missing_moves(tmp_path: Path) -> None:
    here, there = MemoryChunkStore(), CalledStore()
    transfer(here, there, the_disk(here, tmp_path))
    there.calls.clear()
    moved = transfer(here, there, the_disk(here, tmp_path, BLOCKS | {4: a_block("new")}))
    assert (moved.chunks, moved.pages) == (1, 2)
    assert there.calls.count("put c") == 1
    assert there.calls.count("put n") == 2


def test_where_nothing_is_missing_there_are_three_round_trips(tmp_path: Path) -> None:
    here, there = MemoryChunkStore(), CalledStore()
    root = the_disk(here, tmp_path)
    transfer(here, there, root)
    there.calls.clear()
    assert transfer(here, there, root) == Moved()
    assert there.calls == ["missing", "missing", "commit"]


def test_within_one_store_nothing_is_asked(tmp_path: Path) -> None:
    here = CalledStore()
    root = the_disk(here, tmp_path)
    here.calls.clear()
    assert transfer(here, here, root) == Moved()
    assert here.calls == []


def test_an_empty_disk_has_nothing_to_move(tmp_path: Path) -> None:
    there = CalledStore()
    assert transfer(MemoryChunkStore(), there, Root(digest=HOLE, blocks=2048)) == Moved()


def test_a_crash_costs_at_most_what_was_not_committed(tmp_path: Path) -> None:
    here, there = MemoryChunkStore(), CalledStore(commits=1)
    root = the_disk(here, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        transfer(here, there, root, commit_every=2)
    there.commits = 1000
    moved = transfer(here, there, root, commit_every=2)
    assert moved.chunks == 3
    assert verify(there, [root]).intact


@pytest.mark.parametrize("commits", range(4))
def test_at_no_moment_does_a_page_name_what_is_not_there(tmp_path: Path, commits: int) -> None:
    here, there = MemoryChunkStore(), CalledStore(commits)
    root = the_disk(here, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        transfer(here, there, root, commit_every=2)
    for page in there.digests(Kind.PAGE):
        whole = Root(digest=page, blocks=256)
        assert verify(there, [whole]).missing == ()


def test_a_chunk_that_the_target_lost_comes_back(tmp_path: Path) -> None:
    here, there = MemoryChunkStore(), MemoryChunkStore()
    root = the_disk(here, tmp_path)
    transfer(here, there, root)
    there.delete(Manifests(there).lookup(root, 300))
    assert transfer(here, there, root).chunks == 1
    assert verify(there, [root]).intact


def test_rotten_bytes_do_not_move(tmp_path: Path) -> None:
    here, there = MemoryChunkStore(), MemoryChunkStore()
    root = the_disk(here, tmp_path)
    digest = Manifests(here).lookup(root, 300)
    with here.writer() as writer:
        writer.put(digest, b"rotten")
    with pytest.raises(ChunkCorrupt):
        transfer(here, there, root)
    assert not there.has(digest)
    assert list(there.digests(Kind.PAGE)) == []


def test_a_lost_page_is_told(tmp_path: Path) -> None:
    here = MemoryChunkStore()
    root = the_disk(here, tmp_path)
    here.delete(root.digest, Kind.PAGE)
    with pytest.raises(ChunkLost):
        transfer(here, MemoryChunkStore(), root)


def test_progress_begins_with_what_is_there_and_ends_with_all(tmp_path: Path) -> None:
    here, there = MemoryChunkStore(), MemoryChunkStore()
    part = the_disk(here, tmp_path, {index: BLOCKS[index] for index in (0, 3)})
    transfer(here, there, part)
    told: list[tuple[int, int]] = []
    whole = the_disk(here, tmp_path)
    transfer(here, there, whole, progress=lambda done, total: told.append((done, total)))
    assert told == [(done * BLOCK_BYTES, 5 * BLOCK_BYTES) for done in (2, 3, 4, 5)]
