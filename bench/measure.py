"""Running contenders side by side: mirrored rounds, whole processes, medians and spreads."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

DISTURBED_CORES = 0.3  # with more than this used by others, a sample says little
QUIET_WAIT_S = 20.0
BRIEF_S = 1.0  # what is shorter is told in milliseconds
LOOK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    wall_s: float
    cpu_s: float
    peak_mib: float
    output_mb: float = 0.0
    other_cores: float = 0.0  # what everything else on the machine used meanwhile

    @property
    def disturbed(self) -> bool:
        return self.other_cores > DISTURBED_CORES


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
    started, busy_before_s = time.perf_counter(), busy_s()
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
    wall_s = elapsed_s = time.perf_counter() - started
    cpu_s = usage.ru_utime + usage.ru_stime
    other_s = max(0.0, busy_s() - busy_before_s - cpu_s)
    if process.returncode != 0:
        raise RuntimeError(f"{command} failed:\n{told}")
    for line in told.splitlines():
        if line.startswith('{"wall_s"'):
            wall_s = json.loads(line)["wall_s"]
    return Sample(
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mib=usage.ru_maxrss / 1024,
        output_mb=stored_mb(output) if output else 0.0,
        other_cores=other_s / elapsed_s,
    )


def rounds(
    contenders: dict[str, Callable[[str], Sample]], count: int, *, patient: bool = True
) -> dict[str, list[Sample]]:
    """Every contender once per round, every second round in the opposite order (A B B A).

    A contender is called with a name that no other call has had, for its fresh store. What others
    on the machine disturb is measured once more and the less disturbed sample kept; what takes
    less time than to wait for that is not `patient`.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(1, count + 1):
        order = list(contenders) if number % 2 else list(reversed(contenders))
        for name in order:
            measure = _undisturbed if patient else _at_once
            sample = measure(contenders[name], str(number))
            samples[name].append(sample)
            print(f"  round {number}: {name:24} {_told(sample)}", flush=True)
    return samples


def _at_once(contender: Callable[[str], Sample], name: str) -> Sample:
    return contender(name)


def _undisturbed(contender: Callable[[str], Sample], name: str) -> Sample:
    _wait_until_quiet()
    sample = contender(name)
    if not sample.disturbed:
        return sample
    _wait_until_quiet()
    again = contender(f"{name}-again")
    return min(sample, again, key=lambda s: s.other_cores)


def _wait_until_quiet() -> None:
    """For a while: a machine that is never quiet is measured as it is, and the table says so."""
    deadline = time.monotonic() + QUIET_WAIT_S
    while time.monotonic() < deadline:
        before_s = busy_s()
        time.sleep(1)
        if busy_s() - before_s <= DISTURBED_CORES:
            return


def busy_s() -> float:
    """CPU seconds that the whole machine has used so far (proc(5): user, nice, system, irq)."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def cores_in_use() -> float:
    """By whatever runs now. Asked before what is too brief for the kernel's ticks of 10 ms."""
    before_s = busy_s()
    time.sleep(LOOK_S)
    return (busy_s() - before_s) / LOOK_S


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
        other_cores=statistics.median(s.other_cores for s in samples),
    )


def _told(sample: Sample) -> str:
    size = f" {sample.output_mb:.0f} MB" if sample.output_mb else ""
    others = f" *{sample.other_cores:.1f}" if sample.disturbed else ""
    if sample.wall_s < BRIEF_S:
        times = f"{1000 * sample.wall_s:.2f} ms (CPU {1000 * sample.cpu_s:.2f} ms"
    else:
        times = f"{sample.wall_s:.2f} s (CPU {sample.cpu_s:.1f} s"
    return f"{times}, {sample.peak_mib:.0f} MiB){size}{others}"


def stored_mb(path: Path) -> float:
    """Bytes a file or a tree says it has, in 10^6."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def read_into_page_cache(path: Path) -> None:
    """Warm for the next reader, as a disk is that has just been made or received."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    buffer = bytearray(1 << 20)
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass
