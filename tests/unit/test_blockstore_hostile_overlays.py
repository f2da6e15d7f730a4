"""An overlay is written by a guest's QEMU: whatever it holds, we refuse or read inside of it."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openami.diskimage.qcow2 import Qcow2Error, changed_blocks, create_overlay, virtual_size_bytes
from openami.domain.block import BLOCK_BYTES
from support.blocks import open_descriptors, qemu_img, qemu_io

SIZE = 64 * BLOCK_BYTES
CLUSTER = 512 * 1024


def read(overlay: Path) -> list[tuple[int, bytes]]:
    return list(changed_blocks(overlay, SIZE, lambda index: bytes(BLOCK_BYTES)))


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "overlay"
    create_overlay(path, SIZE, None)
    qemu_io(path, ["write -P 1 0 4096", "write -P 2 1M 1M"])
    return path


def patched(offset: int, form: str, value: int) -> Callable[[Path], None]:
    def patch(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(struct.pack(form, value))

    return patch


def first_l2_entry(form: str, value: int, at: int = 0) -> Callable[[Path], None]:
    def patch(path: Path) -> None:
        (l1,) = struct.unpack(">Q", path.read_bytes()[3 * CLUSTER :][:8])
        patched((l1 & 0x00FFFFFFFFFFFE00) + at, form, value)(path)

    return patch


HOSTILE = {
    "another magic": patched(0, ">I", 0),
    "version 4": patched(4, ">I", 4),
    "tiny clusters": patched(20, ">I", 3),
    "giant clusters": patched(20, ">I", 63),
    "another size": patched(24, ">Q", SIZE + 512),
    "an absurd size": patched(24, ">Q", 2**63),
    "encryption": patched(32, ">I", 2),
    "too few L1 entries": patched(36, ">I", 0),
    "absurdly many L1 entries": patched(36, ">I", 2**32 - 1),
    "L1 beyond the file": patched(40, ">Q", 1 << 40),
    "L1 at an odd offset": patched(40, ">Q", 3 * CLUSTER + 1),
    "L1 at a negative offset": patched(40, ">Q", 2**64 - 512),
    "marked corrupt": patched(72, ">Q", 1 << 4 | 1 << 1),
    "data in another file": patched(72, ">Q", 1 << 4 | 1 << 2),
    "an unknown feature": patched(72, ">Q", 1 << 4 | 1 << 40),
    "L2 beyond the file": patched(3 * CLUSTER, ">Q", 1 << 45),
    "a cluster beyond the file": first_l2_entry(">Q", 1 << 45),
    "a cluster at an odd offset": first_l2_entry(">Q", 4 * CLUSTER + 512),
    "a compressed cluster": first_l2_entry(">Q", 1 << 62),
    "a subcluster both zero and data": first_l2_entry(">Q", 1 << 32 | 1, at=8),
    "data at no offset": first_l2_entry(">Q", 0),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_overlay_is_refused(overlay: Path, what: str) -> None:
    assert len(read(overlay)) == 3
    HOSTILE[what](overlay)
    before = open_descriptors()
    with pytest.raises(Qcow2Error):
        read(overlay)
    assert open_descriptors() == before


def test_a_link_a_pipe_or_a_directory_is_no_overlay(tmp_path: Path, overlay: Path) -> None:
    (tmp_path / "link").symlink_to(overlay)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name in ("link", "pipe", "directory", "nothing"):
        with pytest.raises(Qcow2Error):
            read(tmp_path / name)


def test_a_truncated_overlay_is_refused(overlay: Path) -> None:
    for length in (0, 50, 3 * CLUSTER, 4 * CLUSTER + 8):
        os.truncate(overlay, length)
        with pytest.raises(Qcow2Error):
            read(overlay)


def test_compressed_images_are_refused_not_misread(tmp_path: Path, overlay: Path) -> None:
    packed = tmp_path / "packed"
    qemu_img("convert", "-c", "-O", "qcow2", overlay, packed)
    with pytest.raises(Qcow2Error, match="compressed"):
        read(packed)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 120), st.integers(3 * CLUSTER, 3 * CLUSTER + 16)),
            st.binary(min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage_is_refused_or_stays_inside_the_disk(
    overlay: Path, damage: list[tuple[int, bytes]]
) -> None:
    good = overlay.read_bytes()[: 4 * CLUSTER]
    with overlay.open("r+b") as file:
        for offset, data in damage:
            file.seek(offset)
            file.write(data)
    try:
        blocks = read(overlay)
    except Qcow2Error:
        return
    finally:
        with overlay.open("r+b") as file:
            file.write(good)
    assert all(0 <= index < 64 and len(block) == BLOCK_BYTES for index, block in blocks)


@pytest.mark.parametrize("size_bytes", [0, -512, 1000, (64 << 40) + 512])
def test_no_overlay_is_made_for_a_size_that_no_disk_has(tmp_path: Path, size_bytes: int) -> None:
    with pytest.raises(ValueError, match="no disk"):
        create_overlay(tmp_path / "overlay", size_bytes, None)
    assert not list(tmp_path.iterdir())


def test_an_overlay_is_never_written_over(overlay: Path) -> None:
    with pytest.raises(FileExistsError):
        create_overlay(overlay, SIZE, None)
    assert virtual_size_bytes(overlay) == SIZE
