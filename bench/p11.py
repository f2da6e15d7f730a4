"""P11: a snapshot of a disk of 8 GiB of which 1 % changed."""

from functools import partial
from pathlib import Path

from bench import peers
from bench.changed_volume import SIZE_GIB, of_eight_gib, volumes
from bench.contenders import Scratch
from bench.measure import Line, Sample, beside, rounds


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("restic", "qemu-img", "mke2fs")
    part = Scratch(scratch / "p11", scratch / "p11" / "changed.raw")
    with volumes(part.directory, scratch) as ours:
        of_eight_gib(ours.changed.source, part.disk)
        repository = part.restic_repository("known")
        part.restic_backup(repository)

        def restic(name: str) -> Sample:
            ours.changed.write(part.disk, f"restic {name}")
            return part.restic_backup(repository)

        def qemu_img(name: str) -> Sample:
            ours.changed.write(part.disk, f"qemu-img {name}")
            return part.qemu_img_compress(name)

        samples = rounds(
            {
                "openami": lambda name: ours.snapshot(SIZE_GIB, name),
                "restic, again": restic,
                "qemu-img -c zstd": qemu_img,
            },
            count,
        )
    line = partial(
        beside,
        samples,
        "openami",
        id="P11",
        what="snapshot, 1 % of 8 GiB changed",
        note=NOTE,
    )
    return [
        line("qemu-img -c zstd", gate=20, ambition=80),
        line("restic, again", gate=5, ambition=20),
    ]


NOTE = (
    "1.2 GB of data in 8 GiB, 164 blocks of 512 KiB changed; ours from CreateSnapshot over HTTP"
    " until it is completed, of a volume that no machine has; the peers read the whole disk"
)
