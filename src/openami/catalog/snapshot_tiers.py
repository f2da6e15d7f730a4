"""The moves of snapshots between tiers, in SQL."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import snapshots, tierings
from openami.domain.caller import Caller
from openami.domain.ids import Region, SnapshotId
from openami.domain.snapshot import Progress, SnapshotState, StorageTier, Tiering

C: Final = tierings.c


def _found(tx: Transaction, *conditions: ColumnElement[bool]) -> list[Tiering]:
    query = select(tierings).where(*conditions).order_by(C.snapshot_id)
    rows = tx.execute(query).mappings()
    return [Tiering(**{str(name): value for name, value in row.items()}) for row in rows]


def put(tx: Transaction, tiering: Tiering) -> None:
    """In the place of the one that the snapshot had."""
    remove(tx, tiering.snapshot_id)
    row: dict[str, Any] = {
        column.name: getattr(tiering, column.name) for column in tierings.columns
    }
    tx.execute(insert(tierings).values(row))


def remove(tx: Transaction, snapshot_id: SnapshotId) -> None:
    tx.execute(delete(tierings).where(C.snapshot_id == snapshot_id))


def find(tx: Transaction, snapshot_id: SnapshotId) -> Tiering | None:
    found = _found(tx, C.snapshot_id == snapshot_id)
    return found[0] if found else None


def of_caller(tx: Transaction, caller: Caller) -> list[Tiering]:
    return _found(tx, C.owner == caller.account, C.region == caller.region)


def going_on(tx: Transaction) -> list[Tiering]:
    """For the sweep: those that have not ended."""
    return _found(tx, C.progress == Progress.GOING_ON)


def restored_until(tx: Transaction, now: datetime) -> list[SnapshotId]:
    """For the sweep: snapshots whose temporary restoration is over."""
    query = select(snapshots.c.id).where(
        snapshots.c.restore_expires_at <= now, snapshots.c.state == SnapshotState.COMPLETED
    )
    return list(tx.scalars(query.order_by(snapshots.c.id)))


def roots_in_use(tx: Transaction, region: Region, but: SnapshotId) -> set[str]:
    """What the region's other snapshots are made of, but for those that are archived."""
    s = snapshots.c
    others = (s.region == region) & (s.id != but) & (s.storage_tier != StorageTier.ARCHIVE)
    return {str(root) for root in tx.scalars(select(s.root).where(others, s.root.is_not(None)))}
