"""P14: what ten versions of an image take, each the one before it, upgraded in place."""

import subprocess
from pathlib import Path

from bench import peers
from bench.contenders import Scratch
from bench.measure import Line, stored_mb
from bench.versions_disk import VERSIONS, versions
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore


def bench(scratch: Path, _count: int) -> list[Line]:
    """Counted, not timed: one round tells it."""
    peers.install("restic", "zstd", "mke2fs", "debugfs")
    directory = scratch / "p14"
    part = Scratch(directory, directory / "series" / "disk.raw")
    store = LocalDirChunkStore(directory / "ours")
    repository = part.restic_repository("series")
    whole_mb = 0.0
    for number, disk in enumerate(versions(directory / "series", VERSIONS), start=1):
        ingest_file(store, disk)
        part.restic_backup(repository)
        whole_mb += _compressed_mb(disk)
        ours_mb, restic_mb = stored_mb(store.directory), stored_mb(repository)
        print(
            f"  version {number}: {ours_mb:.1f} MB, restic {restic_mb:.1f} MB,"
            f" zstd -3 of each {whole_mb:.1f} MB",
            flush=True,
        )
    return [
        _line(ours_mb, "zstd -3 of each", whole_mb, gate=1 / 0.35, ambition=1 / 0.15),
        _line(ours_mb, "restic", restic_mb, gate=1 / 1.5, ambition=1),
    ]


def _compressed_mb(disk: Path) -> float:
    compressed = disk.with_suffix(".zst")
    subprocess.run(["zstd", "-3", "-q", "-f", "-T0", disk, "-o", compressed], check=True)
    return stored_mb(compressed)


def _line(ours_mb: float, peer: str, peer_mb: float, *, gate: float, ambition: float) -> Line:
    ratio = peer_mb / ours_mb
    return Line(
        id="P14",
        what=f"bytes of {VERSIONS} versions of an image",
        ours=f"{ours_mb:.1f} MB",
        peer_name=peer,
        peer=f"{peer_mb:.1f} MB",
        ratio=ratio,
        worst=ratio,
        best=ratio,
        gate=gate,
        ambition=ambition,
        note=NOTE,
    )


NOTE = (
    "0.4 GB of programs on ext4 in 1 GiB; each upgrade writes 4 % of them anew in place."
    " A ratio says how many times fewer bytes"
)
