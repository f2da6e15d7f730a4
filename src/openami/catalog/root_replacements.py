"""Tasks that replace root volumes, in SQL. They are kept as long as their instance is told of."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, insert, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import replace_root_volume_tasks as tasks
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.filter import Filter, Page
from openami.domain.ids import InstanceId, ReplaceRootVolumeTaskId, VolumeId
from openami.domain.root_replacement import UNFINISHED, ReplaceRootVolumeTask, TaskState

C: Final = tasks.c

FILTERS: Final[Mapping[str, Condition]] = {"instance-id": filters.column(C.instance_id)}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeReplaceRootVolumeTasks.html"""


def _row(task: ReplaceRootVolumeTask) -> dict[str, Any]:
    return {column.name: getattr(task, column.name) for column in tasks.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[ReplaceRootVolumeTask]:
    rows = tx.execute(query).mappings()
    return [
        ReplaceRootVolumeTask(**{str(name): value for name, value in row.items()}) for row in rows
    ]


def _of(caller: Caller) -> ColumnElement[bool]:
    return (C.owner == caller.account) & (C.region == caller.region)


def add(tx: Transaction, task: ReplaceRootVolumeTask) -> None:
    tx.execute(insert(tasks).values(_row(task)))


def save(tx: Transaction, task: ReplaceRootVolumeTask) -> None:
    tx.execute(sql_update(tasks).where(C.id == task.id).values(_row(task)))


def remove_of(tx: Transaction, instance_id: InstanceId) -> list[ReplaceRootVolumeTaskId]:
    """Forget the tasks of an instance that is forgotten itself; their ids."""
    ids = list(tx.scalars(select(C.id).where(C.instance_id == instance_id)))
    tx.execute(delete(tasks).where(C.instance_id == instance_id))
    return ids


def fetch_owned(
    tx: Transaction, task_id: ReplaceRootVolumeTaskId, caller: Caller
) -> ReplaceRootVolumeTask:
    """Raises InvalidReplaceRootVolumeTaskId.NotFound."""
    found = _found(tx, select(tasks).where(_of(caller), C.id == task_id))
    if not found:
        raise _not_found([task_id])
    return found[0]


def fetch_any(tx: Transaction, task_id: ReplaceRootVolumeTaskId) -> ReplaceRootVolumeTask | None:
    """For workflows: whoever owns it; None if it is gone."""
    found = _found(tx, select(tasks).where(C.id == task_id))
    return found[0] if found else None


def unfinished(tx: Transaction) -> list[ReplaceRootVolumeTask]:
    """For sweeps: every task of the host that has not ended."""
    return _found(tx, select(tasks).where(C.state.in_(UNFINISHED)).order_by(C.id))


def former_roots(tx: Transaction, instance_id: InstanceId) -> set[VolumeId]:
    """The volumes that have been an instance's root before they were replaced."""
    query = select(C.old_volume_id).where(
        C.instance_id == instance_id, C.state == TaskState.SUCCEEDED
    )
    return {VolumeId(each) for each in tx.scalars(query)}


def describe(
    tx: Transaction,
    caller: Caller,
    task_ids: Sequence[ReplaceRootVolumeTaskId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[ReplaceRootVolumeTask]:
    """The caller's tasks in the region, by id. Raises NotFound for ids not theirs."""
    query = select(tasks).where(
        _of(caller), filters.where(conditions, FILTERS, C.id, caller.account)
    )
    if task_ids:
        wanted = list(dict.fromkeys(task_ids))
        found = set(tx.scalars(select(C.id).where(_of(caller), C.id.in_(wanted))))
        missing = [each for each in wanted if each not in found]
        if missing:
            raise _not_found(missing)
        query = query.where(C.id.in_(wanted))
    if page.after is not None:
        query = query.where(C.id > page.after)
    return _found(tx, query.order_by(C.id).limit(page.limit))


def _not_found(task_ids: Sequence[str]) -> EC2Error:
    return EC2Error.of(
        "InvalidReplaceRootVolumeTaskId.NotFound",
        f"The replace root volume task '{', '.join(task_ids)}' does not exist",
    )
