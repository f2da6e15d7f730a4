"""Snapshots in SQL. A snapshot is its owner's alone; images lend its content to others."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, String, cast, delete, false, insert, literal, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import snapshots
from openami.domain.caller import Caller
from openami.domain.errors import SnapshotNotFound
from openami.domain.filter import Filter, Page
from openami.domain.ids import AccountId, Region, SnapshotId, VolumeId
from openami.domain.snapshot import Snapshot, SnapshotState

C: Final = snapshots.c

FILTERS: Final[Mapping[str, Condition]] = {
    "description": filters.column(C.description),
    "encrypted": filters.column(literal("false")),
    "owner-alias": lambda _values: false(),
    "owner-id": filters.column(C.owner),
    "progress": filters.column(cast(C.progress_percent, String) + "%"),
    "snapshot-id": filters.column(C.id),
    "start-time": filters.instant(C.started_at),
    "status": filters.column(C.state),
    "storage-tier": filters.column(literal("standard")),
    "transfer-type": lambda _values: false(),
    "volume-id": filters.column(C.volume_id),
    "volume-size": filters.column(C.volume_size_gib),
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html"""


def _row(snapshot: Snapshot) -> dict[str, Any]:
    return {column.name: getattr(snapshot, column.name) for column in snapshots.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[Snapshot]:
    rows = tx.execute(query).mappings()
    return [Snapshot(**{str(name): value for name, value in row.items()}) for row in rows]


def _of(account: AccountId, region: Region) -> ColumnElement[bool]:
    return (C.owner == account) & (C.region == region)


def add(tx: Transaction, snapshot: Snapshot) -> None:
    tx.execute(insert(snapshots).values(_row(snapshot)))


def save(tx: Transaction, snapshot: Snapshot) -> None:
    tx.execute(sql_update(snapshots).where(C.id == snapshot.id).values(_row(snapshot)))


def save_progress(tx: Transaction, snapshot_id: SnapshotId, percent: int) -> None:
    """Only of one that is pending: a late word about a completed one says nothing."""
    mine = (C.id == snapshot_id) & (C.state == SnapshotState.PENDING)
    tx.execute(sql_update(snapshots).where(mine).values(progress_percent=percent))


def remove(tx: Transaction, snapshot_id: SnapshotId) -> None:
    tx.execute(delete(snapshots).where(C.id == snapshot_id))


def fetch_owned(
    tx: Transaction, snapshot_id: SnapshotId, account: AccountId, region: Region
) -> Snapshot:
    """Raises SnapshotNotFound."""
    found = _found(tx, select(snapshots).where(_of(account, region), C.id == snapshot_id))
    if not found:
        raise SnapshotNotFound(snapshot_id)
    return found[0]


def fetch_any(tx: Transaction, snapshot_id: SnapshotId) -> Snapshot | None:
    """For workflows, and for those to whom an image lends it; None if it is gone."""
    found = _found(tx, select(snapshots).where(C.id == snapshot_id))
    return found[0] if found else None


def all_roots(tx: Transaction, region: Region) -> set[str]:
    """The contents that the region's snapshots name: its store must be able to give each."""
    query = select(C.root).where(C.root.is_not(None), C.region == region).distinct()
    return {str(root) for root in tx.scalars(query)}


def regions(tx: Transaction) -> set[Region]:
    """Where there are any."""
    return set(tx.scalars(select(C.region).distinct()))


def pending(tx: Transaction) -> list[Snapshot]:
    return _found(tx, select(snapshots).where(C.state == SnapshotState.PENDING).order_by(C.id))


def pending_of_volume(tx: Transaction, volume_id: VolumeId) -> list[Snapshot]:
    mine = (C.state == SnapshotState.PENDING) & (C.volume_id == volume_id)
    return _found(tx, select(snapshots).where(mine).order_by(C.id))


def describe(
    tx: Transaction,
    caller: Caller,
    snapshot_ids: Sequence[SnapshotId],
    owners: Sequence[AccountId] | None,
    conditions: Sequence[Filter],
    page: Page,
) -> list[Snapshot]:
    """The caller's snapshots in the region, by id. Raises SnapshotNotFound for ids not theirs."""
    query = select(snapshots).where(
        _of(caller.account, caller.region),
        filters.where(conditions, FILTERS, C.id, caller.account),
    )
    if snapshot_ids:
        _check_owned(tx, caller, snapshot_ids)
        query = query.where(C.id.in_(snapshot_ids))
    if owners is not None:
        query = query.where(C.owner.in_(owners))
    if page.after is not None:
        query = query.where(C.id > page.after)
    return _found(tx, query.order_by(C.id).limit(page.limit))


def _check_owned(tx: Transaction, caller: Caller, snapshot_ids: Sequence[SnapshotId]) -> None:
    mine = select(C.id).where(_of(caller.account, caller.region), C.id.in_(snapshot_ids))
    found = set(tx.scalars(mine))
    missing = [each for each in dict.fromkeys(snapshot_ids) if each not in found]
    if missing:
        raise SnapshotNotFound(*missing)
