"""The initramfs holds what the root needs, in the order the kernel takes it."""

import lzma
import subprocess
from pathlib import Path

import pytest

from openami.diskimage import initramfs
from openami.diskimage.errors import DiskImageError


def a_kernel(tmp_path: Path, builtin: str = "", **needs: str) -> Path:
    """Modules by name with what each says it depends on."""
    for name, depends in needs.items():
        content = f"\x7fELF\0license=GPL\0depends={depends}\0".encode()
        (tmp_path / f"{name}.ko").write_bytes(content)
    (tmp_path / "modules.builtin").write_text(builtin)
    return tmp_path


def test_a_module_comes_after_what_it_depends_on(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path, net="failover,ring", failover="", ring="", unused="")
    assert list(initramfs.modules_in_order(kernel, ["net"])) == [
        "00-failover.ko",
        "01-ring.ko",
        "02-net.ko",
    ]


def test_what_is_built_into_the_kernel_is_left_out(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path, builtin="kernel/fs/ext4/ext4.ko\n", disk="ring", ring="")
    assert list(initramfs.modules_in_order(kernel, ["ext4", "ring"])) == ["00-ring.ko"]


def test_dash_and_underscore_in_a_modules_name_are_the_same(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path)
    (kernel / "virtio-rng.ko").write_bytes(b"depends=\0")
    assert list(initramfs.modules_in_order(kernel, ["virtio_rng"])) == ["00-virtio_rng.ko"]


def test_a_compressed_module_is_stored_plain(tmp_path: Path) -> None:
    kernel = a_kernel(tmp_path)
    (kernel / "disk.ko.xz").write_bytes(lzma.compress(b"\x7fELF\0depends=\0"))
    content = initramfs.modules_in_order(kernel, ["disk"])["00-disk.ko"]
    assert content == b"\x7fELF\0depends=\0"


def test_a_module_the_kernel_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskImageError, match="no module virtio_blk"):
        initramfs.modules_in_order(a_kernel(tmp_path), ["virtio_blk"])


def test_the_archive_is_one_that_cpio_reads(tmp_path: Path) -> None:
    archive = initramfs.archive(["bin"], {"init": b"#!/bin/sh\n"}, {"bin/sh": "busybox"}, 1)
    unpack = ["busybox", "cpio", "-i", "-d"]
    subprocess.run(unpack, input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "init").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin/sh").readlink() == Path("busybox")
