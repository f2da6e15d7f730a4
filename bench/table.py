"""The table, for eyes and as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.measure import Line

HEAD = (
    "",
    "what",
    "openami",
    "beside",
    "peer",
    "ratio (worst-best)",
    "gate",
    "ambition",
    "verdict",
)


def machine() -> str:
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {cpu}, Linux {platform.release()}, Python {platform.python_version()}"


def write(lines: Sequence[Line], versions: dict[str, str], target: Path) -> None:
    rows = [HEAD, *(_row(line) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    print()
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    for note in dict.fromkeys(f"{line.id}: {line.note}" for line in lines if line.note):
        print(note)
    print("*n: so many cores were used by others during the median sample; it says little")
    print(machine())
    print(", ".join(f"{tool} {version}" for tool, version in versions.items()))
    target.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine(),
        "versions": versions,
        "lines": [asdict(line) | {"verdict": line.verdict} for line in lines],
    }
    target.write_text(json.dumps(document, indent=2) + "\n")
    print(f"as JSON: {target}")


def _row(line: Line) -> tuple[str, ...]:
    ratio = f"{line.ratio:.2f}x ({line.worst:.2f}-{line.best:.2f})"
    limits = (f"{line.gate:g}x", f"{line.ambition:g}x")
    return (
        *(line.id, line.what, line.ours, line.peer_name, line.peer),
        *(ratio, *limits, line.verdict),
    )
