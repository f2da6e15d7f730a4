"""What is read or copied once has the same bytes, wherever they come from."""

import errno
import os
from pathlib import Path

import pytest

from openami.blockstore import codec, copying
from openami.blockstore.copying import copy_file
from openami.blockstore.ingest import SourceChanged, data_ranges
from openami.diskimage.reading import OwnPages, ReadOnce
from openami.domain.block import BLOCK_BYTES
from support.blocks import a_block

TAIL = b"the end of the file, within a sector"
NEEDED = 3 * BLOCK_BYTES

_own = OwnPages(BLOCK_BYTES)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Data, a hole, data, and an end within a sector."""
    path = tmp_path / "disk"
    with path.open("wb") as writer:
        writer.write(a_block("first"))
        writer.seek(7 * BLOCK_BYTES)
        writer.write(a_block("second") + TAIL)
    return path


@pytest.fixture(params=["by the cache", "directly", "without direct reads", "without asking"])
def _reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the ways in which the bytes may come."""
    real_open, real_read, way = os.open, os.preadv, request.param

    def opened(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if way == "without direct reads" and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct reads here")
        return real_open(path, flags, mode)

    def read(descriptor: int, memory: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT and way == "directly":
            raise BlockingIOError
        if flags & os.RWF_NOWAIT and way == "without asking":
            raise OSError(errno.EOPNOTSUPP, "cannot tell")
        return real_read(descriptor, memory, offset, flags)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "preadv", read)


def read_all(path: Path) -> bytes:
    descriptor, found = os.open(path, os.O_RDONLY), b""
    try:
        with ReadOnce(descriptor) as once, memoryview(_own.pages) as memory:
            for offset in range(0, 9 * BLOCK_BYTES, BLOCK_BYTES):
                found += memory[: once.into(memory, offset)]
    finally:
        os.close(descriptor)
    return found


@pytest.mark.usefixtures("_reading")
def test_a_file_reads_the_same_from_the_cache_and_past_it(file: Path) -> None:
    assert codec.digest_of(read_all(file)) == codec.digest_of(file.read_bytes())


@pytest.mark.usefixtures("_reading")
def test_a_copy_has_the_bytes_and_the_holes(file: Path, tmp_path: Path) -> None:
    needs: list[int] = []
    copy_file(file, tmp_path / "copy", needs.append)
    copied = (tmp_path / "copy").read_bytes()
    assert codec.digest_of(copied) == codec.digest_of(file.read_bytes())
    assert sum(needs) in (0, NEEDED)  # nothing where the extents are shared
    with (tmp_path / "copy").open("rb") as reader:
        assert list(data_ranges(reader.fileno(), len(copied))) == [range(1), range(7, 9)]


def test_nothing_is_written_where_there_is_no_room(file: Path, tmp_path: Path) -> None:
    class Refused(Exception):
        pass

    def refuse(needed_bytes: int) -> None:
        raise Refused(needed_bytes)

    with pytest.raises(Refused):
        copy_file(file, tmp_path / "copy", refuse)
        pytest.skip("its extents are shared here: it takes no room")
    assert (tmp_path / "copy").stat().st_blocks == 0


def test_a_file_that_becomes_shorter_meanwhile_has_no_copy(file: Path, tmp_path: Path) -> None:
    def shorten(needed_bytes: int) -> None:
        assert needed_bytes == NEEDED
        os.truncate(file, 2 * BLOCK_BYTES)

    with pytest.raises(SourceChanged):
        copy_file(file, tmp_path / "copy", shorten)
        pytest.skip("its extents are shared here: there is no meanwhile")


def test_a_copy_can_be_made_where_room_is_allocated_by_writing_to_what_reads_as_zero(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """posix_fallocate(3): what the C library does where the filesystem cannot do it, as on NFS."""

    def emulated(descriptor: int, offset: int, length: int) -> None:
        for at in range(offset, offset + length, 4096):
            if os.pread(descriptor, 1, at) in (b"", b"\0"):
                os.pwrite(descriptor, b"\0", at)

    monkeypatch.setattr(copying, "_FICLONE", 0)
    monkeypatch.setattr(os, "posix_fallocate", emulated)
    copy_file(file, tmp_path / "copy", lambda _: None)
    copied = (tmp_path / "copy").read_bytes()
    assert codec.digest_of(copied) == codec.digest_of(file.read_bytes())


def test_a_fork_has_memory_of_its_own() -> None:
    """It is shared memory: two processes that read into the same would read each other's bytes."""
    _own.pages[:4] = b"mine"
    child = os.fork()
    if child == 0:
        _own.pages[:4] = b"its!"
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert _own.pages[:4] == b"mine"
