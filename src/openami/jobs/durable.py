"""The engine that survives: DBOS records every step in SQLite or PostgreSQL.

See docs/adr/0002-durable-workflows-on-dbos.md for why, and for what was measured.
"""

import contextvars
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from dbos import DBOS, SetWorkflowID, WorkflowStatus
from dbos import error as dbos_error

from openami.domain.ids import Clock
from openami.jobs.dbos_record import (
    FINISHED,
    UNFINISHED,
    config,
    listed,
    quiet_logging,
    recorded,
    status_of,
)
from openami.jobs.engine import Args, Job, JobIdTaken, NotRunning, UnknownJob
from openami.jobs.lanes import NOBODYS, Begin, Kind, Lane
from openami.jobs.later import Later
from openami.jobs.outage import SHORTEST_PAUSE_S, Outage
from openami.jobs.running import Patience, PutOff, Run

RETENTION: Final = timedelta(days=7)
FORGET_EVERY_S: Final = 3600.0
FORGET_BATCH: Final = 500
# Whoever waited for a job has an answer to make, and there is one interpreter for both.
AFTERWARDS_S: Final = 0.02

log = logging.getLogger(__name__)

# DBOS is one per process: its second instance would silently be the first.
_process: threading.Lock = threading.Lock()


@dataclass(slots=True, kw_only=True, eq=False)
class _Unfinished:
    """What is known of a job that has not ended, beside its record."""

    is_new: bool  # it has never run: nothing is on record of its steps
    kind: Kind = NOBODYS
    has_turn: bool = True  # False: it was recovered when its lane was full
    is_hurried: bool = False  # since it ran last
    ended: threading.Event = field(default_factory=threading.Event)
    outage: Outage = field(default_factory=Outage)


