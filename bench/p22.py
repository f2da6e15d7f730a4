"""P22: which blocks of two snapshots differ."""

import hashlib
import os
import statistics
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from bench import asked, disk, measure, peers
from bench.measure import Line, Sample, beside, read_into_page_cache, rounds
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.manifest import Manifests
from openami.domain.block import BLOCK_BYTES, BLOCKS_PER_GIB, Digest
from openami.domain.manifest import Root

SMALL_GIB, LARGE_GIB = 8, 1024
CHANGED: Final = SMALL_GIB * BLOCKS_PER_GIB // 100
"""So many blocks, spread over all of the disk: each is found below a page of its own, nearly."""
LIMIT_MS, AMBITION_MS = 200.0, 20.0


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("qemu-img", "mke2fs")
    part = scratch / "p22"
    part.mkdir(parents=True)
    store = LocalDirChunkStore(part / "store")
    small, large = (_pair(store, size) for size in (SMALL_GIB, LARGE_GIB))
    base, overlay = _disks(scratch, part)
    _changed(store, small, "what a service has loaded long ago is loaded now")
    samples = rounds(
        {
            "openami": partial(_changed, store, small),
            "openami, 1 TiB": partial(_changed, store, large),
            "qemu-img compare": partial(_compared, base, overlay),
        },
        count,
    )
    line = beside(
        samples,
        "openami",
        "qemu-img compare",
        id="P22",
        what="changed blocks of two snapshots of 8 GiB",
        gate=200,
        ambition=5000,
        note=NOTE,
    )
    return [line, _limited(samples["openami, 1 TiB"])]


def _pair(store: LocalDirChunkStore, size_gib: int) -> tuple[Root, Root]:
    """Two disks full of data. A comparison reads no chunk, so there need not be any."""
    blocks = size_gib * BLOCKS_PER_GIB
    step = blocks // CHANGED
    first = _updated(store, Root.empty(blocks), {each: _digest(each) for each in range(blocks)})
    changes = {each: _digest(-1 - each) for each in range(0, step * CHANGED, step)}
    return first, _updated(store, first, changes)


def _updated(store: LocalDirChunkStore, root: Root, changes: Mapping[int, Digest]) -> Root:
    with store.writer() as writer:
        return Manifests(store).update(writer, root, changes)


def _digest(number: int) -> Digest:
    return Digest(hashlib.sha256(str(number).encode()).digest())


def _changed(store: LocalDirChunkStore, pair: tuple[Root, Root], _name: str) -> Sample:
    """By a reader that has no page of them in memory yet."""
    cpu_s, all_s = time.process_time(), measure.busy_s()
    began = time.perf_counter()
    found = list(Manifests(store).diff(*pair))
    wall_s = time.perf_counter() - began
    cpu_s = time.process_time() - cpu_s
    others_s = max(0.0, measure.busy_s() - all_s - cpu_s)
    if len(found) != CHANGED:
        raise RuntimeError(f"{len(found)} changed blocks, not {CHANGED}")
    return Sample(
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mib=asked.resident_mib(os.getpid()),
        other_cores=others_s / wall_s if others_s > _TICK_S else 0.0,
    )


def _disks(scratch: Path, part: Path) -> tuple[Path, Path]:
    """8 GiB full of data, and the same with another last block: qemu-img ends where disks differ
    first, and has read all of them there."""
    base, overlay = part / "base.raw", part / "overlay.qcow2"
    data = disk.realistic_disk(scratch)
    with base.open("wb") as file:
        while (left := SMALL_GIB * BLOCKS_PER_GIB * BLOCK_BYTES - file.tell()) > 0:
            with data.open("rb") as again:
                while left > 0 and (piece := again.read(min(left, _PIECE_BYTES))):
                    file.write(piece)
                    left -= len(piece)
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, overlay]
    measure.run(create)
    last = SMALL_GIB * BLOCKS_PER_GIB * BLOCK_BYTES - BLOCK_BYTES
    measure.run(["qemu-io", "-c", f"write -P 7 {last} {BLOCK_BYTES}", overlay])
    return base, overlay


def _compared(base: Path, overlay: Path, _name: str) -> Sample:
    read_into_page_cache(base)
    command = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", base, overlay]
    return measure.run(["sh", "-c", '"$@"; test $? = 1', "sh", *command])  # 1: they differ


def _limited(samples: list[Sample]) -> Line:
    taken_ms = [1000 * each.wall_s for each in samples]
    usual = measure.median(samples)
    return Line(
        id="P22",
        what="changed blocks of two snapshots of 1 TiB",
        ours=f"{1000 * usual.wall_s:.1f} ms (CPU {1000 * usual.cpu_s:.1f} ms)",
        peer_name="the limit",
        peer=f"{LIMIT_MS:.0f} ms",
        ratio=LIMIT_MS / statistics.median(taken_ms),
        worst=LIMIT_MS / max(taken_ms),
        best=LIMIT_MS / min(taken_ms),
        gate=1,
        ambition=LIMIT_MS / AMBITION_MS,
        note=NOTE,
    )


_TICK_S: Final = 2 / os.sysconf("SC_CLK_TCK")  # less cannot be told from /proc/stat
_PIECE_BYTES: Final = 8 << 20
NOTE = (
    f"disks full of data, {CHANGED} blocks of 512 KiB changed all over them; ours reads the"
    " manifests anew, qemu-img tells only the first difference, which is in the last block"
)
