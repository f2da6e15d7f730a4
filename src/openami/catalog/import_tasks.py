"""Import tasks in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, insert, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import import_tasks
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.ids import AccountId, Region
from openami.domain.transfers.import_task import (
    UNFINISHED,
    ImportState,
    ImportTask,
    ImportTaskId,
    import_task_not_found,
)

C: Final = import_tasks.c

FILTERS: Final[Mapping[str, Condition]] = {"task-state": filters.column(C.state)}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImportImageTasks.html"""


def _row(task: ImportTask) -> dict[str, Any]:
    return {column.name: getattr(task, column.name) for column in import_tasks.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[ImportTask]:
    rows = tx.execute(query).mappings()
    return [ImportTask(**{str(name): value for name, value in row.items()}) for row in rows]


def _of(caller: Caller) -> ColumnElement[bool]:
    return (C.owner == caller.account) & (C.region == caller.region)


def add(tx: Transaction, task: ImportTask) -> None:
    tx.execute(insert(import_tasks).values(_row(task)))


def save(tx: Transaction, task: ImportTask) -> None:
    tx.execute(sql_update(import_tasks).where(C.id == task.id).values(_row(task)))


def is_active(tx: Transaction, task_id: ImportTaskId) -> bool:
    return tx.scalar(select(C.state).where(C.id == task_id)) == ImportState.ACTIVE


def count_active(tx: Transaction, caller: Caller) -> int:
    query = select(func.count()).where(_of(caller), C.state.in_(UNFINISHED))
    return tx.scalar(query) or 0


def save_progress(tx: Transaction, task_id: ImportTaskId, percent: int, message: str) -> None:
    """Only of one that is active: a late word about another says nothing."""
    mine = (C.id == task_id) & (C.state == ImportState.ACTIVE)
    values = {"progress_percent": percent, "status_message": message}
    tx.execute(sql_update(import_tasks).where(mine).values(values))


def fetch_owned(tx: Transaction, task_id: ImportTaskId, caller: Caller) -> ImportTask:
    """Raises InvalidConversionTaskId."""
    found = _found(tx, select(import_tasks).where(_of(caller), C.id == task_id))
    if not found:
        raise import_task_not_found(task_id)
    return found[0]


def fetch_any(tx: Transaction, task_id: ImportTaskId) -> ImportTask | None:
    """For workflows: whoever owns it; None if it is gone."""
    found = _found(tx, select(import_tasks).where(C.id == task_id))
    return found[0] if found else None


def active(tx: Transaction, account: AccountId, region: Region) -> list[ImportTask]:
    """Those of the account that will make something; what is being cancelled will not."""
    place = (C.owner == account) & (C.region == region)
    return _found(tx, select(import_tasks).where(place, C.state == ImportState.ACTIVE))


def unfinished(tx: Transaction) -> list[ImportTask]:
    """For sweeps: every task of the host that has not ended."""
    return _found(tx, select(import_tasks).where(C.state.in_(UNFINISHED)).order_by(C.id))


def all_roots(tx: Transaction, region: Region) -> set[str]:
    """The contents that tasks rely on: those they brought in, and those of snapshots they name."""
    query = select(import_tasks).where(C.state.in_(UNFINISHED), C.region == region)
    disks = (disk for task in _found(tx, query) for disk in task.disks)
    return {disk.root for disk in disks if disk.root is not None}


def describe(
    tx: Transaction,
    caller: Caller,
    prefix: str,
    task_ids: Sequence[ImportTaskId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[ImportTask]:
    """The caller's of the kind that `prefix` says, by id.

    Raises InvalidConversionTaskId for ids that are not the caller's.
    """
    query = select(import_tasks).where(
        _of(caller),
        C.id.startswith(f"{prefix}-", autoescape=True),
        filters.where(conditions, FILTERS, C.id, caller.account),
    )
    if task_ids:
        known = set(tx.scalars(select(C.id).where(_of(caller), C.id.in_(task_ids))))
        missing = [each for each in dict.fromkeys(task_ids) if each not in known]
        if missing:
            raise import_task_not_found(*missing)
        query = query.where(C.id.in_(task_ids))
    if page.after is not None:
        query = query.where(C.id > page.after)
    return _found(tx, query.order_by(C.id).limit(page.limit))
