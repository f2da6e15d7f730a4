"""Snapshots are locked, unlocked, and guarded by their locks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from openami.catalog import snapshot_locks as locks
from openami.catalog import snapshots
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, IncorrectState
from openami.domain.filter import Filter, selected
from openami.domain.ids import SnapshotId
from openami.domain.snapshot import SnapshotState
from openami.domain.snapshot_lock import LockRequest, SnapshotLock, locked
from openami.services import Services

_LOCKABLE: Final = (SnapshotState.PENDING, SnapshotState.COMPLETED)


def lock_snapshot(
    svc: Services, caller: Caller, snapshot_id: SnapshotId, asked: LockRequest
) -> SnapshotLock:
    """Nobody deletes the snapshot before the lock expires. Changes one that is there already."""
    now = svc.clock.now()
    with svc.catalog.begin() as tx:
        snapshot = snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
        if snapshot.state not in _LOCKABLE:
            raise IncorrectState(snapshot_id, snapshot.state, "LockSnapshot")
        earlier = locks.find(tx, snapshot_id)
        if earlier is not None:
            earlier.check_replaceable(asked, now)
        place = (snapshot.region, snapshot.owner)
        lock = locked(snapshot_id, place, snapshot.completed_at, asked, now)
        locks.put(tx, lock)
    return lock


def unlock_snapshot(svc: Services, caller: Caller, snapshot_id: SnapshotId) -> None:
    """Raises IncorrectState for one that is not locked, OperationNotPermitted as its mode says."""
    with svc.catalog.begin() as tx:
        snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
        lock = locks.find(tx, snapshot_id)
        if lock is None:
            raise EC2Error.of("IncorrectState", f"The snapshot {snapshot_id} is not locked.")
        lock.check_unlockable(svc.clock.now())
        locks.remove(tx, snapshot_id)


def check_deletable(svc: Services, tx: Transaction, snapshot_id: SnapshotId) -> None:
    """Raises OperationNotPermitted for one that is locked."""
    lock = locks.find(tx, snapshot_id)
    if lock is not None:
        lock.check_deletable(svc.clock.now())


def describe_locked_snapshots(
    svc: Services, caller: Caller, ids: Sequence[SnapshotId], conditions: Sequence[Filter]
) -> Sequence[SnapshotLock]:
    """The locks on the caller's snapshots, expired ones too, by snapshot.

    Raises SnapshotNotFound for ids that are not the caller's.
    """
    now = svc.clock.now()

    def state(lock: SnapshotLock) -> Iterable[str]:
        return (lock.state(now),)

    table: Mapping[str, Callable[[SnapshotLock], Iterable[str]]] = {"lock-state": state}
    with svc.catalog.read() as tx:
        for each in ids:
            snapshots.fetch_owned(tx, each, caller.account, caller.region)
        found = locks.of_caller(tx, caller)
    return selected(
        [lock for lock in found if not ids or lock.snapshot_id in ids], conditions, table
    )
