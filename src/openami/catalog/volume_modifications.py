"""Modifications of volumes in SQL. The newest of each volume is told of; older ones are counted."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, func, insert, literal, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import volume_modifications as modifications
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.filter import Filter, Page
from openami.domain.ids import VolumeId
from openami.domain.volume_modification import UNFINISHED, ModificationState, VolumeModification

C: Final = modifications.c

FILTERS: Final[Mapping[str, Condition]] = {
    "modification-state": filters.column(C.state),
    "original-iops": filters.column(C.original_iops),
    "original-size": filters.column(C.original_size_gib),
    "original-volume-type": filters.column(C.original_volume_type),
    "originalMultiAttachEnabled": filters.column(literal("false")),
    "start-time": filters.instant(C.started_at),
    "target-iops": filters.column(C.target_iops),
    "target-size": filters.column(C.target_size_gib),
    "target-volume-type": filters.column(C.target_volume_type),
    "targetMultiAttachEnabled": filters.column(literal("false")),
    "volume-id": filters.column(C.volume_id),
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVolumesModifications.html"""


def _row(modification: VolumeModification) -> dict[str, Any]:
    return {column.name: getattr(modification, column.name) for column in modifications.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[VolumeModification]:
    rows = tx.execute(query).mappings()
    return [VolumeModification(**{str(name): value for name, value in row.items()}) for row in rows]


def _of(caller: Caller) -> ColumnElement[bool]:
    return (C.owner == caller.account) & (C.region == caller.region) & C.latest


def add(tx: Transaction, modification: VolumeModification) -> None:
    """The newest one of its volume."""
    of_volume = C.volume_id == modification.volume_id
    tx.execute(sql_update(modifications).where(of_volume, C.latest).values(latest=False))
    tx.execute(insert(modifications).values(_row(modification)))


def save(tx: Transaction, modification: VolumeModification) -> None:
    tx.execute(sql_update(modifications).where(C.id == modification.id).values(_row(modification)))


def remove_of(tx: Transaction, volume_id: VolumeId) -> None:
    tx.execute(delete(modifications).where(C.volume_id == volume_id))


def fetch_any(tx: Transaction, modification_id: str) -> VolumeModification | None:
    """For workflows: whoever owns it; None if it is gone."""
    found = _found(tx, select(modifications).where(C.id == modification_id))
    return found[0] if found else None


def unfinished_of(tx: Transaction, volume_id: VolumeId) -> VolumeModification | None:
    found = _found(
        tx, select(modifications).where(C.volume_id == volume_id, C.state.in_(UNFINISHED))
    )
    return found[0] if found else None


def unfinished(tx: Transaction) -> list[VolumeModification]:
    """For sweeps: every modification of the host that has not ended."""
    return _found(tx, select(modifications).where(C.state.in_(UNFINISHED)).order_by(C.id))


def count_since(tx: Transaction, volume_id: VolumeId, moment: datetime) -> int:
    """How many were begun since; those that failed do not count."""
    query = select(func.count()).where(
        C.volume_id == volume_id, C.started_at > moment, C.state != ModificationState.FAILED
    )
    return int(tx.scalar(query) or 0)


def describe(
    tx: Transaction,
    caller: Caller,
    volume_ids: Sequence[VolumeId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[VolumeModification]:
    """The newest of each of the caller's volumes, by volume id.

    Raises InvalidVolumeModification.NotFound for a volume that was never modified.
    """
    query = select(modifications).where(
        _of(caller), filters.where(conditions, FILTERS, C.volume_id, caller.account)
    )
    if volume_ids:
        wanted = list(dict.fromkeys(volume_ids))
        found = set(tx.scalars(select(C.volume_id).where(_of(caller), C.volume_id.in_(wanted))))
        for each in wanted:
            if each not in found:
                raise EC2Error.of(
                    "InvalidVolumeModification.NotFound",
                    f"Modification for volume '{each}' does not exist.",
                )
        query = query.where(C.volume_id.in_(wanted))
    if page.after is not None:
        query = query.where(C.volume_id > page.after)
    return _found(tx, query.order_by(C.volume_id).limit(page.limit))