class DurableEngine:
    """Jobs on DBOS, each in a thread of its own pool. One launched engine per process.

    `database` is the path of a SQLite file or a PostgreSQL URL. `executor_id` names whose
    unfinished jobs are recovered at launch: it must stay the same over restarts and must
    not be shared by two processes on one database. With `waiters_max` callers waiting, the
    next is told at once how things stand. `lanes` are the lanes of jobs and how many of each run
    at once; `threads` are for all other jobs. Ended jobs are forgotten after `retention`: an id is
    refused a second start for that long.
    """

    def __init__(
        self,
        database: Path | str,
        *,
        clock: Clock,
        patience: Patience | None = None,
        executor_id: str = "openami",
        threads: int = 64,
        lanes: Mapping[str, int] | None = None,
        retention: timedelta = RETENTION,
        closing_s: float = 5.0,
        waiters_max: int = 1000,
    ) -> None:
        self._database = database
        self._clock = clock
        self._patience = patience or Patience()
        self._executor_id = executor_id
        self._threads = threads + sum((lanes or {}).values())
        self._retention = retention
        self._closing_s = closing_s
        self._waiters = threading.BoundedSemaphore(waiters_max)
        self._lanes = {name: Lane(width) for name, width in (lanes or {}).items()}
        self._jobs: dict[str, Job] = {}
        self._bodies: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self._changed = threading.Condition()
        self._unfinished: dict[str, _Unfinished] = {}
        self._running: set[str] = set()  # those that have a thread now
        self._put_off = Later("jobs-later")
        self._stopping = threading.Event()
        self._gate = threading.Event()  # no recovered job may end before it was counted
        self._open = False
        self._launched = False
        self._owner = False
        self._forgetting: threading.Thread | None = None

    def register(self, job: Job) -> None:
        if self._launched or job.name in self._jobs:
            raise ValueError(f"{job.name} is registered already, or the engine was launched")
        if job.lane is not None and job.lane not in self._lanes:
            raise ValueError(f"{job.name} is of the lane {job.lane!r}, which there is not")
        self._jobs[job.name] = job

    def launch(self) -> None:
        """Raises NotRunning when this engine was launched before or another one is running."""
        if self._launched or not _process.acquire(blocking=False):
            raise NotRunning("one engine per process, launched once")
        self._launched = self._owner = True
        try:
            self._launch()
        except BaseException:
            self.close()
            raise

    def _launch(self) -> None:
        quiet_logging()
        DBOS(config=config(self._database, self._executor_id, self._threads))
        for name in self._jobs:
            self._bodies[name] = self._body(name)
        DBOS.launch()
        for job in listed(status=UNFINISHED, executor_id=self._executor_id):
            self._recover(job)
        self._open = True
        self._put_off.start()
        self._gate.set()
        self._forgetting = threading.Thread(
            target=self._forget_now_and_then, name="jobs-forget", daemon=True
        )
        self._forgetting.start()

    def _recover(self, job: WorkflowStatus) -> None:
        if job.name not in self._jobs:
            log.warning("job %s is of the kind %r of another release", job.workflow_id, job.name)
            with suppress(Exception):  # a full disk keeps no server from starting
                DBOS.cancel_workflow(job.workflow_id)  # or it would be unfinished for ever
            return
        lane = self._lane_of(job.name)
        has_turn = lane is None or lane.hold(job.workflow_id)
        self._unfinished[job.workflow_id] = _Unfinished(is_new=False, has_turn=has_turn)

    def start(
        self,
        name: str,
        job_id: str,
        args: Args,
        *,
        owner: str = "",
        regions: Collection[str] = (),
    ) -> None:
        if name not in self._jobs:
            raise UnknownJob(name)
        plain = cast("dict[str, Any]", json.loads(json.dumps(dict(args))))
        lane = self._lane_of(name)
        kind = Kind(owner, frozenset(regions))
        if lane is not None and (job_id in self._unfinished or self._is_on_record(name, job_id)):
            if (known := self._unfinished.get(job_id)) is not None:
                known.kind = kind
            lane.belongs(job_id, owner, regions)
            return
        job = _Unfinished(is_new=True, kind=kind)
        with self._changed:
            if not self._open:
                raise NotRunning
            if job_id in self._unfinished:
                return
            self._unfinished[job_id] = job
        if lane is None:
            self._begun(name, job_id, plain)
        elif not _enter(lane, job_id, job, lambda: self._in_turn(name, job_id, plain)):
            self._end(job_id)  # the engine was closed meanwhile
            raise NotRunning

    def hurry(self, job_id: str) -> None:
        with self._changed:  # it is put off already, or will see that it is in a hurry
            if (job := self._unfinished.get(job_id)) is None:
                return
            job.is_hurried = True
        self._put_off.hurry(job_id)
        for lane in self._lanes.values():
            lane.hurry(job_id)

    def _lane_of(self, name: str) -> Lane | None:
        job = self._jobs.get(name)
        return None if job is None or job.lane is None else self._lanes[job.lane]

    def _is_on_record(self, name: str, job_id: str) -> bool:
        found = status_of(job_id) if self._open else None
        if found is not None and found.name != name:
            raise JobIdTaken(f"{job_id} is a {found.name}, not a {name}")
        return found is not None

    def _begun(self, name: str, job_id: str, args: dict[str, Any]) -> bool:
        begun = False
        try:
            # An empty context: a job started within a step is its own, not DBOS's child of it.
            begun = contextvars.Context().run(self._begin, name, job_id, args)
        finally:
            if not begun:
                self._end(job_id)
        return begun

    def _in_turn(self, name: str, job_id: str, args: dict[str, Any]) -> bool:
        """Whoever gave up the turn has no part in what fails here; the sweep starts it again."""
        try:
            return self._begun(name, job_id, args)
        except Exception:
            log.exception("job %s could not begin", job_id)
            return False

    def _begin(self, name: str, job_id: str, args: dict[str, Any]) -> bool:
        """False when the id was known: it has ended, or is another executor's."""
        try:
            with SetWorkflowID(job_id, workflow_id_reuse_policy="reject"):
                DBOS.start_workflow(self._bodies[name], job_id, args)
        except dbos_error.DBOSWorkflowIDInUseError as known:
            if known.workflow_name != name:
                raise JobIdTaken(f"{job_id} is a {known.workflow_name}, not a {name}") from known
            return False
        return True

    def wait(self, job_id: str, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        job = self._unfinished.get(job_id)
        if job is None:
            return self._wait_for_record(job_id, deadline)
        waits_for_its_turn = any(lane.is_waiting(job_id) for lane in self._lanes.values())
        if waits_for_its_turn or self._put_off.has(job_id):
            return False
        if not self._waiters.acquire(blocking=False):
            return job.ended.is_set()
        try:
            return job.ended.wait(timeout_s)
        finally:
            self._waiters.release()

    def _wait_for_record(self, job_id: str, deadline: float) -> bool:
        """A job that is not running here: it ended before, or another process has it."""
        pause_s = 0.002
        while True:
            found = status_of(job_id)
            if found is None:
                return False
            if found.status in FINISHED or self._has_ended_here(found):
                return True
            if time.monotonic() + pause_s > deadline or self._stopping.wait(pause_s):
                return False
            pause_s = min(pause_s * 2, 0.1)

    def _has_ended_here(self, found: WorkflowStatus) -> bool:
        """DBOS records the outcome a moment after a job of ours has ended."""
        return found.executor_id == self._executor_id and found.workflow_id not in self._unfinished

    def active(self) -> set[str]:
        with self._changed:
            return set(self._unfinished)

    def known(self, job_id: str) -> bool:
        return job_id in self._unfinished or status_of(job_id) is not None

    def forget(self, ended_before: datetime) -> int:
        before = ended_before.isoformat()
        forgotten = 0
        old_ones = {"status": FINISHED, "completed_before": before, "limit": FORGET_BATCH}
        while not self._stopping.is_set() and (old := listed(**old_ones)):
            DBOS.delete_workflows([job.workflow_id for job in old])
            forgotten += len(old)
        return forgotten

    def close(self) -> None:
        with self._changed:
            was_open, self._open = self._open, False
        self._stopping.set()
        self._gate.set()
        self._put_off.close()
        for lane in self._lanes.values():
            lane.close()
        if self._forgetting is not None:
            self._forgetting.join()
        if was_open:
            self._drain(time.monotonic() + self._closing_s)
        with self._changed:  # what has a record is taken up again, what has none is started again
            for job_id in self._unfinished.keys() - self._running:
                del self._unfinished[job_id]
        if self._owner:
            self._owner = False
            DBOS.destroy(destroy_registry=True)
            _process.release()

    def _drain(self, deadline: float) -> None:
        """Until no step runs and DBOS has the outcome of every job that has ended."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, deadline - time.monotonic())
            for job_id in self._running:
                log.warning("job %s is in a step still; it will be taken up again", job_id)
        while time.monotonic() < deadline:
            unrecorded = listed(status=UNFINISHED, executor_id=self._executor_id)
            if self.active().issuperset(job.workflow_id for job in unrecorded):
                return
            threading.Event().wait(0.002)

    def _body(self, name: str) -> Callable[[str, dict[str, Any]], None]:
        @DBOS.workflow(name=name, max_recovery_attempts=None)
        def body(job_id: str, args: dict[str, Any]) -> None:
            self._gate.wait()
            with self._changed:
                self._running.add(job_id)
                job = self._unfinished.get(job_id) or _Unfinished(is_new=False)
            is_put_off = False
            try:
                self._run(name, job_id, job, args)
            except PutOff:
                is_put_off = True
                raise
            finally:
                if (lane := self._lane_of(name)) is not None:
                    lane.leave(job_id)
                with self._changed:
                    if is_put_off:
                        self._put_off_once_more(name, job_id, job)
                    self._running.discard(job_id)
                    self._changed.notify_all()

        return body

    def _run(self, name: str, job_id: str, job: _Unfinished, args: Args) -> None:
        may_run = job.has_turn or job.is_hurried
        job.has_turn, job.is_hurried = True, False
        if not may_run:
            raise PutOff
        run = Run(
            job=self._jobs[name],
            job_id=job_id,
            args=args,
            patience=self._patience,
            outage=job.outage,
            stopping=self._stopping,
        )
        run.to_the_end(recorded, is_new=job.is_new)
        self._end(job_id)
        if run.job.afterwards is not None:
            self._stopping.wait(AFTERWARDS_S)
            run.afterwards()

    def _put_off_once_more(self, name: str, job_id: str, job: _Unfinished) -> None:
        """Go on after a while, without a thread and without a place in a lane until then."""
        with self._changed:
            job.is_new = False
            pause_s = SHORTEST_PAUSE_S if job.is_hurried else job.outage.pause_s(job_id)
            self._put_off.put(job_id, pause_s, lambda: self._go_on(name, job_id, job))

    def _go_on(self, name: str, job_id: str, job: _Unfinished) -> None:
        def begin() -> bool:
            return self._taken_up(name, job_id, job)

        if (lane := self._lane_of(name)) is None:
            begin()
        else:
            _enter(lane, job_id, job, begin)

    def _taken_up(self, name: str, job_id: str, job: _Unfinished) -> bool:
        """DBOS looks each second for what is to be taken up."""
        try:
            contextvars.Context().run(DBOS.resume_workflow, job_id)
        except Exception:
            log.exception("job %s could not go on", job_id)
            self._put_off_once_more(name, job_id, job)
            return False
        return True

    def _end(self, job_id: str) -> None:
        with self._changed:
            job = self._unfinished.pop(job_id, None)
        if job is not None:
            job.ended.set()

    def _forget_now_and_then(self) -> None:
        while True:
            try:
                self.forget(self._clock.now() - self._retention)
            except Exception:
                log.exception("ended jobs could not be forgotten; the next round will")
            if self._stopping.wait(FORGET_EVERY_S):
                return


def _enter(lane: Lane, job_id: str, job: _Unfinished, begin: Begin) -> bool:
    entered = lane.enter(job_id, job.kind.owner, begin, job.kind.regions)
    if job.is_hurried:
        lane.hurry(job_id)
    return entered
