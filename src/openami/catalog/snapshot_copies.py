"""Copies of snapshots that are on their way, in SQL."""

from typing import Any, Final

from sqlalchemy import Select, delete, func, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import snapshot_copies, snapshots
from openami.domain.ids import AccountId, Region, SnapshotId
from openami.domain.snapshot_copy import SnapshotCopy

C: Final = snapshot_copies.c


def add(tx: Transaction, copy: SnapshotCopy) -> None:
    row = {column.name: getattr(copy, column.name) for column in snapshot_copies.columns}
    tx.execute(insert(snapshot_copies).values(row))


def end(tx: Transaction, snapshot_id: SnapshotId) -> None:
    """The snapshot has its bytes, or will never: the source is its owner's alone again."""
    tx.execute(delete(snapshot_copies).where(C.snapshot_id == snapshot_id))


def fetch_any(tx: Transaction, snapshot_id: SnapshotId) -> SnapshotCopy | None:
    """For workflows; None if the snapshot is not being copied."""
    found = _found(tx, select(snapshot_copies).where(C.snapshot_id == snapshot_id))
    return found[0] if found else None


def every(tx: Transaction) -> list[SnapshotCopy]:
    return _found(tx, select(snapshot_copies).order_by(C.snapshot_id))


def all_roots(tx: Transaction, source_region: Region) -> set[str]:
    """The contents that copies still need of a region, whether a snapshot there names them."""
    query = select(C.root).where(C.source_region == source_region).distinct()
    return set(tx.scalars(query))


def count_into(tx: Transaction, account: AccountId, region: Region) -> int:
    """How many copies of the account are on their way into the region."""
    query = (
        select(func.count())
        .select_from(snapshot_copies)
        .join(snapshots, snapshots.c.id == C.snapshot_id)
        .where(snapshots.c.owner == account, snapshots.c.region == region)
    )
    return tx.scalar(query) or 0


def _found(tx: Transaction, query: Select[Any]) -> list[SnapshotCopy]:
    rows = tx.execute(query).mappings()
    return [SnapshotCopy(**{str(name): value for name, value in row.items()}) for row in rows]
