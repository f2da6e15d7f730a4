"""Bases: made once, whole or not at all, for everyone on the host."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from openami.blockstore import cache as cache_module
from openami.blockstore.cache import BaseCache
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.manifest import Manifests
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkLost, Kind
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.manifest import Root
from support.blocks import a_block, a_disk

BLOCKS = {i: a_block(str(i)) for i in range(20)}


class CountingStore(MemoryChunkStore):
    def __init__(self) -> None:
        super().__init__()
        self.chunks_got: list[Digest] = []

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        if kind is Kind.CHUNK:
            self.chunks_got.append(digest)
        return super().get(digest, kind)


def a_root(store: MemoryChunkStore | LocalDirChunkStore, tmp_path: Path) -> Root:
    return ingest_file(store, a_disk(tmp_path / "disk", BLOCKS, 30 * BLOCK_BYTES))


def test_a_base_is_the_disk_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    root = a_root(store, tmp_path)
    base = BaseCache(tmp_path / "bases").ensure(store, root)
    assert base.read_bytes() == (tmp_path / "disk").read_bytes()
    assert base.stat().st_mode & 0o777 == 0o600
    assert base.parent.stat().st_mode & 0o777 == 0o700


def test_many_who_ask_at_once_cost_one_restore(tmp_path: Path) -> None:
    store = CountingStore()
    root = a_root(store, tmp_path)
    caches = [BaseCache(tmp_path / "bases") for _ in range(4)]
    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda cache=cache: paths.append(cache.ensure(store, root)))
        for cache in caches * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 16
    assert len(set(paths)) == 1
    assert len(store.chunks_got) == 20
    assert [path.name for path in (tmp_path / "bases").iterdir()] == [paths[0].name]


MAKES_AND_STOPS = """
import os, signal, sys
from pathlib import Path
from openami.blockstore.cache import BaseCache
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.domain.manifest import Root

def stop(done, total):
    print("half way", flush=True)
    signal.pause()

store = LocalDirChunkStore(Path(sys.argv[1]))
BaseCache(Path(sys.argv[2])).ensure(store, Root.from_text(sys.argv[3]), stop)
"""


def test_another_process_is_waited_for_and_its_death_is_survived(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    root = a_root(store, tmp_path)
    bases = tmp_path / "bases"
    script = [sys.executable, "-c", MAKES_AND_STOPS, tmp_path / "store", bases, root.to_text()]
    made: list[Path] = []
    with subprocess.Popen(
        [str(word) for word in script],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(cache_module.__file__).parents[2])},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "half way\n"
        cache = BaseCache(bases)
        assert not cache.path(root).exists()
        assert cache.evict([]) == 0, "what is being made is not evicted"
        waiting = threading.Thread(target=lambda: made.append(cache.ensure(store, root)))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        other.send_signal(signal.SIGKILL)
        waiting.join(30)
    assert made[0].read_bytes() == (tmp_path / "disk").read_bytes()
    assert [path.name for path in bases.iterdir()] == [made[0].name]


def test_a_base_that_cannot_be_made_is_not_there(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    root = a_root(store, tmp_path)
    digest = Manifests(store).lookup(root, 7)
    store.delete(digest)
    cache = BaseCache(tmp_path / "bases")
    with pytest.raises(ChunkLost):
        cache.ensure(store, root)
    assert not list((tmp_path / "bases").iterdir())
    ingest_file(store, tmp_path / "disk")
    assert cache.ensure(store, root).read_bytes() == (tmp_path / "disk").read_bytes()


def test_what_nobody_needs_is_evicted_and_what_a_crash_left_too(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    cache = BaseCache(tmp_path / "bases")
    kept = a_root(store, tmp_path)
    gone = ingest_file(store, a_disk(tmp_path / "b", {0: a_block("b")}, BLOCK_BYTES))
    paths = [cache.ensure(store, kept), cache.ensure(store, gone)]
    stale = [tmp_path / "bases" / f"{'0' * 64}-1.raw.{end}" for end in ("part", "cold", "map")]
    for each in stale:
        each.touch()
    stranger = tmp_path / "bases" / "notes.txt"
    stranger.touch()
    assert cache.evict([kept]) >= BLOCK_BYTES
    assert paths[0].exists()
    assert not paths[1].exists()
    assert not any(each.exists() for each in stale)
    assert stranger.exists()


def test_a_cache_that_is_too_large_loses_what_was_longest_unused(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    cache = BaseCache(tmp_path / "bases")
    roots = [
        ingest_file(store, a_disk(tmp_path / sign, {0: a_block(sign)}, BLOCK_BYTES))
        for sign in "abcd"
    ]
    for age, root in enumerate(roots):
        os.utime(cache.ensure(store, root), (1e9 + age, 1e9 + age))
    cache.ensure(store, roots[1])  # used again: now the youngest
    size_bytes = cache.path(roots[0]).stat().st_blocks * 512
    assert cache.evict([roots[0]], 4 * size_bytes) == 0
    assert cache.evict([roots[0]], 2 * size_bytes) == 2 * size_bytes
    assert [cache.path(root).exists() for root in roots] == [True, True, False, False]


def test_one_base_is_dropped_with_what_a_crash_left_of_it(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    cache, root = BaseCache(tmp_path / "bases"), a_root(store, tmp_path)
    other = Root.empty(4)
    cache.ensure(store, root)
    cache.ensure(store, other)
    for draft in ("part", "cold", "map"):
        cache.path(root).with_name(f"{cache.path(root).name}.{draft}").touch()
    for _ in range(2):
        cache.drop(root)
        assert list((tmp_path / "bases").iterdir()) == [cache.path(other)]


def test_an_evicted_base_is_made_again(tmp_path: Path) -> None:
    store = MemoryChunkStore()
    root = a_root(store, tmp_path)
    cache = BaseCache(tmp_path / "bases")
    cache.ensure(store, root)
    cache.evict([])
    assert cache.ensure(store, root).read_bytes() == (tmp_path / "disk").read_bytes()
