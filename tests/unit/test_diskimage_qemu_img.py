"""qemu-img on disks from strangers: good ones come out as they went in, bad ones are refused."""

import fcntl
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openami.diskimage.errors import DiskImageError, DiskRejected
from openami.diskimage.formats import DiskFormat
from openami.diskimage.qemu_img import DiskInfo, Limits, convert_to_raw, inspect
from support.hostile_disks import MIB, qcow2, vmdk

SIZE = 24 * MIB
ACL = "system.posix_acl_access"
KINDS = {
    "raw": (DiskFormat.RAW, []),
    "qcow2": (DiskFormat.QCOW2, []),
    "qcow2-old": (DiskFormat.QCOW2, ["-o", "compat=0.10"]),
    "qcow2-compressed": (DiskFormat.QCOW2, ["-c", "-o", "compression_type=zstd"]),
    "vmdk": (DiskFormat.VMDK, ["-o", "subformat=monolithicSparse"]),
    "vmdk-stream": (DiskFormat.VMDK, ["-o", "subformat=streamOptimized"]),
    "vhd": (DiskFormat.VHD, ["-o", "subformat=dynamic,force_size=on"]),
    "vhd-fixed": (DiskFormat.VHD, ["-o", "subformat=fixed,force_size=on"]),
    "vhdx": (DiskFormat.VHDX, []),
}


def content(tmp_path: Path) -> Path:
    """A raw disk with data at its begin and in its middle, and holes."""
    path = tmp_path / "content.raw"
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.write(b"boot" * 1024)
        file.seek(9 * MIB)
        file.write(os.urandom(2 * MIB))
    return path


def a_disk(tmp_path: Path, kind: str) -> Path:
    disk_format, options = KINDS[kind]
    name = {"vhd": "vpc"}.get(disk_format.value, disk_format.value)
    out = tmp_path / f"disk.{kind}"
    convert = ["qemu-img", "convert", "-f", "raw", "-O", name, *options]
    run([*convert, str(content(tmp_path)), str(out)])
    return out


def run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def die_while_reading(disk: Path) -> None:
    """What a kill in the middle of an import leaves on the operator's file."""
    script = (
        "import os, pathlib, subprocess, sys\n"
        "from openami.diskimage.qemu_img import inspect\n"
        "subprocess.Popen = lambda *_, **__: os._exit(9)\n"
        "inspect(pathlib.Path(sys.argv[1]))\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(disk)], check=False)
    assert died.returncode == 9


def leftovers(tmp_path: Path) -> list[str]:
    return [path.name for path in tmp_path.iterdir() if path.name.startswith("out")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_is_inspected_and_converted_with_its_content(tmp_path: Path, kind: str) -> None:
    disk, out = a_disk(tmp_path, kind), tmp_path / "out.raw"
    info = inspect(disk)
    assert info == DiskInfo(
        format=KINDS[kind][0], virtual_size_bytes=SIZE, file_size_bytes=disk.stat().st_size
    )
    assert convert_to_raw(disk, info.format, out) == info
    assert out.read_bytes() == (tmp_path / "content.raw").read_bytes()


def test_the_threads_of_a_conversion_need_little_memory(tmp_path: Path) -> None:
    """With their usual stacks and heaps some of these abort, the more often the busier we are."""
    disk, limits = a_disk(tmp_path, "vmdk"), Limits(memory_bytes=384 * MIB)
    with ThreadPoolExecutor(8) as pool:
        outs = [tmp_path / f"out-{number}.raw" for number in range(48)]
        list(pool.map(lambda out: convert_to_raw(disk, DiskFormat.VMDK, out, limits=limits), outs))
    content = (tmp_path / "content.raw").read_bytes()
    assert all(out.read_bytes() == content for out in outs)


def test_the_raw_disk_is_sparse_and_ours(tmp_path: Path) -> None:
    out = tmp_path / "out.raw"
    convert_to_raw(a_disk(tmp_path, "qcow2"), DiskFormat.QCOW2, out)
    assert out.stat().st_blocks * 512 < 4 * MIB
    assert out.stat().st_uid == os.geteuid()


def test_a_private_file_is_read_and_stays_private(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "qcow2")
    disk.chmod(0o600)
    assert inspect(disk).virtual_size_bytes == SIZE
    assert disk.stat().st_mode & 0o777 == 0o600
    assert ACL not in os.listxattr(disk)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o620, 0o640, 0o660])
def test_a_private_file_is_private_again_after_an_import_that_was_killed(
    tmp_path: Path, mode: int
) -> None:
    disk = a_disk(tmp_path, "qcow2")
    disk.chmod(mode)
    die_while_reading(disk)
    die_while_reading(disk)
    assert inspect(disk).virtual_size_bytes == SIZE
    assert disk.stat().st_mode & 0o777 == mode
    assert ACL not in os.listxattr(disk)


def test_an_access_list_of_the_operator_stays(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "qcow2")
    disk.chmod(0o600)
    nobody, somebody = 0xFFFFFFFF, 1000
    entries = ((1, 6, nobody), (2, 4, somebody), (4, 0, nobody), (16, 4, nobody), (32, 0, nobody))
    theirs = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(disk, ACL, theirs)
    inspect(disk)
    assert os.getxattr(disk, ACL) == theirs
    assert disk.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a permission and takes it back")
