"""P20: memory that images cost, beside moto's server."""

from pathlib import Path

from bench import asked, moto
from bench.live_server import serving
from bench.many_images import FAMILY, fill
from bench.measure import Line

IMAGES = 10_000
GATE_MIB, AMBITION_MIB = 1.0, 1 / 16


def bench(scratch: Path, _count: int) -> list[Line]:
    """Grown from one thousand images to eleven thousand, all of them read: counted once."""
    part = scratch / "p20"
    with serving(part / "openami", images=FAMILY, compute_driver="record") as server:
        before_mib = _read_all(server, FAMILY)
        fill(server.state_dir, IMAGES, first=FAMILY)
        ours_mib = (_read_all(server, FAMILY + IMAGES) - before_mib) / (IMAGES // FAMILY)
    with moto.serving(scratch, part / "moto-few", FAMILY) as server:
        before_mib = _read_all(server, FAMILY)
    with moto.serving(scratch, part / "moto-many", FAMILY + IMAGES) as server:
        theirs_mib = (_read_all(server, FAMILY + IMAGES) - before_mib) / (IMAGES // FAMILY)
    print(f"  openami {ours_mib:.3f} MiB, moto_server {theirs_mib:.3f} MiB", flush=True)
    at_least_mib = max(ours_mib, 0.001)
    return [
        Line(
            id="P20",
            what="memory per 1000 images",
            ours=f"{ours_mib:.3f} MiB",
            peer_name=name,
            peer=f"{peer_mib:.3f} MiB",
            ratio=peer_mib / at_least_mib,
            worst=peer_mib / at_least_mib,
            best=peer_mib / at_least_mib,
            gate=gate,
            ambition=ambition,
            note=NOTE,
        )
        for name, peer_mib, gate, ambition in (
            ("the limit", GATE_MIB, 1, GATE_MIB / AMBITION_MIB),
            ("moto_server", theirs_mib, 1, 1),
        )
    ]


def _read_all(server: asked.Server, images: int) -> float:
    """What the process holds when every image was answered, in pages, and each page once more."""
    for _ in range(2):
        asked.ask(server, asked.page, range(0, images, FAMILY), FAMILY)
    return asked.resident_mib(server.pid)


NOTE = "resident memory after all images were read in pages of 1000, 11 pages beside one"
