"""The engine that survives: DBOS records every step in SQLite or PostgreSQL.

See docs/adr/0002-durable-workflows-on-dbos.md for why, and for what was measured.
"""

import contextvars
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    SetWorkflowID,
    WorkflowStatus,
    WorkflowStatusString,
)
from dbos import error as dbos_error

from openami.domain.ids import Clock
from openami.jobs.engine import Args, Job, JobIdTaken, NotRunning, UnknownJob
from openami.jobs.lanes import Lane
from openami.jobs.running import Patience, Reason, Run
from openami.jobs.sqlite_file import QuickConnection, make_wal

UNFINISHED: Final = [
    status.value
    for status in (
        WorkflowStatusString.PENDING,
        WorkflowStatusString.ENQUEUED,
        WorkflowStatusString.DELAYED,
    )
]
FINISHED: Final = [
    status.value for status in WorkflowStatusString if status.value not in UNFINISHED
]
RETENTION: Final = timedelta(days=7)
FORGET_EVERY_S: Final = 3600.0
FORGET_BATCH: Final = 500
# Whoever waited for a job has an answer to make, and there is one interpreter for both.
AFTERWARDS_S: Final = 0.02
SQLITE_CONNECTIONS: Final = 8

log = logging.getLogger(__name__)

# DBOS is one per process: its second instance would silently be the first.
_process: threading.Lock = threading.Lock()


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
        self._ended: dict[str, threading.Event] = {}  # of the jobs that have not ended
        self._running: set[str] = set()  # those that have a thread now
        self._recovered: set[str] = set()  # those that an earlier launch had begun
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
        _quiet_logging()
        DBOS(config=_config(self._database, self._executor_id, self._threads))
        for name in self._jobs:
            self._bodies[name] = self._body(name)
        DBOS.launch()
        for job in _listed(status=UNFINISHED, executor_id=self._executor_id):
            self._ended[job.workflow_id] = threading.Event()
            self._recovered.add(job.workflow_id)
            if (lane := self._lane_of(job.name)) is not None:
                lane.hold(job.workflow_id)
        self._open = True
        self._gate.set()
        self._forgetting = threading.Thread(
            target=self._forget_now_and_then, name="jobs-forget", daemon=True
        )
        self._forgetting.start()

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
        if lane is not None and (job_id in self._ended or self._is_on_record(name, job_id)):
            lane.belongs(job_id, owner, regions)
            return
        with self._changed:
            if not self._open:
                raise NotRunning
            if job_id in self._ended:
                return
            self._ended[job_id] = threading.Event()
        if lane is None:
            self._begun(name, job_id, plain)
        elif not lane.enter(job_id, owner, lambda: self._in_turn(name, job_id, plain), regions):
            self._end(job_id)  # the engine was closed meanwhile
            raise NotRunning

    def hurry(self, job_id: str) -> None:
        for lane in self._lanes.values():
            lane.hurry(job_id)

    def _lane_of(self, name: str) -> Lane | None:
        job = self._jobs.get(name)
        return None if job is None or job.lane is None else self._lanes[job.lane]

    def _is_on_record(self, name: str, job_id: str) -> bool:
        found = _status_of(job_id) if self._open else None
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
        ended = self._ended.get(job_id)
        if ended is None:
            return self._wait_for_record(job_id, deadline)
        if any(lane.is_waiting(job_id) for lane in self._lanes.values()):
            return False
        if not self._waiters.acquire(blocking=False):
            return ended.is_set()
        try:
            return ended.wait(timeout_s)
        finally:
            self._waiters.release()

    def _wait_for_record(self, job_id: str, deadline: float) -> bool:
        """A job that is not running here: it ended before, or another process has it."""
        pause_s = 0.002
        while True:
            found = _status_of(job_id)
            if found is None:
                return False
            if found.status in FINISHED or self._has_ended_here(found):
                return True
            if time.monotonic() + pause_s > deadline or self._stopping.wait(pause_s):
                return False
            pause_s = min(pause_s * 2, 0.1)

    def _has_ended_here(self, found: WorkflowStatus) -> bool:
        """DBOS records the outcome a moment after a job of ours has ended."""
        return found.executor_id == self._executor_id and found.workflow_id not in self._ended

    def active(self) -> set[str]:
        with self._changed:
            return set(self._ended)

    def known(self, job_id: str) -> bool:
        return job_id in self._ended or _status_of(job_id) is not None

    def forget(self, ended_before: datetime) -> int:
        before = ended_before.isoformat()
        forgotten = 0
        old_ones = {"status": FINISHED, "completed_before": before, "limit": FORGET_BATCH}
        while not self._stopping.is_set() and (old := _listed(**old_ones)):
            DBOS.delete_workflows([job.workflow_id for job in old])
            forgotten += len(old)
        return forgotten

    def close(self) -> None:
        with self._changed:
            was_open, self._open = self._open, False
        self._stopping.set()
        self._gate.set()
        for lane in self._lanes.values():
            for job_id in lane.close():
                self._end(job_id)
        if self._forgetting is not None:
            self._forgetting.join()
        if was_open:
            self._drain(time.monotonic() + self._closing_s)
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
            unrecorded = _listed(status=UNFINISHED, executor_id=self._executor_id)
            if self.active().issuperset(job.workflow_id for job in unrecorded):
                return
            threading.Event().wait(0.002)

    def _body(self, name: str) -> Callable[[str, dict[str, Any]], None]:
        @DBOS.workflow(name=name, max_recovery_attempts=None)
        def body(job_id: str, args: dict[str, Any]) -> None:
            self._gate.wait()
            with self._changed:
                self._running.add(job_id)
            try:
                self._run(
                    Run(
                        job=self._jobs[name],
                        job_id=job_id,
                        args=args,
                        patience=self._patience,
                        stopping=self._stopping,
                    )
                )
            finally:
                with self._changed:
                    self._running.discard(job_id)
                    self._changed.notify_all()
                if (lane := self._lane_of(name)) is not None:
                    lane.leave(job_id)

        return body

    def _run(self, run: Run) -> None:
        run.to_the_end(_recorded, is_new=run.job_id not in self._recovered)
        self._end(run.job_id)
        if run.job.afterwards is not None:
            self._stopping.wait(AFTERWARDS_S)
            run.afterwards()

    def _end(self, job_id: str) -> None:
        with self._changed:
            ended = self._ended.pop(job_id, None)
        if ended is not None:
            ended.set()

    def _forget_now_and_then(self) -> None:
        while True:
            try:
                self.forget(self._clock.now() - self._retention)
            except Exception:
                log.exception("ended jobs could not be forgotten; the next round will")
            if self._stopping.wait(FORGET_EVERY_S):
                return


