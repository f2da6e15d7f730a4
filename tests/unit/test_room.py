"""Room on the scratch disk: who is refused, and whose promise is kept."""

from pathlib import Path

import pytest

from openami.jobs.room import NoRoom, Room

KIB = 1024


class Disk:
    """A filesystem of 1000 KiB for us beside what is spare, whose use is what lies in it."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory, self.else_bytes = tmp_path, 0
        self.room = Room(spare_bytes=KIB, free=lambda _directory: self.free())

    def free(self) -> int:
        files = [file for file in self.directory.glob("*/*") if file.is_file()]
        taken = sum(file.lstat().st_blocks * 512 for file in files)
        return 1001 * KIB - self.else_bytes - taken

    def home(self, name: str) -> Path:
        (self.directory / name).mkdir()
        return self.directory / name


def write(directory: Path, name: str, size_kib: int) -> None:
    (directory / name).write_bytes(b"x" * size_kib * KIB)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_what_does_not_fit_is_told_how_much_is_lacking(disk: Disk) -> None:
    with disk.room.share(disk.home("a")) as share:
        share.claim(1000 * KIB)
        with pytest.raises(NoRoom) as refused:
            share.claim(1010 * KIB)
    assert refused.value.lacking_bytes == 10 * KIB


def test_what_is_promised_to_one_is_not_given_to_another(disk: Disk) -> None:
    with disk.room.share(disk.home("a")) as first, disk.room.share(disk.home("b")) as second:
        first.claim(600 * KIB)
        with pytest.raises(NoRoom):
            second.claim(500 * KIB)
        second.claim(400 * KIB)
        first.look()
        second.look()


def test_what_is_written_is_not_counted_twice(disk: Disk) -> None:
    with disk.room.share(disk.home("a")) as first, disk.room.share(disk.home("b")) as second:
        first.claim(600 * KIB)
        write(first.directory, "disk", 600)
        second.claim(396 * KIB)
        with pytest.raises(NoRoom):
            first.claim(40 * KIB)


def test_a_promise_ends_with_the_work(disk: Disk) -> None:
    with disk.room.share(disk.home("a")) as first:
        first.claim(900 * KIB)
    with disk.room.share(disk.home("b")) as second:
        second.claim(900 * KIB)


def test_files_that_go_after_the_work_leave_no_promise(disk: Disk) -> None:
    with disk.room.share(disk.home("a")) as first, disk.room.share(disk.home("b")) as second:
        first.claim(600 * KIB)
        write(first.directory, "disk", 600)
        first.release()
        (first.directory / "disk").unlink()
        second.claim(900 * KIB)


def test_a_directory_that_goes_before_its_promise_is_in_nobody_s_way(disk: Disk) -> None:
    with disk.room.share(disk.home("a")) as first, disk.room.share(disk.home("b")) as second:
        first.claim(600 * KIB)
        first.directory.rmdir()
        second.claim(400 * KIB)


def test_who_takes_more_than_was_promised_fails_and_the_others_go_on(disk: Disk) -> None:
    with disk.room.share(disk.home("a")) as greedy, disk.room.share(disk.home("b")) as honest:
        honest.claim(600 * KIB)
        disk.else_bytes = 500 * KIB  # a chunk store on the same filesystem grows
        with pytest.raises(NoRoom):
            greedy.look()
        honest.look()
