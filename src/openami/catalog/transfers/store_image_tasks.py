"""Tasks that store images in buckets, in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, func, insert, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import store_image_tasks as tasks
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.filter import Filter, Page
from openami.domain.ids import ImageId, Region, StoreImageTaskId
from openami.domain.transfers.store_image_task import TOLD_FOR, StoreImageTask, StoreTaskState
from openami.domain.transfers.stored_image import parsed

C: Final = tasks.c

FILTERS: Final[Mapping[str, Condition]] = {
    "task-state": filters.column(C.state),
    "bucket": filters.column(C.bucket),
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeStoreImageTasks.html"""

_IN_PROGRESS: Final = C.state == StoreTaskState.IN_PROGRESS


def _row(task: StoreImageTask) -> dict[str, Any]:
    return {column.name: getattr(task, column.name) for column in tasks.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[StoreImageTask]:
    rows = tx.execute(query).mappings()
    return [StoreImageTask(**{str(name): value for name, value in row.items()}) for row in rows]


def _of(caller: Caller) -> ColumnElement[bool]:
    return (C.owner == caller.account) & (C.region == caller.region)


def add(tx: Transaction, task: StoreImageTask) -> None:
    tx.execute(insert(tasks).values(_row(task)))


def save(tx: Transaction, task: StoreImageTask) -> None:
    tx.execute(sql_update(tasks).where(C.id == task.id).values(_row(task)))


def save_progress(tx: Transaction, task_id: StoreImageTaskId, percent: int) -> None:
    """Only of one that is in progress: a late word about another says nothing."""
    mine = (C.id == task_id) & _IN_PROGRESS
    tx.execute(sql_update(tasks).where(mine).values(progress_percent=percent))


def forget(tx: Transaction, now: datetime) -> None:
    """Remove the tasks that are told no more."""
    tx.execute(delete(tasks).where(C.started_at < now - TOLD_FOR, ~_IN_PROGRESS))


def fetch_any(tx: Transaction, task_id: StoreImageTaskId) -> StoreImageTask | None:
    """For workflows: whoever owns it; None if it is gone."""
    found = _found(tx, select(tasks).where(C.id == task_id))
    return found[0] if found else None


def in_progress(tx: Transaction) -> list[StoreImageTask]:
    """For sweeps: every task of the host that has not ended."""
    return _found(tx, select(tasks).where(_IN_PROGRESS).order_by(C.id))


def is_in_progress(tx: Transaction, caller: Caller, image_id: ImageId, bucket: str) -> bool:
    wanted = _of(caller) & _IN_PROGRESS & (C.image_id == image_id) & (C.bucket == bucket)
    return tx.scalar(select(C.id).where(wanted).limit(1)) is not None


def size_gib_in_progress(tx: Transaction, caller: Caller) -> int:
    query = select(func.sum(C.size_gib)).where(_of(caller), _IN_PROGRESS)
    return int(tx.scalar(query) or 0)


def all_roots(tx: Transaction, region: Region) -> set[str]:
    """The contents that tasks still need of a region, whether a snapshot there names them."""
    running = _found(tx, select(tasks).where(_IN_PROGRESS, C.region == region))
    stored = [parsed(task.head.encode(), task.started_at) for task in running]
    return {root.to_text() for each in stored for root in each.roots}


def describe(
    tx: Transaction,
    caller: Caller,
    image_ids: Sequence[ImageId],
    conditions: Sequence[Filter],
    page: Page,
    now: datetime,
) -> list[StoreImageTask]:
    """The caller's tasks in the region, the latest first. Raises InvalidNextToken."""
    query = select(tasks).where(
        _of(caller),
        C.started_at >= now - TOLD_FOR,
        filters.where(conditions, FILTERS, C.id, caller.account),
    )
    if image_ids:
        query = query.where(C.image_id.in_(list(image_ids)))
    if page.after is not None:
        query = query.where(_after(page.after))
    return _found(tx, query.order_by(C.started_at.desc(), C.id).limit(page.limit))


def _after(place: str) -> ColumnElement[bool]:
    told, _, task_id = place.partition(" ")
    try:
        moment = datetime.fromisoformat(told)
    except ValueError:
        raise EC2Error.of("InvalidNextToken", "The token is invalid") from None
    return (C.started_at < moment) | ((C.started_at == moment) & (C.id > task_id))