def _recorded(name: str, step: Callable[[], Reason]) -> Reason:
    """Run a step unless DBOS has its outcome.

    When DBOS cannot tell or cannot record (the disk is full; the record was made by a
    release with other steps), the job goes on without: its steps are safe to run again.
    """
    outcomes: list[Reason] = []

    def once() -> Reason:
        outcomes.append(step())
        return outcomes[0]

    try:
        return DBOS.run_step({"name": name}, once)
    except Exception:
        log.exception("step %r goes on without a record", name)
        return outcomes[0] if outcomes else step()


def _listed(**filters: Any) -> list[WorkflowStatus]:
    return DBOS.list_workflows(**filters, load_input=False, load_output=False)


def _status_of(job_id: str) -> WorkflowStatus | None:
    found = _listed(workflow_ids=[job_id])
    return found[0] if found else None


def _config(database: Path | str, executor_id: str, threads: int) -> DBOSConfig:
    config = DBOSConfig(
        name="openami",
        # One version for ever: DBOS recovers only what its own version left.
        application_version="1",
        executor_id=executor_id,
        system_database_url=str(database),
        max_executor_threads=threads,
        enable_otlp=False,
        log_level="WARNING",
        serializer=DBOSPortableJSONSerializer(),
        # Nothing here waits for notifications; closing waits for their poller to wake up.
        notification_listener_polling_interval_sec=0.1,
        use_listen_notify=False,
    )
    if isinstance(database, Path):
        make_wal(database)
        config["system_database_url"] = f"sqlite:///{database.resolve()}"
        config["db_engine_kwargs"] = {
            "connect_args": {"factory": QuickConnection},
            "pool_pre_ping": False,  # a file does not hang up
            "pool_size": SQLITE_CONNECTIONS,
        }
    return config


def _quiet_logging() -> None:
    """DBOS prints to stderr unless its logger has a handler; then it goes the common way."""
    dbos_log = logging.getLogger("dbos")
    if not dbos_log.handlers:
        dbos_log.addHandler(logging.NullHandler())
