"""A disk file is known by its own mark, and one that leads elsewhere is refused."""

from pathlib import Path

import pytest

from openami.diskimage import formats
from openami.diskimage.errors import DiskRejected
from openami.diskimage.formats import DiskFormat
from support.hostile_disks import MIB, qcow2, vhd, vmdk


def detected(path: Path) -> DiskFormat:
    with path.open("rb") as file:
        return formats.detect(file)


def checked(path: Path, disk_format: DiskFormat | None = None) -> None:
    with path.open("rb") as file:
        formats.check(file, disk_format or formats.detect(file))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_each_format_is_known_by_its_mark(tmp_path: Path) -> None:
    assert detected(qcow2(tmp_path / "a")) is DiskFormat.QCOW2
    assert detected(vmdk(tmp_path / "b")) is DiskFormat.VMDK
    assert detected(vhd(tmp_path / "c")) is DiskFormat.VHD
    assert detected(written(tmp_path / "d", b"vhdxfile" + bytes(1000))) is DiskFormat.VHDX
    assert detected(written(tmp_path / "e", bytes(1024))) is DiskFormat.RAW


def test_disks_of_one_file_pass(tmp_path: Path) -> None:
    checked(qcow2(tmp_path / "a"))
    checked(qcow2(tmp_path / "b", version=2))
    checked(vmdk(tmp_path / "c"))
    checked(vmdk(tmp_path / "d", kind="streamOptimized"))
    checked(vhd(tmp_path / "e"))


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (b"", "empty"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"LUKS\xba\xbe", "encrypted with LUKS"),
        (b"# Disk DescriptorFile\nversion=1\n", "names other files"),
        (b"COWD\x01\x00\x00\x00", "ESX 3"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>\n", "VirtualBox"),
    ],
)
def test_what_is_no_disk_of_ours_is_named(tmp_path: Path, head: bytes, sentence: str) -> None:
    with pytest.raises(DiskRejected, match=sentence):
        detected(written(tmp_path / "disk", head))


def test_a_qcow2_with_a_backing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="backing file"):
        checked(qcow2(tmp_path / "disk", backing=b"/etc/passwd"))


def test_an_old_qcow2_with_a_backing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="backing file"):
        checked(qcow2(tmp_path / "disk", version=2, backing=b"nbd:127.0.0.1:10809"))


@pytest.mark.parametrize("incompatible", [0, 1 << 2])
def test_a_qcow2_with_a_data_file_is_refused(tmp_path: Path, incompatible: int) -> None:
    disk = qcow2(tmp_path / "disk", incompatible=incompatible, data_file=b"/etc/shadow")
    with pytest.raises(DiskRejected, match="external data file"):
        checked(disk)


def test_a_qcow2_that_only_says_it_has_a_data_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="external data file"):
        checked(qcow2(tmp_path / "disk", incompatible=1 << 2))


def test_a_qcow2_that_is_encrypted_or_corrupt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="encrypted"):
        checked(qcow2(tmp_path / "a", encryption=2))
    with pytest.raises(DiskRejected, match="corrupt"):
        checked(qcow2(tmp_path / "b", incompatible=1 << 1))


@pytest.mark.parametrize(
    ("size", "why"), [(0, "0 bytes"), ((64 << 40) + 512, "65537 GiB"), (2**63, "65536 GiB")]
)
def test_a_disk_of_no_or_an_absurd_size_is_refused(tmp_path: Path, size: int, why: str) -> None:
    with pytest.raises(DiskRejected, match=why):
        checked(qcow2(tmp_path / "disk", size=size))


@pytest.mark.parametrize("kept", [4, 50, 90])
def test_a_qcow2_cut_in_its_header_is_refused(tmp_path: Path, kept: int) -> None:
    whole = qcow2(tmp_path / "whole").read_bytes()
    with pytest.raises(DiskRejected, match="truncated"):
        checked(written(tmp_path / "disk", whole[:kept]))


def test_a_qcow2_whose_extensions_never_end_is_refused(tmp_path: Path) -> None:
    head = bytearray(qcow2(tmp_path / "whole").read_bytes())
    head[104:1128] = b"\0\0\0\1\0\0\0\0" * 128
    with pytest.raises(DiskRejected, match="does not end"):
        checked(written(tmp_path / "disk", bytes(head)))


@pytest.mark.parametrize(
    "extents",
    [
        'RW 2048 FLAT "/etc/shadow" 0',
        'RW 2048 SPARSE "a.vmdk"\nRW 2048 FLAT "/etc/shadow" 0',
        'RW 2048 SPARSE "a.vmdk"\r\nRW 2048 VMFS "/etc/shadow"',
        "",
    ],
)
def test_a_vmdk_with_extents_elsewhere_is_refused(tmp_path: Path, extents: str) -> None:
    with pytest.raises(DiskRejected, match="other files"):
        checked(vmdk(tmp_path / "disk", extents=extents))


def test_a_vmdk_that_leaves_its_size_to_the_descriptor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="other files"):
        checked(vmdk(tmp_path / "disk", capacity_sectors=0))


@pytest.mark.parametrize("kind", ["monolithicFlat", "twoGbMaxExtentSparse", "vmfs", ""])
def test_a_vmdk_of_a_kind_with_more_files_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DiskRejected, match="createType"):
        checked(vmdk(tmp_path / "disk", kind=kind))


def test_a_vmdk_with_a_parent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="parent"):
        checked(vmdk(tmp_path / "a", parent="12345678"))
    with pytest.raises(DiskRejected, match="parent"):
        checked(vmdk(tmp_path / "b", hint='parentFileNameHint="/etc/passwd"'))


def test_a_differencing_vhd_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="differencing"):
        checked(vhd(tmp_path / "disk", kind=4))


def test_a_vhd_without_its_footer_or_its_data_is_refused(tmp_path: Path) -> None:
    whole = vhd(tmp_path / "whole").read_bytes()
    with pytest.raises(DiskRejected, match="truncated"):
        checked(written(tmp_path / "a", whole[:-512]), DiskFormat.VHD)
    with pytest.raises(DiskRejected, match="truncated"):
        checked(vhd(tmp_path / "b", size=2 * MIB))


def test_a_raw_disk_is_whole_sectors(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="512-byte sectors"):
        checked(written(tmp_path / "disk", bytes(1000)))


def test_a_raw_disk_that_begins_like_a_qcow2_is_raw_when_told_so(tmp_path: Path) -> None:
    checked(qcow2(tmp_path / "disk", backing=b"/etc/passwd"), DiskFormat.RAW)


def test_a_file_of_another_format_than_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="not a qcow2 disk"):
        checked(written(tmp_path / "disk", bytes(1024)), DiskFormat.QCOW2)
