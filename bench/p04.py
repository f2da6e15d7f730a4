"""P4: what thirty-two launches of one image on a cold host ask of the store, beside one launch."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import disk, peers
from bench.cold_host import ColdHost, cold_host
from bench.live_server import instance_ids
from bench.measure import Line
from bench.wire import Counted

LAUNCHES: Final = 32
GATE, AMBITION = 1 / 1.05, 1.0
DATA_BYTES: Final = 192 << 20
HYDRATE_MIB_PER_S: Final = "16"
"""Slow enough that the machines boot while the disk comes: each of them reads from the daemon."""


def bench(scratch: Path, _count: int) -> list[Line]:
    """Counted, not timed: one round tells it."""
    peers.install("mke2fs")
    part = scratch / "p04"
    part.mkdir(parents=True)
    whole = disk.tiny_and_data(scratch, part, DATA_BYTES)
    with cold_host(hydrate_mib_per_s=HYDRATE_MIB_PER_S) as host:
        image_id = host.server.import_image(whole, "tiny and data")
        one, many = (_asked(host, image_id, launches) for launches in (1, LAUNCHES))
    line = _line("chunks and pages read from the store", _requests(one), _requests(many))
    bytes_line = _line("bytes read from the store", one.received_mb, many.received_mb)
    return [
        replace(line, ours=f"{_requests(many)}, {many.repeated} of them again"),
        replace(bytes_line, ours=f"{many.received_mb:.3f} MB", peer=f"{one.received_mb:.3f} MB"),
    ]


def _asked(host: ColdHost, image_id: str, launches: int) -> Counted:
    server = replace(host.server, image_id=image_id)
    host.wire.forget()
    count = {"MinCount": str(launches), "MaxCount": str(launches)}
    started = instance_ids(server.call(**{**server.run_instances, **count}))
    idle = [each for each in started if server.state(each) != "running"]
    if idle or len(started) != launches:
        raise RuntimeError(f"of {launches} machines {len(started)} are there, not running: {idle}")
    host.await_whole()
    server.terminate(*started)
    asked = host.wire.counted()
    print(f"  {len(started)} launches: {asked}", flush=True)
    host.forget()
    return asked


def _line(what: str, one: float, many: float) -> Line:
    ratio = one / many
    return Line(
        id="P4",
        what=f"{LAUNCHES} launches of a cold image: {what}",
        ours=f"{many}",
        peer_name="one launch",
        peer=f"{one}",
        ratio=ratio,
        worst=ratio,
        best=ratio,
        gate=GATE,
        ambition=AMBITION,
        note=NOTE,
    )


def _requests(asked: Counted) -> int:
    return asked.chunks + asked.pages


NOTE = (
    "counted on the wire to a SeaweedFS, from RunInstances until the disk is a file of the host;"
    " the machines boot meanwhile, each reading through a socket of its own"
)
