"""Export tasks in SQL: of images and of instances, in one table."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, case, func, insert, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import export_tasks as tasks
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.ids import ExportTaskId, Region
from openami.domain.transfers.export_task import (
    STATUS,
    ExportState,
    ExportTask,
    export_task_not_found,
)

C: Final = tasks.c

_RUNNING: Final = C.state.in_((ExportState.ACTIVE, ExportState.CANCELLING))

IMAGE_FILTERS: Final[Mapping[str, Condition]] = {
    "task-state": filters.column(case(dict(STATUS), value=C.state))
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeExportImageTasks.html"""

INSTANCE_FILTERS: Final[Mapping[str, Condition]] = {
    "export-task-id": filters.column(C.id),
    "instance-id": filters.column(C.instance_id),
    "state": filters.column(C.state),
}
"""Named in no page of AWS but for being there; these are the task's own members."""


def _row(task: ExportTask) -> dict[str, Any]:
    return {column.name: getattr(task, column.name) for column in tasks.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[ExportTask]:
    rows = tx.execute(query).mappings()
    return [ExportTask(**{str(name): value for name, value in row.items()}) for row in rows]


def _of(caller: Caller) -> ColumnElement[bool]:
    return (C.owner == caller.account) & (C.region == caller.region)


def add(tx: Transaction, task: ExportTask) -> None:
    tx.execute(insert(tasks).values(_row(task)))


def save(tx: Transaction, task: ExportTask) -> None:
    tx.execute(sql_update(tasks).where(C.id == task.id).values(_row(task)))


def save_progress(tx: Transaction, task_id: ExportTaskId, percent: int, message: str) -> None:
    """Only of one that is active: a late word about another says nothing."""
    mine = (C.id == task_id) & (C.state == ExportState.ACTIVE)
    values = {"progress_percent": percent, "status_message": message}
    tx.execute(sql_update(tasks).where(mine).values(values))


def fetch_owned(tx: Transaction, task_id: ExportTaskId, caller: Caller) -> ExportTask:
    """Raises InvalidExportTaskID.NotFound."""
    found = _found(tx, select(tasks).where(_of(caller), C.id == task_id))
    if not found:
        raise export_task_not_found(task_id)
    return found[0]


def fetch_any(tx: Transaction, task_id: ExportTaskId) -> ExportTask | None:
    """For workflows: whoever owns it; None if it is gone."""
    found = _found(tx, select(tasks).where(C.id == task_id))
    return found[0] if found else None


def running(tx: Transaction) -> list[ExportTask]:
    """For sweeps: every task of the host that has not ended."""
    return _found(tx, select(tasks).where(_RUNNING).order_by(C.id))


def count_running(tx: Transaction, caller: Caller) -> int:
    query = select(func.count()).select_from(tasks).where(_of(caller), _RUNNING)
    return tx.scalar(query) or 0


def all_roots(tx: Transaction, region: Region) -> set[str]:
    """The contents that tasks still need of a region, whether a snapshot there names them."""
    query = select(C.root).where(_RUNNING, C.region == region, C.root.is_not(None)).distinct()
    return {str(root) for root in tx.scalars(query)}


def describe_images(
    tx: Transaction,
    caller: Caller,
    task_ids: Sequence[ExportTaskId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[ExportTask]:
    """The caller's exports of images in the region, by id. Raises NotFound for ids not theirs."""
    condition = filters.where(conditions, IMAGE_FILTERS, C.id, caller.account)
    return _described(tx, caller, task_ids, C.image_id.is_not(None) & condition, page)


def describe_instances(
    tx: Transaction,
    caller: Caller,
    task_ids: Sequence[ExportTaskId],
    conditions: Sequence[Filter],
) -> list[ExportTask]:
    """Likewise, of instances."""
    condition = filters.where(conditions, INSTANCE_FILTERS, C.id, caller.account)
    return _described(tx, caller, task_ids, C.instance_id.is_not(None) & condition, Page())


def _described(
    tx: Transaction,
    caller: Caller,
    task_ids: Sequence[ExportTaskId],
    condition: ColumnElement[bool],
    page: Page,
) -> list[ExportTask]:
    query = select(tasks).where(_of(caller), condition)
    if task_ids:
        wanted = list(dict.fromkeys(task_ids))
        found = set(tx.scalars(select(C.id).where(_of(caller), C.id.in_(wanted))))
        missing = [each for each in wanted if each not in found]
        if missing:
            raise export_task_not_found(*missing)
        query = query.where(C.id.in_(wanted))
    if page.after is not None:
        query = query.where(C.id > page.after)
    return _found(tx, query.order_by(C.id).limit(page.limit))
