"""P18: DescribeImages by id where there are a million images, beside ten thousand."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import asked
from bench.live_server import serving
from bench.measure import Line, Sample, beside, rounds

GATE, AMBITION = 1 / 1.5, 1 / 1.1
MANY, FEW = 1_000_000, 10_000
REQUESTS = 300


def bench(scratch: Path, count: int) -> list[Line]:
    part = scratch / "p18"
    servers = {}
    with ExitStack() as stack:
        for images in (MANY, FEW):
            print(f"  a server of {images:,} images", flush=True)
            server = serving(part / str(images), images=images, compute_driver="record")
            servers[images] = stack.enter_context(server)
        for images, server in servers.items():  # models read, statements made
            asked.ask(server, asked.by_id, _spread(images, 20), 1)

        def ask(images: int, _round: str) -> Sample:
            return asked.ask(servers[images], asked.by_id, _spread(images, REQUESTS), 1)

        samples = rounds(
            {_name(each): partial(ask, each) for each in servers}, count, patient=False
        )
    return [
        beside(
            samples,
            *(_name(MANY), _name(FEW)),
            id="P18",
            what=f"DescribeImages by id, {MANY:,} images",
            gate=GATE,
            ambition=AMBITION,
            note=NOTE,
        )
    ]


def _name(images: int) -> str:
    return f"openami, {images:,} images"


def _spread(images: int, count: int) -> range:
    """Numbers from all over, so that no two images are on one page of the index."""
    return range(images // count // 2, images, images // count)


NOTE = "each request asks for another image; a gate of 0.67x allows 1.5 times the time"
