"""What we read out of a qcow2 is what QEMU reads, whatever was written to it and how."""

import random  # noqa: TID251 (seeded: a failure repeats)
from collections.abc import Callable
from pathlib import Path

import pytest

from openami.blockstore.cache import BaseCache
from openami.blockstore.ingest import ingest_file
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.restore import restore
from openami.blockstore.volumes import VolumeHost
from openami.diskimage.qcow2 import changed_blocks, create_overlay
from openami.domain.block import BLOCK_BYTES
from openami.domain.ids import VolumeId
from support.blocks import a_block, a_disk, qemu_img, qemu_io, raw_content
from support.builders import HERE

SIZE = 24 * BLOCK_BYTES
VOLUME = VolumeId("vol-00000000000000001")


def some_commands(chance: random.Random, size_bytes: int, count: int) -> list[str]:
    """Guest writes at any sector: bytes, zeros with and without unmapping, discards, flushes."""
    commands = []
    for _ in range(count):
        length = chance.choice([512, 4096, 16384, 65536, BLOCK_BYTES, 3 * BLOCK_BYTES])
        length = min(length * chance.choice([1, 1, 3]), size_bytes)
        unit = chance.choice([512, 4096, 16384, BLOCK_BYTES])
        offset = chance.randrange(0, (size_bytes - length) // unit + 1) * unit
        what = chance.choice(["write -P {p}", "write -P {p}", "write -z", "write -z -u", "discard"])
        commands.append(f"{what.format(p=chance.randrange(1, 256))} {offset} {length}")
    return commands


def base_reader(base: bytes) -> Callable[[int], bytes]:
    def read(index: int) -> bytes:
        return base[index * BLOCK_BYTES :][:BLOCK_BYTES].ljust(BLOCK_BYTES, b"\0")

    return read


def merged(overlay: Path, base: bytes, size_bytes: int) -> bytes:
    disk = bytearray(base[:size_bytes].ljust(-(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES, b"\0"))
    indices = []
    for index, block in changed_blocks(overlay, size_bytes, base_reader(base)):
        disk[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES] = block
        indices.append(index)
    assert indices == sorted(set(indices))
    assert not any(disk[size_bytes:])
    return bytes(disk[:size_bytes])


def a_base(path: Path, chance: random.Random, blocks: int) -> bytes:
    content = {i: a_block(str(chance.random())) for i in range(blocks) if chance.random() < 0.6}
    return a_disk(path, content, blocks * BLOCK_BYTES).read_bytes()


LAYOUTS = {
    "ours": None,
    "extended 64k": "cluster_size=64k,extended_l2=on",
    "extended 16k": "cluster_size=16k,extended_l2=on",
    "extended 2M": "cluster_size=2M,extended_l2=on",
    "standard 64k": "cluster_size=64k",
    "standard 512": "cluster_size=512",
    "standard 2M": "cluster_size=2M",
    "version 2": "compat=0.10,cluster_size=64k",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("based", [True, False], ids=["over a base", "alone"])
def test_an_overlay_reads_as_qemu_reads_it(
    tmp_path: Path, layout: str, seed: int, based: bool
) -> None:
    chance = random.Random(f"{layout} {seed} {based}")
    base = a_base(tmp_path / "base", chance, 20) if based else b""
    overlay, options = tmp_path / "overlay", LAYOUTS[layout]
    size = SIZE if options is None else SIZE + chance.choice([0, 512, 70 * 1024])
    if options is None:
        create_overlay(overlay, size, tmp_path / "base" if based else None)
    else:
        below = ("-b", tmp_path / "base", "-F", "raw") if based else ()
        qemu_img("create", "-q", "-f", "qcow2", "-o", options, *below, overlay, str(size))
    qemu_io(overlay, some_commands(chance, size, 25))
    assert merged(overlay, base, size) == raw_content(overlay, tmp_path / "truth")


def test_an_overlay_of_ours_is_what_qemu_img_makes(tmp_path: Path) -> None:
    a_disk(tmp_path / "base", {0: a_block("a")}, 4 * BLOCK_BYTES)
    overlay = tmp_path / "overlay"
    create_overlay(overlay, 8 << 30, tmp_path / "base")
    assert "No errors" in qemu_img("check", overlay)
    told = qemu_img("info", overlay)
    for line in (
        "virtual size: 8 GiB (8589934592 bytes)",
        "cluster_size: 524288",
        f"backing file: {tmp_path / 'base'}",
        "backing file format: raw",
        "extended l2: true",
        "corrupt: false",
    ):
        assert line in told
    qemu_io(overlay, ["write -P 7 8589930496 4096", "write -P 8 0 512"])
    assert "No errors" in qemu_img("check", overlay)


@pytest.mark.parametrize("size_gib", [1, 2048, 65536])
def test_a_disk_of_any_size_can_be_written_to_its_end(tmp_path: Path, size_gib: int) -> None:
    overlay = tmp_path / "overlay"
    size = size_gib << 30
    create_overlay(overlay, size, None)
    qemu_io(overlay, [f"write -P 9 {size - 4096} 4096"])
    assert "No errors" in qemu_img("check", overlay)
    [(index, block)] = changed_blocks(overlay, size, base_reader(b""))
    assert index == size // BLOCK_BYTES - 1
    assert block == bytes(BLOCK_BYTES - 4096) + bytes([9]) * 4096
    assert overlay.stat().st_blocks * 512 < 4 << 20


@pytest.mark.parametrize("seed", range(3))
def test_disk_to_chunks_to_disk(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = MemoryChunkStore()
    a_base(tmp_path / "image", chance, 40)
    root = ingest_file(store, tmp_path / "image")
    host = VolumeHost(tmp_path / "volumes", BaseCache(tmp_path / "bases"), {HERE: store})
    host.create(VOLUME, HERE, root, 1)
    overlay, _ = host.paths(VOLUME, HERE)
    for generation in range(2):
        qemu_io(overlay, some_commands(chance, 48 * BLOCK_BYTES, 12))
        snapshot = host.snapshot_from(overlay, HERE, root, 1)
        back = tmp_path / f"back{generation}"
        restore(store, snapshot, back)
        assert "identical" in qemu_img("compare", "-f", "raw", "-F", "qcow2", back, overlay)
        host.export_raw(VOLUME, HERE, back)
        assert "identical" in qemu_img("compare", "-f", "raw", "-F", "qcow2", back, overlay)
