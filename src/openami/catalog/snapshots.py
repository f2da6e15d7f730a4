"""Snapshots in SQL, with who may make volumes of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    cast,
    delete,
    exists,
    false,
    insert,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import public_access_blocks as blocks
from openami.catalog.schema import snapshot_volume_permissions as permissions
from openami.catalog.schema import snapshots
from openami.domain.caller import Caller
from openami.domain.errors import AuthFailure, SnapshotNotFound
from openami.domain.filter import Filter, Page
from openami.domain.ids import AccountId, Region, SnapshotId, VolumeId
from openami.domain.public_access import PublicAccess, Shareable
from openami.domain.snapshot import Snapshot, SnapshotState, StorageTier

C: Final = snapshots.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which of the visible snapshots DescribeSnapshots is asked for; empty asks for all.

    `restorable_by` holds account ids and the group "all".
    """

    ids: tuple[SnapshotId, ...] = ()
    owners: tuple[AccountId, ...] | None = None
    restorable_by: tuple[str, ...] = ()


FILTERS: Final[Mapping[str, Condition]] = {
    "description": filters.column(C.description),
    "encrypted": filters.column(literal("false")),
    "owner-alias": lambda _values: false(),
    "owner-id": filters.column(C.owner),
    "progress": filters.column(cast(C.progress_percent, String) + "%"),
    "snapshot-id": filters.column(C.id),
    "start-time": filters.instant(C.started_at),
    "status": filters.column(C.state),
    "storage-tier": filters.column(C.storage_tier),
    "transfer-type": filters.column(C.transfer_type),
    "volume-id": filters.column(C.volume_id),
    "volume-size": filters.column(C.volume_size_gib),
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSnapshots.html"""


def _row(snapshot: Snapshot) -> dict[str, Any]:
    return {column.name: getattr(snapshot, column.name) for column in snapshots.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[Snapshot]:
    rows = [
        {str(name): value for name, value in row.items()} for row in tx.execute(query).mappings()
    ]
    ids = [row["id"] for row in rows]
    shares: dict[str, set[AccountId]] = {}
    for start in range(0, len(ids), 500):  # SQL engines limit the values of one IN
        mine = permissions.c.snapshot_id.in_(ids[start : start + 500])
        for snapshot_id, account in tx.execute(select(permissions).where(mine)):
            shares.setdefault(snapshot_id, set()).add(account)
    return [Snapshot(**row, shared_with=frozenset(shares.get(row["id"], ()))) for row in rows]


def visible_to(account: AccountId) -> ColumnElement[bool]:
    """Permission to make volumes of it is also permission to see it; in the bin nobody does."""
    able = or_(C.owner == account, _shared_with(account), and_(C.public, not_(_hidden())))
    return and_(C.state != SnapshotState.RECOVERABLE, able)


def _shared_with(account: str) -> ColumnElement[bool]:
    mine = (permissions.c.snapshot_id == C.id) & (permissions.c.account == account)
    return exists(select(1).where(mine))


def _hidden() -> ColumnElement[bool]:
    """Its owner treats as private what was shared with everybody."""
    return exists(
        select(1).where(
            blocks.c.account == C.owner,
            blocks.c.region == C.region,
            blocks.c.kind == Shareable.SNAPSHOT,
            blocks.c.access == PublicAccess.BLOCK_ALL,
        )
    )


def add(tx: Transaction, snapshot: Snapshot) -> None:
    tx.execute(insert(snapshots).values(_row(snapshot)))
    _write_permissions(tx, snapshot)


def save(tx: Transaction, snapshot: Snapshot) -> None:
    tx.execute(sql_update(snapshots).where(C.id == snapshot.id).values(_row(snapshot)))
    tx.execute(delete(permissions).where(permissions.c.snapshot_id == snapshot.id))
    _write_permissions(tx, snapshot)


def _write_permissions(tx: Transaction, snapshot: Snapshot) -> None:
    for account in sorted(snapshot.shared_with):
        tx.execute(insert(permissions).values(snapshot_id=snapshot.id, account=account))


def save_progress(tx: Transaction, snapshot_id: SnapshotId, percent: int) -> None:
    """Only of one that is pending: a late word about a completed one says nothing."""
    mine = (C.id == snapshot_id) & (C.state == SnapshotState.PENDING)
    tx.execute(sql_update(snapshots).where(mine).values(progress_percent=percent))


def remove(tx: Transaction, snapshot_id: SnapshotId) -> None:
    tx.execute(delete(permissions).where(permissions.c.snapshot_id == snapshot_id))
    tx.execute(delete(snapshots).where(C.id == snapshot_id))


def fetch_visible(
    tx: Transaction, snapshot_id: SnapshotId, account: AccountId, region: Region
) -> Snapshot:
    """One that `account` may use. Raises SnapshotNotFound, also for one it may not see."""
    found = find_visible(tx, snapshot_id, account, region)
    if found is None:
        raise SnapshotNotFound(snapshot_id)
    return found


def find_visible(
    tx: Transaction, snapshot_id: SnapshotId, account: AccountId, region: Region
) -> Snapshot | None:
    """As `fetch_visible`, for those who need not find one."""
    query = select(snapshots).where(C.id == snapshot_id, C.region == region, visible_to(account))
    found = _found(tx, query)
    return found[0] if found else None


def fetch_owned(
    tx: Transaction, snapshot_id: SnapshotId, account: AccountId, region: Region
) -> Snapshot:
    """Raises as `fetch_visible`, and AuthFailure for one that is only visible."""
    snapshot = fetch_visible(tx, snapshot_id, account, region)
    if snapshot.owner != account:
        raise AuthFailure(f"snapshot: {snapshot_id}")
    return snapshot


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


def pending_of_set(tx: Transaction, set_id: str) -> list[Snapshot]:
    mine = (C.state == SnapshotState.PENDING) & (C.set_id == set_id)
    return _found(tx, select(snapshots).where(mine).order_by(C.id))


def pending_of_volume(tx: Transaction, volume_id: VolumeId) -> list[Snapshot]:
    mine = (C.state == SnapshotState.PENDING) & (C.volume_id == volume_id)
    return _found(tx, select(snapshots).where(mine).order_by(C.id))


def latest_of_volume(tx: Transaction, volume_id: VolumeId, region: Region) -> Snapshot | None:
    """The last that was begun of those whose content is known and will stay where it is."""
    mine = (C.volume_id == volume_id) & (C.region == region)
    whole = (C.state == SnapshotState.COMPLETED) & C.root.is_not(None)
    at_hand = (C.storage_tier == StorageTier.STANDARD) & C.restore_expires_at.is_(None)
    query = select(snapshots).where(mine, whole, at_hand)
    found = _found(tx, query.order_by(C.started_at.desc(), C.id.desc()).limit(1))
    return found[0] if found else None


def describe(
    tx: Transaction, caller: Caller, scope: Scope, conditions: Sequence[Filter], page: Page
) -> list[Snapshot]:
    """What the caller sees in the region, by id. Raises SnapshotNotFound for ids not seen."""
    seen = (C.region == caller.region) & visible_to(caller.account)
    query = select(snapshots).where(seen, filters.where(conditions, FILTERS, C.id, caller.account))
    if scope.ids:
        _check_seen(tx, scope.ids, seen)
        query = query.where(C.id.in_(scope.ids))
    if scope.owners is not None:
        query = query.where(C.owner.in_(scope.owners))
    if scope.restorable_by:
        query = query.where(_restorable_by(scope.restorable_by, caller.account))
    if page.after is not None:
        query = query.where(C.id > page.after)
    return _found(tx, query.order_by(C.id).limit(page.limit))


def _check_seen(
    tx: Transaction, snapshot_ids: Sequence[SnapshotId], seen: ColumnElement[bool]
) -> None:
    found = set(tx.scalars(select(C.id).where(seen, C.id.in_(snapshot_ids))))
    missing = [each for each in dict.fromkeys(snapshot_ids) if each not in found]
    if missing:
        raise SnapshotNotFound(*missing)


def _restorable_by(users: Sequence[str], account: AccountId) -> ColumnElement[bool]:
    """Of others, whom a snapshot is shared with is its owner's to know."""
    conditions: list[ColumnElement[bool]] = []
    for user in users:
        if user == "all":
            conditions.append(and_(C.public))
        elif user == account:
            conditions += [C.owner == account, _shared_with(account)]
        else:
            conditions.append(and_(C.owner == account, _shared_with(user)))
    return or_(*conditions)
