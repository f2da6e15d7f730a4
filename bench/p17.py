"""P17: disks that come to the host: one chunk under many readers, and reads of what is here."""

import json
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import disk, peers
from bench.asked import cpu_s, resident_mib
from bench.far_store import REGION, FarStore, far_store
from bench.measure import Line
from bench.nbd_reader import Reader, read_together
from openami.blockstore import regional
from openami.blockstore.ingest import ingest_file
from openami.blockstore.manifest import Manifests
from openami.blockstore.regional import RegionStore
from openami.domain.block import BLOCK_BYTES, Digest
from openami.domain.ids import Region
from openami.domain.manifest import Root
from openami.nbd import process
from openami.settings import Settings

HERE: Final = Region(REGION)
READERS: Final = 64
EXPORTS: Final = 4
READ_BYTES: Final = 4096
CHUNKS: Final = 100
"""Each read by all readers at once, while nothing else comes."""
ADDED_GATE_MS, ADDED_AMBITION_MS = 1.0, 0.7
HOT_GATE_MS, HOT_AMBITION_MS = 2.0, 1.0
HOT_S: Final = 4.0


def bench(scratch: Path, count: int) -> list[Line]:
    part = scratch / "p17"
    part.mkdir(parents=True)
    peers.install("mke2fs")
    with far_store(part / "s3") as far:
        store = regional.store_at(far.place)
        root = ingest_file(store, disk.realistic_disk(scratch))
        chunks = list(Manifests(store).iterate(root))
        under_many = _under_many(part / "many", far, store, root, chunks)
        return [*under_many, _hot(part / "hot", far, root, chunks, count)]


def _under_many(
    part: Path, far: FarStore, store: RegionStore, root: Root, chunks: Sequence[tuple[int, Digest]]
) -> list[Line]:
    with _Host(part, far, hydrate_mib_per_s=0.001) as host:  # a few blocks, and then none
        readers = [Reader(each) for each in host.opened(root) for _ in range(READERS // EXPORTS)]
        step = max(len(chunks) // CHUNKS, 1)
        far.wire.forget()
        alone, waits = [], []
        for number, (index, digest) in enumerate(chunks[step // 2 :: step][:CHUNKS]):
            # In turns, so that it is the same for both whether the store has just read it.
            if number % 2:
                alone.append(_got_s(store, digest))
            waits.append(sorted(read_together(readers, index * BLOCK_BYTES, READ_BYTES)))
            if not number % 2:
                alone.append(_got_s(store, digest))
        # Each chunk was asked for once by us: what the daemon asked for is asked for again.
        fetches = far.wire.counted().repeated / len(waits)
        if not fetches:
            raise RuntimeError("the daemon fetched nothing: these blocks were here before")
        for reader in readers:
            reader.close()
        return [
            _limit(
                "one cold chunk under 64 readers: fetches",
                f"{fetches:.2f}",
                "once",
                1 / fetches,
                (1.0, 1.0),
            ),
            _added(alone, waits, host.told()),
        ]


def _added(alone: list[float], waits: list[list[float]], told: str) -> Line:
    store_ms = 1000 * statistics.median(alone)
    first, middle, last = (
        1000 * statistics.median(each[at] for each in waits) for at in (0, READERS // 2, -1)
    )
    added_ms = max(middle - store_ms, 0.01)
    return _limit(
        "one cold chunk under 64 readers: added to the store's latency",
        f"{added_ms:.2f} ms for the median reader ({first:.2f}, {middle:.2f}, {last:.2f} ms for"
        f" the first, the median, the last; {told})",
        f"{ADDED_GATE_MS:g} ms, the store alone {store_ms:.2f} ms",
        ADDED_GATE_MS / added_ms,
        (1.0, ADDED_GATE_MS / ADDED_AMBITION_MS),
    )


def _got_s(store: RegionStore, digest: Digest) -> float:
    began = time.perf_counter()
    store.get(digest)
    return time.perf_counter() - began


def _hot(
    part: Path, far: FarStore, root: Root, chunks: Sequence[tuple[int, Digest]], count: int
) -> Line:
    """Blocks that are here are read one after another while the others come."""
    p99s: list[float] = []
    told = ""
    for number in range(1, count + 1):
        with _Host(part / str(number), far) as host:
            reader = Reader(host.opened(root)[0])
            here = [index for index, _ in chunks[:: len(chunks) // 50]]
            for index in here:
                reader.read(index * BLOCK_BYTES, READ_BYTES)
            waits: list[float] = []
            ends = time.monotonic() + HOT_S
            while time.monotonic() < ends and not host.is_whole(root, every=len(waits)):
                index = here[len(waits) % len(here)]
                began = time.perf_counter()
                reader.read(index * BLOCK_BYTES + len(waits) % 128 * READ_BYTES, READ_BYTES)
                waits.append(time.perf_counter() - began)
            reader.close()
            told = host.told()
        p99s.append(1000 * statistics.quantiles(waits, n=100)[98])
        print(f"  round {number}: {len(waits)} reads, p99 {p99s[-1]:.2f} ms, {told}", flush=True)
    p99 = statistics.median(p99s)
    line = _limit(
        "p99 of hot 4 KiB reads while hydrating",
        f"{p99:.2f} ms ({told})",
        f"{HOT_GATE_MS:g} ms",
        HOT_GATE_MS / p99,
        (1.0, HOT_GATE_MS / HOT_AMBITION_MS),
    )
    return replace(line, worst=HOT_GATE_MS / max(p99s), best=HOT_GATE_MS / min(p99s))


class _Host:
    """A block daemon of its own, which has nothing yet."""

    def __init__(self, part: Path, far: FarStore, **settings: float) -> None:
        self._settings = Settings(state_dir=part / "state", **settings)
        self._far = far

    def __enter__(self) -> "_Host":
        try:
            self._daemon = process.ensure(self._settings, {HERE: self._far.place})
        except BaseException:  # it may have been started, and not have answered in time
            process.stop(self._settings)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process.stop(self._settings)

    def opened(self, root: Root) -> list[Path]:
        names = [f"vol-{number}" for number in range(EXPORTS)]
        return [self._daemon.open_export(name, HERE, root, os.getuid()) for name in names]

    def is_whole(self, root: Root, *, every: int) -> bool:
        """Asked each thousandth time: the question costs more than a read."""
        return every % 1000 == 999 and self._daemon.hydration(HERE, root).complete

    def told(self) -> str:
        """What the daemon has used so far."""
        pid = json.loads((process.directory_of(self._settings) / "daemon.json").read_text())["pid"]
        return f"CPU {cpu_s(pid):.1f} s, {resident_mib(pid):.0f} MiB"


def _limit(what: str, ours: str, limit: str, ratio: float, goals: tuple[float, float]) -> Line:
    gate, ambition = goals
    return Line(
        id="P17",
        what=what,
        ours=ours,
        peer_name="the limit",
        peer=limit,
        ratio=ratio,
        worst=ratio,
        best=ratio,
        gate=gate,
        ambition=ambition,
        note=NOTE,
    )


NOTE = (
    "the chunks in a SeaweedFS of the same machine, behind a counting proxy of some 0.2 ms; the"
    " store alone is one verified chunk by openami's own client of S3 over the same way"
)