def test_a_file_that_another_import_reads_is_private_in_the_end(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "qcow2")
    disk.chmod(0o640)  # as its mode shows while the other reads
    waits = threading.Event()
    second = threading.Thread(target=lambda: inspect(disk, watch=waits.set))
    with disk.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        second.start()
        assert waits.wait(60)
        disk.chmod(0o600)
    second.join()
    assert disk.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a permission and takes it back")
def test_the_wait_for_a_file_that_another_import_reads_can_be_ended(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "qcow2")
    disk.chmod(0o600)

    def cancelled() -> None:
        raise InterruptedError

    with disk.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InterruptedError):
            convert_to_raw(disk, DiskFormat.QCOW2, tmp_path / "out.raw", watch=cancelled)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "raw"])
def test_the_room_that_is_told_is_enough_and_no_more_than_the_file_can_fill(
    tmp_path: Path, kind: str
) -> None:
    disk, out, told = a_disk(tmp_path, kind), tmp_path / "out.raw", list[int]()
    convert_to_raw(disk, KINDS[kind][0], out, needs=told.append)
    most = min(SIZE, max(disk.stat().st_size, 8 * MIB))
    assert out.stat().st_blocks * 512 <= told[0] <= most


def test_a_vhd_whose_blocks_are_all_the_same_one_needs_the_room_of_all(tmp_path: Path) -> None:
    raw, disk, out, told = tmp_path / "raw", tmp_path / "v", tmp_path / "out", list[int]()
    raw.write_bytes(b"x" * 2 * MIB + bytes(62 * MIB))
    vhd = ["-O", "vpc", "-o", "subformat=dynamic,force_size=on"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", *vhd, raw, disk], check=True)
    content = bytearray(disk.read_bytes())
    (table,), (entries,) = (
        struct.unpack_from(f, content, o) for f, o in ((">Q", 528), (">I", 540))
    )
    content[table : table + 4 * entries] = content[table : table + 4] * entries
    disk.write_bytes(content)
    convert_to_raw(disk, DiskFormat.VHD, out, needs=told.append)
    assert out.stat().st_blocks * 512 >= 64 * MIB
    assert told[0] >= 64 * MIB


def test_what_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    def refuse(_needed_bytes: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        convert_to_raw(a_disk(tmp_path, "qcow2"), DiskFormat.QCOW2, tmp_path / "o", needs=refuse)
    assert not (tmp_path / "o").exists()


def test_a_raw_disk_with_a_qcow2_header_is_not_probed_again(tmp_path: Path) -> None:
    disk = qcow2(tmp_path / "disk", backing=b"/etc/passwd")
    out = tmp_path / "out.raw"
    convert_to_raw(disk, DiskFormat.RAW, out)
    assert out.read_bytes() == disk.read_bytes()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "raw"])
def test_a_truncated_disk_is_refused_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    disk = a_disk(tmp_path, kind)
    os.truncate(disk, disk.stat().st_size // 2)
    with pytest.raises(DiskRejected):
        convert_to_raw(disk, KINDS[kind][0], tmp_path / "out.raw")
    assert leftovers(tmp_path) == []


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    with pytest.raises(DiskRejected, match="empty"):
        inspect(tmp_path / "disk")
    with pytest.raises(DiskRejected, match="empty"):
        convert_to_raw(tmp_path / "disk", DiskFormat.RAW, tmp_path / "out.raw")


def test_a_backing_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(DiskRejected, match="backing file"):
        inspect(qcow2(tmp_path / "disk", backing=b"/etc/passwd"))


def test_an_extent_elsewhere_is_not_read(tmp_path: Path) -> None:
    hostile = vmdk(tmp_path / "disk", capacity_sectors=0, extents='RW 2 FLAT "/etc/shadow" 0')
    with pytest.raises(DiskRejected, match="other files"):
        inspect(hostile)


def test_a_disk_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "vhdx")
    with pytest.raises(DiskRejected, match="at most"):
        inspect(disk, limits=Limits(virtual_size_bytes_max=SIZE - 512))


def test_a_table_that_would_take_too_much_memory_is_refused(tmp_path: Path) -> None:
    hostile = qcow2(tmp_path / "disk", size=64 << 40, cluster_bits=16, l1_size=0x7FFFFFFF)
    with pytest.raises(DiskRejected):
        inspect(hostile)


def test_a_disk_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "qcow2-compressed")
    with pytest.raises(DiskRejected, match="too long"):
        inspect(disk, limits=Limits(wall_s=0.001))


def test_a_refusal_does_not_tell_of_our_files(tmp_path: Path) -> None:
    disk = a_disk(tmp_path, "vhdx")
    os.truncate(disk, 64 * 1024)
    with pytest.raises(DiskRejected) as refusal:
        inspect(disk)
    assert "/proc" not in str(refusal.value)
    assert "json" not in str(refusal.value)


def test_an_output_that_is_there_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.raw"
    out.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        convert_to_raw(a_disk(tmp_path, "qcow2"), DiskFormat.QCOW2, out)
    assert out.read_bytes() == b"precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(DiskImageError, match="cannot be read"):
        inspect(tmp_path / "link")


def test_a_folder_or_a_pipe_is_no_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskImageError, match="not a regular file"):
        inspect(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DiskImageError, match="not a regular file"):
        inspect(tmp_path / "pipe")
