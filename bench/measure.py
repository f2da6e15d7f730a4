"""Running contenders side by side: mirrored rounds, whole processes, medians and spreads."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    wall_s: float
    cpu_s: float
    peak_mib: float
    output_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table: us beside one peer. A ratio says how many times we are better."""

    id: str
    what: str
    ours: str
    peer_name: str
    peer: str
    ratio: float
    worst: float
    best: float
    gate: float
    ambition: float
    note: str = ""

    @property
    def verdict(self) -> str:
        """By the median; the spread stands beside it."""
        if self.ratio < self.gate:
            return "MISSED"
        return "ambition" if self.ratio >= self.ambition else "gate"


def run(
    command: Sequence[str | Path],
    *,
    where: Path | None = None,
    env: dict[str, str] | None = None,
    output: Path | None = None,
) -> Sample:
    """Run a command to its end. CPU and peak memory are the kernel's account of it (wait4).

    If the command prints a line `{"wall_s": …}`, that is its time: how ours leaves out the
    start of Python, which a service does not pay per disk.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=where,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(f"{command} failed:\n{told}")
    for line in told.splitlines():
        if line.startswith('{"wall_s"'):
            wall_s = json.loads(line)["wall_s"]
    return Sample(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        output_mb=stored_mb(output) if output else 0.0,
    )


def rounds(contenders: dict[str, Callable[[int], Sample]], count: int) -> dict[str, list[Sample]]:
    """Every contender once per round, every second round in the opposite order (A B B A)."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(count):
        order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
        for name in order:
            sample = contenders[name](number)
            samples[name].append(sample)
            print(f"  round {number + 1}: {name:24} {_told(sample)}", flush=True)
    return samples


def beside(
    samples: dict[str, list[Sample]],
    ours: str,
    peer: str,
    *,
    id: str,  # noqa: A002
    what: str,
    gate: float,
    ambition: float,
    note: str = "",
) -> Line:
    ratios = [
        theirs.wall_s / mine.wall_s
        for mine, theirs in zip(samples[ours], samples[peer], strict=True)
    ]
    return Line(
        id=id,
        what=what,
        ours=_told(median(samples[ours])),
        peer_name=peer,
        peer=_told(median(samples[peer])),
        ratio=statistics.median(ratios),
        worst=min(ratios),
        best=max(ratios),
        gate=gate,
        ambition=ambition,
        note=note,
    )


def median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        wall_s=statistics.median(s.wall_s for s in samples),
        cpu_s=statistics.median(s.cpu_s for s in samples),
        peak_mib=statistics.median(s.peak_mib for s in samples),
        output_mb=statistics.median(s.output_mb for s in samples),
    )


def _told(sample: Sample) -> str:
    size = f" {sample.output_mb:.0f} MB" if sample.output_mb else ""
    return f"{sample.wall_s:.2f} s (CPU {sample.cpu_s:.1f} s, {sample.peak_mib:.0f} MiB){size}"


def stored_mb(path: Path) -> float:
    """Bytes a file or a tree says it has, in 10^6."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def drop_from_page_cache(path: Path) -> None:
    """Cold for the next reader, without touching what others on this machine have cached."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
