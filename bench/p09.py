"""P9: a disk that the store knows already."""

from functools import partial
from pathlib import Path

from bench import disk, peers
from bench.contenders import Scratch
from bench.measure import Line, beside, rounds


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("restic", "mke2fs")
    part = Scratch(scratch / "p09", disk.realistic_disk(scratch))
    repository = part.restic_repository("known")
    part.restic_backup(repository)
    part.ours_ingest("known")
    samples = rounds(
        {
            "openami, first time": lambda n: part.ours_ingest(n),
            "openami": lambda _: part.ours_ingest("known"),
            "restic, again": lambda _: part.restic_backup(repository),
        },
        count,
    )
    line = partial(beside, samples, "openami", id="P9", what="re-ingest, all known", note=NOTE)
    return [
        line("openami, first time", gate=5, ambition=10),
        line("restic, again", gate=20, ambition=40),
    ]


NOTE = "restic with --force: it reads the disk, as it must one that it has not seen"
