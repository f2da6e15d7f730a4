"""Locks on snapshots in SQL, each with when its snapshot was completed."""

from typing import Any, Final

from sqlalchemy import ColumnElement, delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import snapshot_locks, snapshots
from openami.domain.caller import Caller
from openami.domain.ids import SnapshotId
from openami.domain.snapshot import SnapshotState
from openami.domain.snapshot_lock import SnapshotLock

C: Final = snapshot_locks.c


def _found(tx: Transaction, *conditions: ColumnElement[bool]) -> list[SnapshotLock]:
    query = select(*snapshot_locks.columns, snapshots.c.completed_at).join(
        snapshots, snapshots.c.id == C.snapshot_id
    )
    rows = tx.execute(query.where(*conditions).order_by(C.snapshot_id)).mappings()
    return [SnapshotLock(**{str(name): value for name, value in row.items()}) for row in rows]


def put(tx: Transaction, lock: SnapshotLock) -> None:
    """In the place of the one that the snapshot had."""
    remove(tx, lock.snapshot_id)
    row: dict[str, Any] = {
        column.name: getattr(lock, column.name) for column in snapshot_locks.columns
    }
    tx.execute(insert(snapshot_locks).values(row))


def remove(tx: Transaction, snapshot_id: SnapshotId) -> None:
    tx.execute(delete(snapshot_locks).where(C.snapshot_id == snapshot_id))


def find(tx: Transaction, snapshot_id: SnapshotId) -> SnapshotLock | None:
    """The lock of a snapshot that the caller was found to own; expired or not."""
    found = _found(tx, C.snapshot_id == snapshot_id)
    return found[0] if found else None


def of_caller(tx: Transaction, caller: Caller) -> list[SnapshotLock]:
    """All locks of the caller in the region, by snapshot, but of what is in the bin."""
    mine = (C.owner == caller.account) & (C.region == caller.region)
    return _found(tx, mine, snapshots.c.state != SnapshotState.RECOVERABLE)
