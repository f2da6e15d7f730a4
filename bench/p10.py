"""P10: a disk out of the store, verified, into a raw file."""

import filecmp
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

from bench import disk, peers
from bench.contenders import Scratch
from bench.measure import Line, Sample, beside, read_into_page_cache, rounds, run

GATES = {
    "restic restore": (3, 4.5),
    "qemu-img from zstd": (1.3, 1.8),
    "cp --sparse": (0.5, 0.59),
}


def bench(scratch: Path, count: int) -> list[Line]:
    peers.install("restic", "qemu-img", "mke2fs")
    part = Scratch(scratch / "p10", disk.realistic_disk(scratch))
    repository = part.restic_repository("a")
    part.restic_backup(repository)
    part.qemu_img_compress("a")
    root = _stored_root(part)
    packed = part.directory / "qemu-a.qcow2"

    def ours(number: str) -> Sample:
        store, output = part.directory / "ours-a", part.directory / f"ours-{number}.raw"
        read_into_page_cache(store)
        command = [sys.executable, "-m", "bench.ours", "restore", store, root, output]
        return _checked(part, output, run(command, env=part.env))

    def restic(number: str) -> Sample:
        target = part.directory / f"restored-{number}"
        target.mkdir()
        read_into_page_cache(repository)
        command = ["restic", "restore", "-q", "-r", repository, "latest", "--target", target]
        return part.synced(target, *command)

    def qemu_img(number: str) -> Sample:
        output = part.directory / f"qemu-{number}.raw"
        read_into_page_cache(packed)
        options = ["-f", "qcow2", "-O", "raw", "-m", "16", "-W"]
        return part.synced(output, "qemu-img", "convert", *options, packed, output)

    def cp(number: str) -> Sample:
        output = part.directory / f"cp-{number}.raw"
        read_into_page_cache(part.disk)
        return part.synced(output, "cp", "--sparse=always", part.disk, output)

    contenders = {
        "openami": ours,
        "restic restore": restic,
        "qemu-img from zstd": qemu_img,
        "cp --sparse": cp,
    }
    samples = rounds(contenders, count)
    line = partial(beside, samples, "openami", id="P10", what="restore, verified, durable")
    return [
        line(peer, gate=gate, ambition=ambition, note=NOTE)
        for peer, (gate, ambition) in GATES.items()
    ]


def _stored_root(part: Scratch) -> str:
    command = [sys.executable, "-m", "bench.ours", "ingest", part.directory / "ours-a", part.disk]
    done = subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True
    )
    return str(json.loads(done.stdout)["root"])


def _checked(part: Scratch, output: Path, sample: Sample) -> Sample:
    if not filecmp.cmp(part.disk, output, shallow=False):
        raise RuntimeError("the restored disk is another one")
    return sample


NOTE = "stores in the page cache for all; outputs synced; ours compared with the disk each time"
