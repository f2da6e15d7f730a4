"""P19: DescribeImages among ten thousand images, beside moto's server."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import asked, moto
from bench.live_server import serving
from bench.measure import Line, Sample, beside, rounds

IMAGES = 10_000
# What is asked, how often in a sample, how many images each answer has, gate, ambition.
QUESTIONS = {
    "by id": (asked.by_id, 400, 1, 8, 30),
    "with 4 filters": (asked.by_filters, 40, 1, 8, 30),
    "a page of 1000": (asked.page, 4, 1000, 3, 10),
}


def bench(scratch: Path, count: int) -> list[Line]:
    part = scratch / "p19"
    with ExitStack() as stack:
        print(f"  two servers of {IMAGES:,} images", flush=True)
        ours = serving(part / "openami", images=IMAGES, compute_driver="record")
        servers = {
            "openami": stack.enter_context(ours),
            "moto_server": stack.enter_context(moto.serving(scratch, part / "moto", IMAGES)),
        }
        return [_line(servers, what, count) for what in QUESTIONS]


def _line(servers: dict[str, asked.Server], what: str, count: int) -> Line:
    question, often, images, gate, ambition = QUESTIONS[what]

    def ask(name: str, _round: str) -> Sample:
        numbers = range(7, IMAGES, IMAGES // often)
        return asked.ask(servers[name], question, numbers, images)

    for name in servers:  # models read, statements made, on both sides
        ask(name, "")
    samples = rounds({name: partial(ask, name) for name in servers}, count, patient=False)
    return beside(
        samples,
        *("openami", "moto_server"),
        id="P19",
        what=f"DescribeImages {what}",
        gate=gate,
        ambition=ambition,
        note=NOTE,
    )


NOTE = (
    "both over one kept connection by requests signed beforehand; openami verifies each signature"
    " and reads SQLite, moto verifies none and holds the images in memory"
)
