"""An engine for tests: jobs run at once in the caller's thread, and live as long as it does."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from openami.domain.ids import Clock
from openami.jobs.engine import Args, Job, JobIdTaken, NotRunning, UnknownJob
from openami.jobs.running import NO_PAUSES, Patience, Reason, Run, Suspended


@dataclass(slots=True, kw_only=True)
class _Record:
    job: str
    args: Args
    outcomes: list[Reason] = field(default_factory=list["Reason"])
    ended_at: datetime | None = None


class InlineEngine:
    """`start` returns when the job has ended. A job that was suspended goes on at `launch`."""

    def __init__(self, *, clock: Clock, patience: Patience = NO_PAUSES) -> None:
        self._clock = clock
        self._patience = patience
        self._jobs: dict[str, Job] = {}
        self._records: dict[str, _Record] = {}
        self._open = False

    def register(self, job: Job) -> None:
        if self._open or job.name in self._jobs:
            raise ValueError(f"{job.name} is registered already, or the engine is running")
        self._jobs[job.name] = job

    def launch(self) -> None:
        self._open = True
        for job_id in sorted(self.active()):
            self._run(job_id, self._records[job_id])

    def start(
        self,
        name: str,
        job_id: str,
        args: Args,
        *,
        owner: str = "",  # noqa: ARG002, nobody waits for a turn here
        regions: Collection[str] = (),  # noqa: ARG002
    ) -> None:
        if not self._open:
            raise NotRunning
        if name not in self._jobs:
            raise UnknownJob(name)
        plain = cast("Args", json.loads(json.dumps(dict(args))))
        fresh = _Record(job=name, args=plain)
        record = self._records.setdefault(job_id, fresh)
        if record is fresh:
            self._run(job_id, record)
        elif record.job != name:
            raise JobIdTaken(f"{job_id} is a {record.job}, not a {name}")

    def hurry(self, job_id: str) -> None: ...

    def wait(self, job_id: str, timeout_s: float) -> bool:  # noqa: ARG002 # nothing runs meanwhile
        record = self._records.get(job_id)
        return record is not None and record.ended_at is not None

    def active(self) -> set[str]:
        return {job_id for job_id, record in self._records.items() if record.ended_at is None}

    def known(self, job_id: str) -> bool:
        return job_id in self._records

    def forget(self, ended_before: datetime) -> int:
        old = [
            job_id
            for job_id, record in self._records.items()
            if record.ended_at is not None and record.ended_at < ended_before
        ]
        for job_id in old:
            del self._records[job_id]
        return len(old)

    def close(self) -> None:
        self._open = False

    def _run(self, job_id: str, record: _Record) -> None:
        recorded = iter(tuple(record.outcomes))

        def checkpoint(name: str, step: Callable[[], Reason]) -> Reason:
            del name
            for outcome in recorded:
                return outcome
            outcome = step()
            record.outcomes.append(outcome)
            return outcome

        run = Run(
            job=self._jobs[record.job], job_id=job_id, args=record.args, patience=self._patience
        )
        try:
            run.to_the_end(checkpoint)
        except Suspended:
            return
        record.ended_at = self._clock.now()
        run.afterwards()
