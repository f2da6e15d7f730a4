"""`openami image import` of what is no disk, or of one that would have us read other files."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.hostile_disks import MIB, qcow2, vmdk
from support.world import MINE, World

Make = Callable[[Path], Path]


def truncated_vmdk(directory: Path) -> Path:
    """A whole stream-optimized disk of 8 MiB, cut in its middle."""
    raw, whole = directory / "disk.raw", directory / "whole.vmdk"
    raw.write_bytes(bytes(range(256)) * (8 * MIB // 256))
    subprocess.run(
        [
            *("qemu-img", "convert", "-f", "raw", "-O", "vmdk"),
            *("-o", "subformat=streamOptimized", str(raw), str(whole)),
        ],
        check=True,
    )
    cut = directory / "cut.vmdk"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return cut


def secret(directory: Path) -> Path:
    """A file that an import must never read."""
    file = directory / "secret"
    file.write_bytes(b"root:x:0:0" * 1000)
    return file


def as_is(directory: Path) -> Path:
    return directory


def empty(directory: Path) -> Path:
    file = directory / "empty.raw"
    file.touch()
    return file


def with_backing_file(directory: Path) -> Path:
    return qcow2(directory / "backed.qcow2", backing=str(secret(directory)).encode())


def with_data_file(directory: Path) -> Path:
    file = str(secret(directory)).encode()
    return qcow2(directory / "outside.qcow2", incompatible=1 << 2, data_file=file)


def with_extent_elsewhere(directory: Path) -> Path:
    return vmdk(directory / "far.vmdk", extents=f'RW 2048 FLAT "{secret(directory)}" 0')


def with_parent(directory: Path) -> Path:
    return vmdk(directory / "child.vmdk", parent="12345678", hint='parentFileNameHint="secret"')


def beyond_all_size(directory: Path) -> Path:
    return qcow2(directory / "vast.qcow2", size=1 << 60)


def compressed(directory: Path) -> Path:
    file = directory / "disk.raw.gz"
    file.write_bytes(b"\x1f\x8b" + bytes(1000))
    return file


BROKEN: tuple[Make, ...] = (
    *(as_is, empty, truncated_vmdk, with_backing_file, with_data_file, with_extent_elsewhere),
    *(with_parent, beyond_all_size, compressed),
)


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_a_broken_disk_makes_no_image(world: World, make: Make, tmp_path: Path) -> None:
    said = refused(world, make(tmp_path))
    assert said.strip()
    assert "Traceback" not in said
    assert "root:x:0:0" not in said


def test_a_missing_file_makes_no_image(world: World, tmp_path: Path) -> None:
    assert "nowhere.raw" in refused(world, tmp_path / "nowhere.raw")


def test_a_taken_name_makes_no_image(unchanged: World, small_disk: Path) -> None:
    assert "already in use" in refused(unchanged, small_disk, name="taken")


def test_a_bad_name_makes_no_image(unchanged: World, small_disk: Path) -> None:
    assert "AMI names must be" in refused(unchanged, small_disk, name="a*b")


def test_an_account_that_is_none_gets_no_image(unchanged: World, small_disk: Path) -> None:
    assert "nobody" in refused(unchanged, small_disk, "--account", "nobody")


def test_a_region_that_is_none_gets_no_image(unchanged: World, small_disk: Path) -> None:
    assert "mars-1" in refused(unchanged, small_disk, "--region", "mars-1")


def test_another_format_than_said_makes_no_image(unchanged: World, small_disk: Path) -> None:
    assert refused(unchanged, small_disk, "--format", "qcow2").strip()


def refused(world: World, disk: Path, *options: str, name: str = "") -> str:
    """What the command says. No image can be launched of what it was given."""
    before = launchable(world)
    given = ("--name", name or f"broken {disk.name}", "--account", MINE, *options)
    done = world.server.openami("image", "import", str(disk), *given, check=False)
    assert done.returncode != 0, done.stdout
    assert done.stdout == ""
    assert launchable(world) == before
    return done.stderr


def launchable(world: World) -> set[str]:
    ec2 = world.server.client(account=MINE)
    images = ec2.describe_images(Owners=["self"])["Images"]
    return {image["ImageId"] for image in images if image["State"] in ("available", "pending")}
