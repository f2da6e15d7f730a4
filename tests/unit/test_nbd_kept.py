"""A host's disk that does not take what it was given: none of that may become anybody's base."""

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from openami.blockstore.cache import BaseCache
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.manifest import Root
from openami.nbd import kept
from openami.nbd.kept import Kept, State
from support.blocks import a_block

BLOCKS = {index: a_block(f"block {index}") for index in range(3)}
ROOT = Root(digest=Digest(b"\1" * 32), blocks=len(BLOCKS))


def nothing() -> None:
    """What happens by default."""


class FailingDisk:
    """Stands where `kept` sees the module os. Things happen within a sync, and after a write."""

    def __init__(self) -> None:
        self.fails = False
        self.syncing: Callable[[], None] = nothing
        self.written: Callable[[], None] = nothing

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        count = os.pwrite(descriptor, data, offset)
        if len(data) == BLOCK_BYTES:
            happens, self.written = self.written, nothing
            happens()
        return count

    def fdatasync(self, descriptor: int) -> None:
        """As Linux does: who syncs first is told of what was lost, the next one of nothing."""
        fails, self.fails = self.fails, False
        happens, self.syncing = self.syncing, nothing
        happens()
        if fails:
            raise OSError(errno.EIO, "the disk has lost something")

    fsync = fdatasync


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FailingDisk:
    disk = FailingDisk()
    monkeypatch.setattr(kept, "os", disk)
    return disk


def opened(tmp_path: Path) -> Kept:
    return Kept(BaseCache(tmp_path), ROOT, lambda: "one boot")


def keep(files: Kept, *indices: int) -> None:
    for index in indices:
        files.keep(index, BLOCKS[index])


def test_a_block_that_came_while_a_sync_failed_is_not_here(
    tmp_path: Path, disk: FailingDisk
) -> None:
    files = opened(tmp_path)
    keep(files, 0)
    disk.fails, disk.syncing = True, lambda: keep(files, 1)
    with pytest.raises(OSError, match="lost something"):
        files.checkpoint()
    assert list(files.states) == [State.ABSENT] * 3
    assert files.blocks_here == 0
    keep(files, 0, 1, 2)
    assert files.finish()
    files.close()


def test_a_block_written_before_a_sync_failed_and_told_after_it_is_not_here(
    tmp_path: Path, disk: FailingDisk
) -> None:
    files = opened(tmp_path)
    keep(files, 0)

    def lost() -> None:
        disk.fails = True
        with suppress(OSError):
            files.checkpoint()

    disk.written = lost
    with pytest.raises(OSError, match="sync"):
        keep(files, 1)
    assert list(files.states) == [State.ABSENT] * 3
    files.close()


def test_no_other_thread_makes_a_base_of_what_a_failed_sync_has_lost(
    tmp_path: Path, disk: FailingDisk
) -> None:
    files = opened(tmp_path)
    keep(files, 0, 1, 2)
    another = threading.Thread(target=files.finish)

    def finished_meanwhile() -> None:
        another.start()
        another.join(0.2)  # it waits for the sync, or it has made a base

    disk.fails, disk.syncing = True, finished_meanwhile
    with pytest.raises(OSError, match="lost something"):
        files.checkpoint()
    another.join()
    assert not files.complete
    assert not files.path.exists()
    assert files.blocks_here == 0
    files.close()


def test_what_a_process_was_syncing_when_it_died_is_not_believed(
    tmp_path: Path, disk: FailingDisk
) -> None:
    """It may have been told of a failure that nobody after it is told of."""
    files = opened(tmp_path)
    keep(files, 0)
    files.checkpoint()
    keep(files, 1)

    class Killed(BaseException):
        pass

    def killed() -> None:
        raise Killed

    disk.syncing = killed
    with pytest.raises(Killed):
        files.checkpoint()
    for name in ("_disk", "_marks"):
        os.close(getattr(files, name))
        setattr(files, name, -1)
    after = opened(tmp_path)
    assert list(after.states) == [State.DURABLE, State.ABSENT, State.ABSENT]
    keep(after, 1, 2)
    assert after.finish()
    after.close()
