"""P8: a disk into a fresh store, durably."""

from functools import partial
from pathlib import Path

from bench import disk, peers
from bench.contenders import Scratch
from bench.measure import Line, beside, rounds

GATES = {"restic": (3, 4.5), "borg": (3, 4.5), "qemu-img -c zstd": (1.3, 2), "casync": (12, 16)}


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("restic", "borg", "casync", "qemu-img", "mke2fs")
    part = Scratch(scratch / "p08", disk.realistic_disk(scratch))
    samples = rounds(
        {
            "openami": lambda n: part.ours_ingest(n),
            "restic": lambda n: part.restic_backup(part.restic_repository(n)),
            "borg": lambda n: part.borg_create(n),
            "qemu-img -c zstd": lambda n: part.qemu_img_compress(n),
            "casync": lambda n: part.casync_make(n),
        },
        count,
    )
    line = partial(beside, samples, "openami", id="P8", what="ingest, durable, zstd-1")
    return [
        line(peer, gate=gate, ambition=ambition, note=NOTE)
        for peer, (gate, ambition) in GATES.items()
    ]


NOTE = (
    "disk of 1.2 GB data in 2 GiB, in the page cache for all; every store fresh and synced;"
    " our time is the call's, the peers' the process's"
)
