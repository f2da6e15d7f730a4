"""What a durable engine promises: jobs of named steps that outlive the process.

A job is recorded before `start` returns. Each step is recorded when it has ended (the last one
by the end of the job), so after a crash the job goes on at the step that had not. A step may
therefore run twice (it died between its work and the record of it) and must look before it acts.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

ArgValue: TypeAlias = "str | int | bool | Sequence[ArgValue] | None"
Args: TypeAlias = Mapping[str, ArgValue]


class GiveUp(Exception):
    """Raised by a step that cannot succeed however often it is tried; `str` says why."""


class UnknownJob(Exception):
    """No job of that name was registered: our mistake, not a caller's."""


class JobIdTaken(Exception):
    """The id belongs to a job of another name: two kinds of work would share one record."""


class NotRunning(Exception):
    """The engine has not been launched, or was closed; it takes no jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A durable operation: its steps in order, and what records that it failed.

    Every step, and give_up, is safe to run again and may die anywhere. Names are written
    down with unfinished jobs, so they are part of the stored format: a release that
    renames a job loses the unfinished ones of the old name.

    Of the jobs of a `lane` (jobs/lanes.py) only some run at once. One that waits for its turn is
    not on record yet, so what it is for has to be: who starts it starts it again after a crash.

    A step that meets a store that is away is made again for `patience_s`; None is the engine's own.

    `afterwards` is what nobody waits for: tried once when the job has ended and all have been told.
    A crash may lose it.
    """

    name: str
    steps: tuple[tuple[str, Callable[[Args], None]], ...]
    give_up: Callable[[Args, str], None]
    lane: str | None = None
    patience_s: float | None = None
    afterwards: Callable[[Args], None] | None = None

    def __post_init__(self) -> None:
        names = [name for name, _ in self.steps]
        if len(set(names)) != len(names) or GIVE_UP in names:
            raise ValueError(f"the steps of {self.name} need distinct names, none {GIVE_UP!r}")


GIVE_UP = "give up"


def wait_for_all(engine: "Engine", job_ids: Iterable[str], at_most_s: float) -> None:
    """Until they have ended, one after the other, or the time is over."""
    deadline = time.monotonic() + at_most_s
    for job_id in job_ids:
        engine.wait(job_id, max(0.0, deadline - time.monotonic()))


class Engine(Protocol):
    """Runs registered jobs to their end, through crashes. Thread-safe once launched."""

    def register(self, job: Job) -> None:
        """Make `job` known. Before launch; raises ValueError when the name is taken."""
        ...

    def launch(self) -> None:
        """Take up whatever was unfinished, then accept starts."""
        ...

    def start(
        self,
        name: str,
        job_id: str,
        args: Args,
        *,
        owner: str = "",
        regions: Collection[str] = (),
    ) -> None:
        """Record and begin a job, at most once per id: a known id changes nothing.

        A job of a lane is begun when it is its owner's turn and too many others that need the
        stores of the same regions do not run already. Steps see `args` as JSON leaves it: a tuple
        arrives as a list. Raises UnknownJob, JobIdTaken, NotRunning, and TypeError
        for args that are not JSON.
        """
        ...

    def hurry(self, job_id: str) -> None:
        """Begin a job that waits for its turn or a store now: it was cancelled and ends at once."""
        ...

    def wait(self, job_id: str, timeout_s: float) -> bool:
        """True as soon as the job has ended, well or badly; False at the deadline.

        False at once for an id that is not known, and for a job that waits for its turn or for a
        store that is away: nobody can tell how long that takes, and who waits keeps others from
        waiting.
        """
        ...

    def active(self) -> set[str]:
        """The ids started or recovered here that have not ended."""
        ...

    def known(self, job_id: str) -> bool:
        """Whether the id was ever started (and not forgotten since)."""
        ...

    def forget(self, ended_before: datetime) -> int:
        """Delete the record of jobs that ended before then; how many. Their ids are free again."""
        ...

    def close(self) -> None:
        """Take no more jobs, let running steps end for a few seconds, return.

        Unfinished jobs go on at the next launch. Safe to call twice.
        """
        ...
