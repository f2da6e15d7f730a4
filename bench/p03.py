"""P3: RunInstances beside launching on a whole copy of the image."""

import os
from pathlib import Path
from typing import Final

from bench import peers
from bench.by_hand import ByHand, brought_to_hand, launched, tap
from bench.live_server import room_for_machines, serving
from bench.measure import Line, beside, read_into_page_cache, rounds

GATE, AMBITION = 50.0, 150.0
DATA_GIB: Final = 4
_PIECE_MIB: Final = 256
BASE_TIMEOUT_S: Final = 600.0


def bench(_scratch: Path, count: int) -> list[Line]:
    peers.install("qemu-img")
    with room_for_machines() as directory, serving(directory / "state", _disk(directory)) as server:
        (directory / "disk.raw").unlink()
        base = brought_to_hand(server, BASE_TIMEOUT_S)  # for both
        template = server.launch()
        with tap():
            by_hand = ByHand.like(server.machine_arguments(template), directory, base)
            read_into_page_cache(base)
            samples = rounds(
                {
                    "openami": lambda _: launched(server),
                    "copy and QEMU by hand": lambda _: by_hand.run_on_a_copy(),
                },
                count,
            )
    line = beside(
        samples,
        "openami",
        "copy and QEMU by hand",
        id="P3",
        what=f"RunInstances, image of {DATA_GIB} GiB of data",
        gate=GATE,
        ambition=AMBITION,
        note=NOTE,
    )
    return [line]


def _disk(directory: Path) -> Path:
    """Full of data, which is stored quickly because it repeats itself: a copy gains nothing by
    that. There is no system to boot: what the guest would do is not measured."""
    piece = os.urandom(_PIECE_MIB << 20)
    disk = directory / "disk.raw"
    with disk.open("wb") as file:
        for _ in range(DATA_GIB * 1024 // _PIECE_MIB):
            file.write(piece)
    return disk


NOTE = (
    "until QMP says running; the copy by `qemu-img convert -m 16 -W -t none` to qcow2 from the page"
    " cache, as durable as our volume (by itself qemu-img flushes nothing); the tap made before;"
    " ours as in P2. CPU is the server's, QEMU's not counted, beside that of qemu-img and QEMU"
)
