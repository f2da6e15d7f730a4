"""Disks for tests: sparse files of recognisable blocks, and qemu's tools as a second opinion."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from openami.blockstore import codec
from openami.domain.block import BLOCK_BYTES


def a_block(text: str) -> bytes:
    """512 KiB that no other text gives and that compress."""
    return (codec.digest_of(text.encode()) * (BLOCK_BYTES // 64)).ljust(BLOCK_BYTES, b"\0")


def a_disk(path: Path, blocks: Mapping[int, bytes], size_bytes: int) -> Path:
    """A sparse raw file with some blocks written."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for index, block in blocks.items():
            file.seek(index * BLOCK_BYTES)
            file.write(block)
    return path


def stored_on_disk_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def qemu_img(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["qemu-img", *map(str, arguments)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def qemu_io(image: Path, commands: Sequence[str]) -> None:
    """Write to an image as a guest's QEMU would, with discards passed on."""
    script = [word for command in commands for word in ("-c", command)]
    options = f"driver=qcow2,discard=unmap,file.driver=file,file.filename={image}"
    done = subprocess.run(
        ["qemu-io", *script, "--image-opts", options], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout + done.stderr, done.stdout + done.stderr


def raw_content(image: Path, raw: Path) -> bytes:
    """What a guest would read, as QEMU tells it."""
    qemu_img("convert", "-f", "qcow2", "-O", "raw", image, raw)
    return raw.read_bytes()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
