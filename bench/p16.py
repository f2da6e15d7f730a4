"""P16: a disk served over NBD when all of it is here, beside qemu-nbd and nbdkit."""

import os
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench import disk, measure, peers
from bench.measure import Line, Sample
from openami.blockstore.ingest import ingest_file
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.restore import restore
from openami.domain.ids import Region
from openami.nbd import process
from openami.settings import Settings

HERE: Final = Region("us-east-1")
READY_TIMEOUT_S: Final = 120.0
WORKLOADS: Final = (
    # what, requests, bytes each, how far apart, how many under way at once
    ("4 KiB, 16 at once", 100_000, 4096, 4096 * 257, 16),
    ("1 MiB in order", 4_000, 1024 * 1024, 1024 * 1024, 1),
)
GATES: Final = {"nbdkit": (1.0, 1.5), "qemu-nbd": (1.5, 3.0)}
"""Gate and ambition beside each."""


def bench(scratch: Path, count: int) -> list[Line]:
    part = scratch / "p16"
    part.mkdir(parents=True)
    peers.install("nbdkit", "qemu-nbd")
    peers.install("nbdkit", "qemu-nbd")
    settings = Settings(state_dir=part / "state", hydrate_mib_per_s=0)
    places = {HERE: part / "state" / "chunks"}
    store = LocalDirChunkStore(places[HERE])
    root = ingest_file(store, disk.realistic_disk(scratch))
    raw = part / "disk.raw"
    restore(store, root, raw)
    daemon = process.ensure(settings, places)
    try:
        ours = daemon.open_export("bench", HERE, root, os.getuid())
        _await(lambda: daemon.hydration(HERE, root).complete)
        return _measured(part, ours, raw, count)
    finally:
        process.stop(settings)


def _measured(part: Path, ours: Path, raw: Path, count: int) -> list[Line]:
    qemu_nbd = ["qemu-nbd", "-r", "-t", "-f", "raw", "--shared=8", "-k", part / "qemu.sock", raw]
    nbdkit = ["nbdkit", "-f", "-r", "-U", part / "kit.sock", "file", f"file={raw}"]
    lines: list[Line] = []
    with (
        _serving(qemu_nbd, part / "qemu.sock") as by_qemu,
        _serving(nbdkit, part / "kit.sock") as by_nbdkit,
    ):
        sockets = {"openami": ours, "qemu-nbd": by_qemu, "nbdkit": by_nbdkit}
        for what, *workload in WORKLOADS:
            contenders = {name: partial(_read, at, *workload) for name, at in sockets.items()}
            samples = measure.rounds(contenders, count)
            lines += [_beside(samples, peer, what) for peer in GATES]
    return lines


def _beside(samples: dict[str, list[Sample]], peer: str, what: str) -> Line:
    gate, ambition = GATES[peer]
    return measure.beside(
        samples, "openami", peer, id="P16", what=what, gate=gate, ambition=ambition, note=NOTE
    )


def _read(path: Path, requests: int, size: int, step: int, depth: int, _name: str) -> Sample:
    url = f"nbd+unix:///?socket={path}"
    options = ("-c", f"{requests}", "-s", f"{size}", "-S", f"{step}", "-d", f"{depth}")
    return measure.run(["qemu-img", "bench", "-f", "raw", *options, url])


@contextmanager
def _serving(command: list[str | Path], path: Path) -> Generator[Path]:
    with subprocess.Popen([str(word) for word in command]) as server:
        try:
            _await(path.exists)
            yield path
        finally:
            server.terminate()


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not condition():
        if time.monotonic() >= deadline:
            raise TimeoutError("a server for P16 is not ready")
        time.sleep(0.05)


NOTE = "read by qemu-img bench over a Unix socket, one connection, everything in the page cache"
