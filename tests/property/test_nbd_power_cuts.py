"""What of a disk is here after the daemon was killed or the host lost its power, at any effect.

The host's disk is one that keeps what was synced, and of everything else what chance says.
"""

import os
import random  # noqa: TID251 (seeded: a failure repeats)
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.blockstore.cache import BaseCache
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.manifest import Root
from openami.nbd import kept
from openami.nbd.kept import Kept, State
from support.blocks import a_block
from support.crash import Fuse
from support.crash import PowerCut as CrashCut
from support.volatile import VolatileDirectory

SIZE = 6
HOLES = {2, 5}
BLOCKS = {index: a_block(f"block {index}") for index in range(SIZE) if index not in HOLES}
ROOT = Root(digest=Digest(b"\1" * 32), blocks=SIZE)


class PowerCut(BaseException):
    """Nothing that runs can do anything about it."""


class VolatileDisk:
    """Stands where `kept` sees the module os: a cut comes before the effect number `cut_at`."""

    def __init__(self) -> None:
        self.cut_at: int | None = None
        self.syncs = True
        self._effects = 0
        self._unsynced: dict[int, list[tuple[int, bytes]]] = {}
        self._held: dict[int, int] = {}  # inode → a descriptor of our own

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        self._effect()
        before = os.pread(descriptor, len(data), offset).ljust(len(data), b"\0")
        self._of(descriptor).append((offset, before))
        return os.pwrite(descriptor, data, offset)

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._effect()
        os.ftruncate(descriptor, size)

    def fdatasync(self, descriptor: int) -> None:
        self._effect()
        if self.syncs:
            self._of(descriptor).clear()

    fsync = fdatasync

    def cut(self, survives: Callable[[int], bool]) -> None:
        for inode, writes in self._unsynced.items():
            for offset, before in reversed(writes):
                if not survives(len(before)):
                    os.pwrite(self._held[inode], before, offset)
        self.let_go()

    def let_go(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()
        self._unsynced.clear()

    def _effect(self) -> None:
        self._effects += 1
        if self.cut_at is not None and self._effects >= self.cut_at:
            raise PowerCut

    def _of(self, descriptor: int) -> list[tuple[int, bytes]]:
        inode = os.fstat(descriptor).st_ino
        if inode not in self._held:
            self._held[inode] = os.dup(descriptor)
        return self._unsynced.setdefault(inode, [])


def let_go(files: Kept) -> None:
    """As the death of its process does: the descriptors go, and with them the locks."""
    for name in ("_disk", "_marks"):
        if getattr(files, name) >= 0:
            os.close(getattr(files, name))
            setattr(files, name, -1)


def same(block: bytes, expected: bytes) -> bool:
    """A function, because with CI set pytest would explain how two blocks differ, for minutes."""
    return block == expected


def nothing_wrong(files: Kept) -> None:
    if files.complete:
        for index in range(SIZE):
            block = files.read(index * BLOCK_BYTES, BLOCK_BYTES)
            assert same(block, BLOCKS.get(index, bytes(BLOCK_BYTES))), index
        return
    for index, state in enumerate(files.states):
        if state == State.HOLE:
            assert index in HOLES
        elif state != State.ABSENT:
            assert same(files.read(index * BLOCK_BYTES, BLOCK_BYTES), BLOCKS[index]), index
    assert files.blocks_here == SIZE - files.states.count(State.ABSENT)


def perform(files: Kept, step: int) -> None:
    if step < SIZE and not files.complete:
        if step in HOLES:
            files.keep_hole(step, step + 1)
        else:
            files.keep(step, BLOCKS[step])
    elif step == SIZE and not files.complete:
        files.checkpoint()
    elif step > SIZE:
        files.finish()


STEPS = st.lists(st.integers(0, SIZE + 1), max_size=14)


@given(st.lists(STEPS, min_size=1, max_size=3), st.data())
@settings(deadline=None, max_examples=40)
def test_after_power_cuts_what_is_here_is_right(
    lives: list[list[int]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        cache = BaseCache(Path(directory))
        for number, steps in enumerate(lives):
            disk = VolatileDisk()
            disk.cut_at = data.draw(st.integers(1, 40))
            patch.setattr(kept, "os", disk)
            files: list[Kept] = []
            with suppress(PowerCut):
                files.append(Kept(cache, ROOT, lambda number=number: f"boot {number}"))
                nothing_wrong(files[0])
                for step in steps:
                    perform(files[0], step)
                    nothing_wrong(files[0])
            for each in files:
                let_go(each)
            disk.cut(lambda _: data.draw(st.booleans()))
        patch.undo()
        last = Kept(cache, ROOT, lambda: "the last boot")
        nothing_wrong(last)
        for step in range(SIZE + 2):
            perform(last, step)
        assert last.complete
        nothing_wrong(last)
        last.close()
        assert cache.path(ROOT).read_bytes() == b"".join(
            BLOCKS.get(index, bytes(BLOCK_BYTES)) for index in range(SIZE)
        )


@given(st.lists(STEPS, min_size=2, max_size=4))
@settings(deadline=None, max_examples=20)
def test_after_a_kill_all_that_was_here_is_here(lives: list[list[int]]) -> None:
    with TemporaryDirectory() as directory:
        cache = BaseCache(Path(directory))
        here = 0
        for steps in lives:
            files = Kept(cache, ROOT, lambda: "one boot")
            assert files.blocks_here == here
            nothing_wrong(files)
            for step in steps:
                perform(files, step)
            here = files.blocks_here
            let_go(files)


WAYS = 8


def comes_here(files: Kept) -> None:
    """A first half, what is known of it made durable, and the rest."""
    for index in range(SIZE):
        if not files.complete and files.states[index] == State.ABSENT:
            perform(files, index)
        if index == SIZE // 2:
            perform(files, SIZE)
    files.finish()


def cut(cache: BaseCache, disk: VolatileDirectory, fuse: Fuse, at: int, boot: str) -> bool:
    """Whether the power went before the disk was here; `at` counts names, syncs and files."""
    fuse.arm(at)
    files: list[Kept] = []
    with suppress(CrashCut):
        files.append(Kept(cache, ROOT, lambda: boot))
        nothing_wrong(files[0])
        comes_here(files[0])
    is_cut = not files or not files[0].complete
    fuse.disarm()
    for each in files:
        let_go(each)
    return is_cut


def test_a_disk_on_its_way_here_survives_two_power_cuts_at_any_moments(tmp_path: Path) -> None:
    """Names that were not synced go, too, and files are torn, in several ways at each moment."""
    at, is_cut = 0, True
    while is_cut:
        for way in range(WAYS):
            is_cut = was_cut_twice(tmp_path / "host", at, random.Random(at * WAYS + way))
        at += 1
    assert at > 8


def was_cut_twice(directory: Path, at: int, chance: random.Random) -> bool:
    """Whether the first of the cuts came before the disk was here."""
    fuse = Fuse()
    cache = BaseCache(directory)
    disk = VolatileDirectory(directory, fuse.moment)
    with disk.watched():
        is_cut = cut(cache, disk, fuse, at, "one boot")
        disk.cut(chance)
        cut(cache, disk, fuse, chance.randrange(at + 1), "another boot")
        disk.cut(chance)
        last = Kept(cache, ROOT, lambda: "the last boot")
        nothing_wrong(last)
        comes_here(last)
        assert last.complete
        nothing_wrong(last)
        last.close()
    shutil.rmtree(directory)
    return is_cut


def test_a_map_that_speaks_too_early_would_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the test: a disk that only says that it has synced."""
    disk = VolatileDisk()
    disk.syncs = False
    monkeypatch.setattr(kept, "os", disk)
    cache = BaseCache(tmp_path)
    files = Kept(cache, ROOT, lambda: "one boot")
    files.keep(0, BLOCKS[0])
    files.checkpoint()
    let_go(files)
    disk.cut(lambda size: size < BLOCK_BYTES)  # the block goes, the map stays
    monkeypatch.undo()
    wrong = Kept(cache, ROOT, lambda: "another boot")
    with pytest.raises(AssertionError):
        nothing_wrong(wrong)
    wrong.close()
