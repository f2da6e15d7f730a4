"""Snapshots that are kept at hand: restored into the host's cache before volumes need them.

All zones of a region are this one host, and equal contents are one file. It stays as long as
anybody wants it there or a volume lies on it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from openami.blockstore.store import ChunkLost, StoreFull
from openami.catalog import fast_restores, snapshots
from openami.catalog.catalog import Transaction
from openami.domain.fast_restore import ON, FastRestore, FastRestoreEvent, FastRestoreState
from openami.domain.ids import AccountId, SnapshotId
from openami.domain.manifest import Root
from openami.domain.snapshot import Snapshot, SnapshotState, StorageTier
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import COPIES
from openami.services import Services

NAME: Final = "fast_restore"
REMEMBERED: Final = timedelta(hours=1)
"""For how long a disabled one is told, so that a client hears what became of it."""

_USABLE: Final = (SnapshotState.PENDING, SnapshotState.COMPLETED)


def start(svc: Services, restore: FastRestore) -> str:
    """Bring it where it is going, once, when it is its owner's turn. The id of the job."""
    began = int(restore.enabling_at.timestamp() * 1_000_000)
    job_id = f"{NAME}:{restore.id}:{restore.owner}:{began}:{restore.turns}"
    key = {"snapshot_id": restore.snapshot_id, "zone": restore.zone, "owner": restore.owner}
    svc.jobs.start(NAME, job_id, key, owner=restore.owner, regions=[restore.region])
    return job_id


def startable(tx: Transaction, restore: FastRestore) -> bool:
    """Whether there is something to do: a pending snapshot cannot be restored yet."""
    if restore.state is not FastRestoreState.ENABLING:
        return restore.state in (FastRestoreState.OPTIMIZING, FastRestoreState.DISABLING)
    snapshot = usable(tx, restore)
    return snapshot is not None and snapshot.state is SnapshotState.COMPLETED


def usable(tx: Transaction, restore: FastRestore) -> Snapshot | None:
    """The snapshot, as long as whoever enabled it may use it, or will when it is complete."""
    snapshot = snapshots.find_visible(tx, restore.snapshot_id, restore.owner, restore.region)
    if snapshot is None:
        return None
    is_usable = snapshot.state in _USABLE and snapshot.storage_tier is StorageTier.STANDARD
    return snapshot if is_usable else None


def resume(svc: Services) -> None:
    """Disable what may not be used any more, restore what is gone, go on with the rest."""
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        stale = any(_reviewed(svc, tx, each, now) for each in fast_restores.unsettled(tx))
    if stale:
        with svc.catalog.begin() as tx:
            for each in fast_restores.unsettled(tx):
                reviewed = _reviewed(svc, tx, each, now)
                if reviewed is not None:
                    fast_restores.put(tx, reviewed)
    with svc.catalog.read() as tx:
        forgettable = fast_restores.any_forgettable(tx, now - REMEMBERED)
        waiting = [each for each in fast_restores.unsettled(tx) if startable(tx, each)]
    if forgettable:
        with svc.catalog.begin() as tx:
            fast_restores.forget(tx, now - REMEMBERED)
    for restore in waiting:
        start(svc, restore)


def _reviewed(
    svc: Services, tx: Transaction, restore: FastRestore, now: datetime
) -> FastRestore | None:
    """What it must be instead, if it cannot stay as it is."""
    if restore.state in ON and usable(tx, restore) is None:
        return restore.after(FastRestoreEvent.DISABLE, now)
    if restore.state is FastRestoreState.ENABLED and not svc.volumes.is_at_hand(_root(restore)):
        return restore.after(FastRestoreEvent.LOST, now)
    return None


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("restore the base", lambda args: _enable(svc, args)),
            ("release the base", lambda args: _disable(svc, args)),
        ),
        give_up=lambda args, why: _fail(svc, args, why),
        lane=COPIES,
    )


def _find(tx: Transaction, args: Args) -> FastRestore | None:
    snapshot_id, owner = SnapshotId(str(args["snapshot_id"])), AccountId(str(args["owner"]))
    return fast_restores.find(tx, snapshot_id, str(args["zone"]), owner)


def _root(restore: FastRestore) -> Root:
    if restore.root is None:
        raise GiveUp(f"{restore.snapshot_id} has no content")
    return Root.from_text(restore.root)


def _change(
    svc: Services,
    args: Args,
    state: FastRestoreState,
    changed: Callable[[Transaction, FastRestore], FastRestore],
) -> None:
    """Change it if it is in this state; whoever changed it meanwhile was right."""
    with svc.catalog.begin() as tx:
        found = _find(tx, args)
        if found is not None and found.state is state:
            fast_restores.put(tx, changed(tx, found))


def _enable(svc: Services, args: Args) -> None:
    now = svc.clock.now()

    def begun(tx: Transaction, restore: FastRestore) -> FastRestore:
        snapshot = snapshots.fetch_any(tx, restore.snapshot_id)
        root = None if snapshot is None else snapshot.root
        return replace(restore.after(FastRestoreEvent.OPTIMIZE, now), root=root)

    _change(svc, args, FastRestoreState.ENABLING, begun)
    with svc.catalog.read() as tx:
        restore = _find(tx, args)
    if restore is None or restore.state is not FastRestoreState.OPTIMIZING:
        return
    with svc.locks(f"base {restore.root}"):
        try:
            svc.volumes.bring_to_hand(restore.region, _root(restore))
        except (ChunkLost, StoreFull) as failure:
            raise GiveUp("Server.InternalError: the snapshot cannot be restored") from failure
        _change(
            svc,
            args,
            FastRestoreState.OPTIMIZING,
            lambda _, each: each.after(FastRestoreEvent.RESTORED, svc.clock.now()),
        )


def _disable(svc: Services, args: Args) -> None:
    with svc.catalog.read() as tx:
        restore = _find(tx, args)
    if restore is None or restore.state is not FastRestoreState.DISABLING:
        return
    with svc.locks(f"base {restore.root}"):  # nobody may come to want it between look and act
        with svc.catalog.read() as tx:
            held = restore.root is None or fast_restores.holds(tx, restore.root)
        if not held:
            svc.volumes.release(_root(restore))
        _change(
            svc,
            args,
            FastRestoreState.DISABLING,
            lambda _, each: each.after(FastRestoreEvent.RELEASED, svc.clock.now()),
        )


def _fail(svc: Services, args: Args, why: str) -> None:
    """The sweep releases what there is."""
    now = svc.clock.now()
    with svc.catalog.begin() as tx:
        found = _find(tx, args)
        if found is not None and found.state in ON:
            disabling = found.after(FastRestoreEvent.DISABLE, now)
            fast_restores.put(tx, replace(disabling, failure=why))
