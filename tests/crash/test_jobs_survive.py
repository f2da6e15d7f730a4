"""Jobs under SIGKILL: the process dies for real, the next one finishes the work.

Run as a program, this file is the process that dies: see `main`.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from openami.jobs.durable import DurableEngine
from openami.jobs.engine import Args, GiveUp, Job

STEPS = 6
MANY = 40
SRC = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def after_a_kill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of jobs killed in each of their steps and while giving up, then finished."""
    home = tmp_path_factory.mktemp("jobs")
    assert a_life(home, "hold").wait() == -signal.SIGKILL
    assert a_life(home, "finish").wait() == 0
    return home


@pytest.mark.parametrize("held", range(STEPS))
def test_a_job_killed_in_any_step_goes_on_there_in_the_next_process(
    after_a_kill: Path, held: int
) -> None:
    expected = [*range(held + 1), *range(held, STEPS)]
    assert steps_of(after_a_kill, f"held-{held}") == [str(step) for step in expected]


def test_a_job_killed_while_it_gives_up_gives_up_in_the_next_process(after_a_kill: Path) -> None:
    reason = "give-up:no-room"
    assert steps_of(after_a_kill, "hopeless") == ["doomed", reason, reason]


def test_jobs_killed_at_any_moment_all_end_and_repeat_no_finished_step(tmp_path: Path) -> None:
    lives = 0
    for lines_before_death in (3, 150):
        assert a_life(tmp_path, "many", lines_before_death).wait() == -signal.SIGKILL
        lives += 1
    assert a_life(tmp_path, "many").wait() == 0
    for n in range(MANY):
        ran = [int(step) for step in steps_of(tmp_path, f"many-{n}")]
        assert ran == sorted(ran), "a finished step ran again after a later one"
        assert set(ran) == set(range(STEPS))
        # Each death may interrupt one step of a job, and no more.
        assert len(ran) <= STEPS + lives
        assert max(Counter(ran).values()) <= 1 + lives


def test_nothing_is_said_to_the_network_and_nobody_is_listened_to(tmp_path: Path) -> None:
    assert a_life(tmp_path, "watched").wait() == 0
    assert (tmp_path / "network").read_text() == ""


def a_life(home: Path, plan: str, dies_at_line: int = 0) -> subprocess.Popen[bytes]:
    """A process of its own, which kills itself when its log has that many lines."""
    return subprocess.Popen(
        [sys.executable, __file__, str(home), plan, str(dies_at_line)],
        env=os.environ | {"PYTHONPATH": str(SRC)},
    )


def steps_of(home: Path, job_id: str) -> list[str]:
    lines = [line.split() for line in (home / "log").read_text().splitlines()]
    return [step for job, step in lines if job == job_id]


# What follows runs in the process that dies.


class SomeClock:
    def now(self) -> datetime:
        return datetime(2001, 1, 1, tzinfo=UTC)


class Life:
    def __init__(self, home: Path, *, hold: bool, dies_at_line: int) -> None:
        self.path = home / "log"
        self.log = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.hold, self.dies_at_line = hold, dies_at_line
        self.held = threading.Semaphore(0)

    def write(self, args: Args, what: str) -> None:
        os.write(self.log, f"{args['id']} {what}\n".encode())
        if self.dies_at_line and self.path.read_bytes().count(b"\n") >= self.dies_at_line:
            os.kill(os.getpid(), signal.SIGKILL)

    def stay(self) -> None:
        self.held.release()
        threading.Event().wait()

    def step(self, number: int) -> tuple[str, Callable[[Args], None]]:
        def act(args: Args) -> None:
            self.write(args, str(number))
            if self.hold and args["held_at"] == number:
                self.stay()

        return str(number), act

    def doomed(self, args: Args) -> None:
        self.write(args, "doomed")
        raise GiveUp("no-room")

    def give_up(self, args: Args, why: str) -> None:
        self.write(args, f"give-up:{why}")
        if self.hold:
            self.stay()


@contextmanager
def an_engine(home: Path, life: Life) -> Iterator[DurableEngine]:
    engine = DurableEngine(home / "jobs.db", clock=SomeClock())
    steps = tuple(life.step(number) for number in range(STEPS))
    engine.register(Job(name="count", steps=steps, give_up=life.give_up))
    engine.register(Job(name="fail", steps=(("doomed", life.doomed),), give_up=life.give_up))
    engine.launch()
    yield engine
    engine.close()


def main(home: Path, plan: str, dies_at_line: int) -> None:
    if plan == "watched":
        watch_the_network(home / "network")
    life = Life(home, hold=plan == "hold", dies_at_line=dies_at_line)
    with an_engine(home, life) as engine:
        if plan == "hold":
            for number in range(STEPS):
                job_id = f"held-{number}"
                engine.start("count", job_id, {"id": job_id, "held_at": number})
            engine.start("fail", "hopeless", {"id": "hopeless"})
            for _ in range(STEPS + 1):
                life.held.acquire()
            os.kill(os.getpid(), signal.SIGKILL)
        if plan in ("many", "watched"):
            for number in range(MANY):
                job_id = f"many-{number}"
                engine.start("count", job_id, {"id": job_id, "held_at": None})
        unfinished = engine.active()
        assert all(engine.wait(job_id, 60) for job_id in unfinished)


def watch_the_network(report: Path) -> None:
    """Write down every connection made, name looked up or address bound from now on."""
    out = report.open("w", buffering=1)

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
            out.write(f"{event} {args}\n")

    sys.addaudithook(hook)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
