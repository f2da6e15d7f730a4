"""Fast snapshot restores in SQL."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import fast_restores
from openami.domain.caller import Caller
from openami.domain.fast_restore import FastRestore, FastRestoreState
from openami.domain.ids import AccountId, Region, SnapshotId
from openami.domain.volume import Volume

C: Final = fast_restores.c
_WANTED: Final = C.state.in_((FastRestoreState.OPTIMIZING, FastRestoreState.ENABLED))


def _found(tx: Transaction, *conditions: ColumnElement[bool]) -> list[FastRestore]:
    query = select(fast_restores).where(*conditions).order_by(C.snapshot_id, C.zone, C.owner)
    rows = tx.execute(query).mappings()
    return [FastRestore(**{str(name): value for name, value in row.items()}) for row in rows]


def _is(snapshot_id: SnapshotId, zone: str, owner: AccountId) -> ColumnElement[bool]:
    return and_(C.snapshot_id == snapshot_id, C.zone == zone, C.owner == owner)


def put(tx: Transaction, restore: FastRestore) -> None:
    """In the place of the one that there was."""
    tx.execute(delete(fast_restores).where(_is(restore.snapshot_id, restore.zone, restore.owner)))
    row: dict[str, Any] = {
        column.name: getattr(restore, column.name) for column in fast_restores.columns
    }
    tx.execute(insert(fast_restores).values(row))


def find(
    tx: Transaction, snapshot_id: SnapshotId, zone: str, owner: AccountId
) -> FastRestore | None:
    found = _found(tx, _is(snapshot_id, zone, owner))
    return found[0] if found else None


def of_caller(tx: Transaction, caller: Caller) -> list[FastRestore]:
    return _found(tx, C.owner == caller.account, C.region == caller.region)


def unsettled(tx: Transaction) -> list[FastRestore]:
    """For the sweep: all but those that are disabled."""
    return _found(tx, C.state != FastRestoreState.DISABLED)


def holds(tx: Transaction, root: str) -> bool:
    """Whether anybody wants this content at hand."""
    return bool(_found(tx, C.root == root, _WANTED))


def all_roots(tx: Transaction, region: Region) -> set[str]:
    """The contents that are wanted at hand: what brings them there reads the region's store."""
    query = select(C.root).where(_WANTED, C.region == region, C.root.is_not(None)).distinct()
    return {str(root) for root in tx.scalars(query)}


def every_root(tx: Transaction) -> set[str]:
    """The contents that are wanted at hand on this host, of all regions."""
    query = select(C.root).where(_WANTED, C.root.is_not(None)).distinct()
    return {str(root) for root in tx.scalars(query)}


def serves(tx: Transaction, volume: Volume) -> bool:
    """Whether a volume that is being made finds its snapshot at hand, as its owner wanted."""
    if volume.snapshot_id is None:
        return False
    found = find(tx, volume.snapshot_id, volume.availability_zone, volume.owner)
    return found is not None and found.state is FastRestoreState.ENABLED


def any_forgettable(tx: Transaction, disabled_before: datetime) -> bool:
    return bool(_found(tx, C.disabled_at < disabled_before))


def forget(tx: Transaction, disabled_before: datetime) -> None:
    tx.execute(delete(fast_restores).where(C.disabled_at < disabled_before))
