"""DBOS as we set it up, and what it has on record: the only SQL of jobs is its own."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    WorkflowStatus,
    WorkflowStatusString,
)

from openami.jobs.running import Reason
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
SQLITE_CONNECTIONS: Final = 8

log = logging.getLogger(__name__)


def listed(**filters: Any) -> list[WorkflowStatus]:
    return DBOS.list_workflows(**filters, load_input=False, load_output=False)


def status_of(job_id: str) -> WorkflowStatus | None:
    found = listed(workflow_ids=[job_id])
    return found[0] if found else None


def config(database: Path | str, executor_id: str, threads: int) -> DBOSConfig:
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


def quiet_logging() -> None:
    """DBOS prints to stderr unless its logger has a handler; then it goes the common way."""
    dbos_log = logging.getLogger("dbos")
    if not dbos_log.handlers:
        dbos_log.addHandler(logging.NullHandler())


def recorded(name: str, step: Callable[[], Reason]) -> Reason:
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
