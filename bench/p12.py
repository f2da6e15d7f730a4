"""P12: the same change on larger disks."""

import hashlib
import statistics
import time
from pathlib import Path
from typing import Final

from bench import peers
from bench.changed_volume import CHANGED_BLOCKS, SIZE_GIB, volumes
from bench.contenders import Scratch
from bench.measure import Line, beside, rounds
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.manifest import Manifests
from openami.domain.block import BLOCKS_PER_GIB, Digest
from openami.domain.manifest import Root

LARGER_GIB: Final = {"100 GiB": 100, "16 TiB": 16 << 10}
UPDATE_LIMIT_MS, UPDATE_AMBITION_MS = 50.0, 10.0
_SPREAD_GIB: Final = 16
DATA_GIB: Final = 2


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("qemu-img", "mke2fs")
    part = Scratch(scratch / "p12", scratch / "p12" / "none")
    with volumes(part.directory, scratch) as ours:
        sizes = {"8 GiB": SIZE_GIB, **LARGER_GIB}
        samples = rounds(
            {name: lambda n, size=size: ours.snapshot(size, n) for name, size in sizes.items()},
            count,
            patient=False,
        )
    what = "snapshot, the same change on"
    return [
        *(
            beside(
                samples,
                name,
                "8 GiB",
                id="P12",
                what=f"{what} {name}",
                gate=1 / 1.15,
                ambition=1 / 1.03,
                note=NOTE,
            )
            for name in LARGER_GIB
        ),
        _update(part.directory / "updates", count),
    ]


def _update(directory: Path, count: int) -> Line:
    """Of a disk of 16 TiB with data at its beginning and here and there behind it."""
    store = LocalDirChunkStore(directory)
    blocks = LARGER_GIB["16 TiB"] * BLOCKS_PER_GIB
    manifests = Manifests(store)
    with store.writer() as writer:
        data = [
            *range(DATA_GIB * BLOCKS_PER_GIB),
            *range(0, blocks, _SPREAD_GIB * BLOCKS_PER_GIB),
        ]
        full = manifests.update(writer, Root.empty(blocks), {each: _digest(each) for each in data})
    taken_ms = [_updated_ms(store, full, number) for number in range(count)]
    limit = UPDATE_LIMIT_MS / statistics.median(taken_ms)
    return Line(
        id="P12",
        what="manifest update, 16 TiB",
        ours=f"{statistics.median(taken_ms):.1f} ms",
        peer_name="the limit",
        peer=f"{UPDATE_LIMIT_MS:.0f} ms",
        ratio=limit,
        worst=UPDATE_LIMIT_MS / max(taken_ms),
        best=UPDATE_LIMIT_MS / min(taken_ms),
        gate=1,
        ambition=UPDATE_LIMIT_MS / UPDATE_AMBITION_MS,
        note="164 blocks of the first 8 GiB, pages read anew, until it is durable",
    )


def _updated_ms(store: LocalDirChunkStore, root: Root, number: int) -> float:
    changes = {index: _digest(-1 - number - index * 1000) for index in CHANGED_BLOCKS}
    began = time.perf_counter()
    with store.writer() as writer:
        Manifests(store).update(writer, root, changes)
    return 1000 * (time.perf_counter() - began)


def _digest(number: int) -> Digest:
    return Digest(hashlib.sha256(str(number).encode()).digest())


NOTE = "164 blocks of 512 KiB of the first 8 GiB, of a volume that no machine has"
