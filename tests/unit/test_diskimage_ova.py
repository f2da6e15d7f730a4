"""The disk of an OVA, and archives that are made to do harm."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from openami.diskimage import ova
from openami.diskimage.errors import DiskRejected
from support.imports import an_ova, described

DISK = b"KDMV" + bytes(1020)


def disk_of(archive: bytes) -> ova.Member:
    return ova.disk_of(io.BytesIO(archive))


def packed(*members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def a_member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(data), kind, link
    return member, data


def unpack(archive: Path, target: Path, progress: ova.Progress) -> None:
    with archive.open("rb") as file:
        ova.unpack_disk(file, target, progress)


def test_the_disk_is_the_one_that_the_description_names(tmp_path: Path) -> None:
    archive = tmp_path / "machine.ova"
    archive.write_bytes(an_ova(DISK, **{"notes.txt": b"x", "machine.mf": b"SHA256"}))
    unpack(archive, tmp_path / "disk", lambda _done, _total: None)
    assert (tmp_path / "disk").read_bytes() == DISK


def test_an_archive_that_is_cut_off_while_it_is_read_leaves_no_disk(tmp_path: Path) -> None:
    archive = tmp_path / "machine.ova"
    archive.write_bytes(an_ova(DISK + bytes(1 << 20)))

    def cut(_done: int, _total: int) -> None:
        with archive.open("r+b") as file:
            file.truncate(1024)

    with pytest.raises(DiskRejected, match="cut off"):
        unpack(archive, tmp_path / "disk", cut)
    assert not (tmp_path / "disk").exists()


def test_a_size_beyond_octal_digits_is_read() -> None:
    archive = bytearray(an_ova(DISK))
    at = disk_of(bytes(archive)).offset - 512
    header = archive[at : at + 512]
    header[124:136] = b"\x80" + len(DISK).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    archive[at : at + 512] = header
    assert disk_of(bytes(archive)).size_bytes == len(DISK)


def test_an_archive_that_is_cut_off_says_so() -> None:
    with pytest.raises(DiskRejected, match="truncated"):
        disk_of(an_ova(DISK)[: 512 * 4 + 100])


@pytest.mark.parametrize("name", ["../disk", "/etc/passwd", "a/b", ".hidden", "x\ny", "x" * 100])
def test_a_member_has_a_plain_name(name: str) -> None:
    with pytest.raises(DiskRejected):
        disk_of(packed(a_member(name, b"x")))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE],
)
def test_a_member_is_a_plain_file(kind: bytes) -> None:
    with pytest.raises(DiskRejected, match="plain files"):
        disk_of(packed(a_member("disk.vmdk", kind=kind, link="/etc/shadow")))


def test_extended_headers_are_not_read() -> None:
    with pytest.raises(DiskRejected, match="tar --format=gnu"):
        disk_of(packed(a_member("ä" * 120, b"x"), kind=tarfile.PAX_FORMAT))


def test_the_number_of_files_is_bounded() -> None:
    many = [a_member(f"file{number}") for number in range(65)]
    with pytest.raises(DiskRejected, match="over 64"):
        disk_of(packed(*many))
    with pytest.raises(DiskRejected, match="twice"):
        disk_of(packed(a_member("same"), a_member("same")))


def test_a_header_that_was_changed_is_not_believed() -> None:
    archive = bytearray(an_ova(DISK))
    archive[0:7] = b"another"
    with pytest.raises(DiskRejected, match="checksum"):
        disk_of(bytes(archive))


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Envelope>&b;</Envelope>'
RAW_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#sparse"


@pytest.mark.parametrize(
    ("ovf", "words"),
    [
        ("not xml", "not valid XML"),
        (BOMB, "entities"),
        ("<Envelope/>", "0 disks"),
        (described("other.vmdk", 1), "lacks the disk"),
        (described("../../etc/shadow", 1), "lacks the disk"),
        (described("disk.vmdk", 1), "not the size"),
        (described("disk.vmdk", 1024, RAW_FORMAT), "streamOptimized"),
        (described("disk.vmdk", 1024).replace("ovf:id=", 'ovf:compression="gzip" ovf:id='), "comp"),
        (described("disk.vmdk", 1024).replace("ovf:id=", 'ovf:chunkSize="9" ovf:id='), "chunks"),
        (
            described("disk.vmdk", 1024).replace(
                "<DiskSection>",
                "<DiskSection>"
                + described("d", 1).partition("<DiskSection>")[2].partition("</DiskSection>")[0],
            ),
            "2 disks",
        ),
        (" " * ((1 << 20) + 1), "over 1048576"),
    ],
)
def test_a_description_that_does_not_say_one_disk_is_refused(ovf: str, words: str) -> None:
    with pytest.raises(DiskRejected, match=words):
        disk_of(an_ova(DISK, ovf=ovf))


def test_an_archive_without_a_description_is_none() -> None:
    with pytest.raises(DiskRejected, match=r"0 \.ovf"):
        disk_of(packed(a_member("disk.vmdk", DISK)))
    with pytest.raises(DiskRejected, match="does not begin like a tar"):
        disk_of(bytes(2048))


def test_what_ends_the_work_leaves_no_disk(tmp_path: Path) -> None:
    archive = tmp_path / "machine.ova"
    archive.write_bytes(an_ova(DISK))

    def cancelled(_done: int, _total: int) -> None:
        raise InterruptedError

    progress: Callable[[int, int], None] = cancelled
    with pytest.raises(InterruptedError):
        unpack(archive, tmp_path / "disk", progress)
    assert not (tmp_path / "disk").exists()
