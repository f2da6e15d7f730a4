"""The local directory under full disks, dead processes and races."""

import errno
import fcntl
import os
import random  # noqa: TID251 (seeded: a failure repeats)
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from openami.blockstore import codec, disk_sync, local_dir
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.restore import restore
from openami.blockstore.store import ChunkCorrupt, Kind, NoLongerThere, StoreFull
from openami.domain.block import BLOCK_BYTES
from support.blocks import a_block, a_disk
from support.volatile import VolatileDirectory

CHUNK = a_block("chunk")
DIGEST = codec.digest_of(CHUNK)
FRAMED = codec.encode(CHUNK)
OTHER = codec.digest_of(a_block("other"))
NOISE = os.urandom(BLOCK_BYTES)


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_only_its_owner_may_look_into_the_store(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    with store.writer() as writer:
        writer.put(DIGEST, FRAMED)
    (tmp_path / "store").chmod(0o700)
    for path in (tmp_path / "store").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_what_writers_stage_lies_apart_from_what_was_deleted_lately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {tmp_path / "store" / "stage": 0x0008_0000}  # extents, as ext4 has it

    def ioctl(descriptor: int, request: int, argument: bytearray | bytes) -> None:
        directory = Path(f"/proc/self/fd/{descriptor}").readlink()
        if isinstance(argument, bytearray):
            assert request == 0x80086601  # linux/fs.h: FS_IOC_GETFLAGS
            argument[:] = flags[directory].to_bytes(4, sys.byteorder)
        else:
            assert request == 0x40086602  # FS_IOC_SETFLAGS
            flags[directory] = int.from_bytes(argument, sys.byteorder)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    LocalDirChunkStore(tmp_path / "store")
    assert flags == {tmp_path / "store" / "stage": 0x000A_0000}  # and FS_TOPDIR_FL


def test_a_filesystem_without_flags_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ioctl(descriptor: int, request: int, argument: bytearray | bytes) -> None:
        raise OSError(errno.ENOTTY, "no such request")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with LocalDirChunkStore(tmp_path / "store").writer() as writer:
        writer.put(DIGEST, FRAMED)
    assert LocalDirChunkStore(tmp_path / "store").has(DIGEST)


def test_an_object_is_a_file_named_by_its_digest(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    with store.writer() as writer:
        writer.put(DIGEST, FRAMED)
    name = DIGEST.hex()
    assert (tmp_path / "store" / "c" / name[:2] / name).read_bytes() == FRAMED


def test_the_bytes_are_synced_before_the_names_and_the_names_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    seen: list[tuple[int, bool]] = []

    def watching(directory: Path) -> None:
        disk_sync.syncfs(directory)
        staged = len(list((directory / "stage").glob("*/*")))
        seen.append((staged, store.has(DIGEST)))

    monkeypatch.setattr(local_dir, "syncfs", watching)
    with store.writer() as writer:
        writer.put(DIGEST, FRAMED)
        writer.put(OTHER, codec.encode(a_block("other")))
    assert seen == [(2, False), (0, True)]


def test_a_page_has_its_name_after_all_chunks_have_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power may go between two names, and a page names only what is there."""
    store = LocalDirChunkStore(tmp_path / "store")
    named: list[str] = []

    def rename(draft: str, path: str) -> None:
        os.rename(draft, path)  # noqa: PTH104
        named.append(Path(path).parts[-3])

    monkeypatch.setattr(local_dir, "os", Renaming(rename))
    with store.writer() as writer:
        page = b"a page"
        writer.put(codec.digest_of(page), codec.encode(page, Kind.PAGE), Kind.PAGE)
        writer.put(DIGEST, FRAMED)
    assert named == [Kind.CHUNK, Kind.PAGE]


@dataclass(frozen=True)
class Renaming:
    """The module os, but for one function."""

    rename: Callable[[str, str], None]

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


def test_one_object_alone_is_synced_without_the_rest_of_the_filesystem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    synced: list[Path] = []
    monkeypatch.setattr(local_dir, "syncfs", synced.append)
    files, directories = list[bool](), list[Path]()

    def sync_file(file: Path) -> None:
        disk_sync.sync_file(file)
        files.append(store.has(DIGEST))

    monkeypatch.setattr(local_dir, "sync_file", sync_file)
    monkeypatch.setattr(local_dir, "sync_directory", directories.append)
    with store.writer() as writer:
        assert writer.missing([DIGEST]) == {DIGEST}
        writer.put(DIGEST, FRAMED)
    with store.writer() as writer:
        assert writer.missing([DIGEST]) == set()  # it may not be durable yet
    assert (files, synced) == ([False, True], [])
    assert directories == [Path(store.path(DIGEST, Kind.CHUNK)).parent] * 2


@pytest.mark.parametrize("way", range(6))
def test_the_first_object_of_a_new_store_outlives_a_power_cut(tmp_path: Path, way: int) -> None:
    """Its own sync is all that there is: nothing else makes the directories above it durable."""
    disk = VolatileDirectory(tmp_path, lambda: None)
    with disk.watched():
        with LocalDirChunkStore(tmp_path / "stores" / "region").writer() as writer:
            writer.put(DIGEST, FRAMED)
        disk.cut(random.Random(way))
        again = LocalDirChunkStore(tmp_path / "stores" / "region")
        assert again.has(DIGEST)
        assert codec.digest_of(again.get(DIGEST)) == DIGEST


def test_an_object_that_was_found_and_is_gone_again_is_told(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    with store.writer() as writer:
        writer.put(DIGEST, FRAMED)

    def find_and_lose() -> None:
        with store.writer() as writer:
            assert writer.missing([DIGEST]) == set()
            store.quarantine(DIGEST)

    with pytest.raises(NoLongerThere, match=DIGEST.hex()):
        find_and_lose()
    assert not list((tmp_path / "store" / "stage").iterdir())


def test_where_direct_writes_are_refused_they_go_through_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite, refused = os.pwrite, list[int]()

    def refusing(descriptor: int, data: bytes, offset: int) -> int:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT or not refused:
            refused.append(offset)
            raise OSError(errno.EINVAL, "Invalid argument")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", refusing)
    store = LocalDirChunkStore(tmp_path / "store")
    disk = a_disk(tmp_path / "disk", {0: NOISE, 1: CHUNK, 2: NOISE}, 3 * BLOCK_BYTES)
    restore(store, ingest_file(store, disk), tmp_path / "restored")
    assert (tmp_path / "restored").read_bytes() == disk.read_bytes()
    assert refused


def test_a_disk_that_is_full_within_a_sector_is_told_as_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    errors = iter([None, errno.EINVAL, errno.ENOSPC])

    def filling_up(descriptor: int, data: bytes, offset: int) -> int:
        if (error := next(errors)) is not None:
            raise OSError(error, os.strerror(error))
        return 100

    monkeypatch.setattr(os, "pwrite", filling_up)
    with pytest.raises(StoreFull), store.writer() as writer:
        writer.put(codec.digest_of(NOISE), codec.encode(NOISE))
    assert not files(tmp_path)


def test_an_ingest_that_found_everything_known_still_syncs_what_others_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    disk = a_disk(tmp_path / "disk", {0: CHUNK}, BLOCK_BYTES)
    ingest_file(store, disk)
    synced: list[Path] = []
    monkeypatch.setattr(local_dir, "syncfs", synced.append)
    ingest_file(store, disk)
    assert len(synced) == 1


@pytest.fixture
def small_filesystem(tmp_path: Path) -> Generator[Path]:
    mounted = tmp_path / "small"
    mounted.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mounted)], check=False
    )
    if made.returncode != 0:
        pytest.skip("mounting needs root")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_under_a_valid_name(
    small_filesystem: Path, tmp_path: Path
) -> None:
    store = LocalDirChunkStore(small_filesystem / "store")
    noise = {i: os.urandom(BLOCK_BYTES) for i in range(12)}
    disk = a_disk(tmp_path / "disk", noise, 12 * BLOCK_BYTES)
    with pytest.raises(StoreFull, match="no room left"):
        ingest_file(store, disk)
    assert not list(store.digests())
    assert not files(small_filesystem)


def test_a_writer_with_a_short_draft_never_publishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirChunkStore(tmp_path / "store")

    def full_half_way(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    def put_and_go_on() -> None:
        with store.writer() as writer:
            monkeypatch.setattr(local_dir, "write_all", full_half_way)
            with pytest.raises(StoreFull):
                writer.put(DIGEST, FRAMED)

    with pytest.raises(RuntimeError, match="earlier put"):
        put_and_go_on()
    assert not files(tmp_path)


def test_a_sync_that_failed_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDirChunkStore(tmp_path / "store")

    def failing(directory: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def commit_until_it_works() -> None:
        with store.writer() as writer:
            writer.put(DIGEST, FRAMED)
            writer.put(OTHER, codec.encode(a_block("other")))
            monkeypatch.setattr(local_dir, "syncfs", failing)
            with pytest.raises(OSError, match="Input/output"):
                writer.commit()
            monkeypatch.undo()

    with pytest.raises(RuntimeError, match="earlier"):
        commit_until_it_works()
    assert not store.has(DIGEST)
    assert not files(tmp_path)


WRITES_AND_WAITS = """
import sys
from pathlib import Path
from openami.blockstore import codec
from openami.blockstore.local_dir import LocalDirChunkStore
store = LocalDirChunkStore(Path(sys.argv[1]))
chunk = b"left behind"
with store.writer() as writer:
    writer.put(codec.digest_of(chunk), codec.encode(chunk))
    print("staged", flush=True)
    sys.stdin.read()
"""


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    store = LocalDirChunkStore(tmp_path)
    with (
        store.writer() as ours,
        subprocess.Popen(
            [sys.executable, "-c", WRITES_AND_WAITS, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(Path(local_dir.__file__).parents[2])},
        ) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "staged\n"
        ours.put(DIGEST, FRAMED)
        assert store.recover() == 0
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert store.recover() == 1
        assert store.recover() == 0
    assert list(store.digests()) == [DIGEST]
    assert not list((tmp_path / "stage").iterdir())


def test_other_files_in_the_store_are_no_chunks(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path)
    (tmp_path / "c" / "ab" / "README").write_text("hello")
    (tmp_path / "c" / "ab" / ("ab" * 31)).write_text("too short a name")
    assert not list(store.digests())


def test_a_corrupt_chunk_is_kept_for_whoever_looks_into_it(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path)
    with store.writer() as writer:
        writer.put(DIGEST, FRAMED[:-1])
    with pytest.raises(ChunkCorrupt):
        store.get(DIGEST)
    assert (tmp_path / "quarantine" / f"c{DIGEST.hex()}").read_bytes() == FRAMED[:-1]


def test_an_object_of_absurd_length_is_not_read_into_memory(tmp_path: Path) -> None:
    store = LocalDirChunkStore(tmp_path)
    with Path(store.path(DIGEST, Kind.CHUNK)).open("wb") as absurd:
        absurd.truncate(1 << 40)
    with pytest.raises(ChunkCorrupt):
        store.get(DIGEST)


def test_opening_a_store_again_finds_what_is_in_it(tmp_path: Path) -> None:
    with LocalDirChunkStore(tmp_path).writer() as writer:
        writer.put(DIGEST, FRAMED)
    assert LocalDirChunkStore(tmp_path).get(DIGEST) == CHUNK
