"""P2: RunInstances until QMP says running, beside doing it by hand."""

import os
import statistics
from dataclasses import replace
from pathlib import Path

from bench import peers
from bench.by_hand import ByHand, brought_to_hand, launched, tap
from bench.live_server import room_for_machines, serving
from bench.measure import Line, Sample, beside, rounds

GATE, AMBITION = 1 / 1.5, 1 / 1.1
ROUNDS_MIN = 9
BASE_TIMEOUT_S = 60.0


def bench(_scratch: Path, count: int) -> list[Line]:
    peers.install("qemu-img")
    with room_for_machines() as directory, serving(directory / "state", _disk(directory)) as server:
        base = brought_to_hand(server, BASE_TIMEOUT_S)
        template = server.launch()  # its VPC has a machine already, as it has in a busy service
        with tap():
            by_hand = ByHand.like(server.machine_arguments(template), directory, base)
            samples = rounds(
                {"openami": lambda _: launched(server), "qemu by hand": lambda _: by_hand.run()},
                max(count, ROUNDS_MIN),
            )
        server.terminate(template)
    line = beside(
        samples,
        "openami",
        "qemu by hand",
        id="P2",
        what="RunInstances until QMP says running",
        gate=GATE,
        ambition=AMBITION,
        note=NOTE,
    )
    ours, theirs = (_ms(samples[name]) for name in ("openami", "qemu by hand"))
    return [replace(line, ours=ours, peer=theirs)]


def _ms(samples: list[Sample]) -> str:
    return f"{1000 * statistics.median(each.wall_s for each in samples):.0f} ms"


def _disk(directory: Path) -> Path:
    """No system to boot: what the guest would do is not measured."""
    disk = directory / "disk.raw"
    with disk.open("wb") as file:
        file.write(os.urandom(8 << 20))
        file.truncate(64 << 20)
    return disk


NOTE = (
    "ours through HTTP on loopback, signed beforehand, with durable rows and volume, network,"
    " firewall and a confined process; by hand as root, the tap made beforehand,"
    " the overlay synced as ours is."
    " A gate of 0.67x allows 1.5 times the time by hand"
)
