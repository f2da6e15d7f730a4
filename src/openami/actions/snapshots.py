"""Snapshots: taken of a volume, listed, deleted."""

from collections.abc import Callable, Mapping, Sequence

from openami.actions.quotas import Quota, check_count, check_room
from openami.actions.snapshot.locks import check_deletable
from openami.catalog import images, ingests, snapshots, tags, volumes
from openami.catalog.catalog import Transaction
from openami.catalog.snapshots import Scope as Scope
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.filter import Filter, Page
from openami.domain.ids import SnapshotId, VolumeId
from openami.domain.limits.quota import pending_snapshots
from openami.domain.snapshot import Snapshot, SnapshotState
from openami.domain.volume import Volume, VolumeState
from openami.jobs.engine import wait_for_all
from openami.services import Services
from openami.workflows import create_snapshot as workflow
from openami.workflows import recycle_bin as bin_workflow
from openami.workflows import scratch, store_copies

Noting = Callable[[Transaction, Snapshot], None]
"""What is to be written down in the transaction that makes the snapshot, or not at all."""

_READABLE = (VolumeState.AVAILABLE, VolumeState.IN_USE)


def create_snapshot(
    svc: Services,
    caller: Caller,
    volume_id: VolumeId,
    description: str,
    given_tags: Mapping[str, str],
    noting: Noting = lambda _tx, _snapshot: None,
) -> Snapshot:
    """The volume as it is now. The answer is pending; its moment is within this call."""
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
        if volume.state not in _READABLE:
            raise EC2Error.of("IncorrectState", f"Volume '{volume_id}' is '{volume.state}'.")
        snapshot = begin(svc, tx, volume, description, given_tags)
        noting(tx, snapshot)
    halves = [workflow.start(svc, snapshot), store_copies.job_id_for(snapshot.id)]
    wait_for_all(svc.jobs, halves, svc.settings.settle_timeout_s)
    return snapshot


def begin(
    svc: Services,
    tx: Transaction,
    volume: Volume,
    description: str,
    given_tags: Mapping[str, str],
    set_id: str | None = None,
) -> Snapshot:
    """A pending snapshot of the volume, with its lease: the workflow is the caller's to start.

    Raises ConcurrentSnapshotLimitExceeded, SnapshotLimitExceeded.
    """
    snapshot = Snapshot(
        id=SnapshotId(svc.ids.new("snap")),
        region=volume.region,
        owner=volume.owner,
        volume_id=volume.id,
        volume_size_gib=volume.size_gib,
        state=SnapshotState.PENDING,
        started_at=svc.clock.now(),
        description=description,
        set_id=set_id,
        lineage=_lineage(tx, volume),
    )
    pending = len(snapshots.pending_of_volume(tx, volume.id))
    check_count(svc, pending_snapshots(volume.volume_type), pending + 1)
    check_room(svc, tx, Quota.SNAPSHOTS, volume.owner, volume.region)
    snapshots.add(tx, snapshot)
    ingests.begin(tx, snapshot.id, snapshot.region, snapshot.started_at, volume)
    tags.put(tx, volume.owner, volume.region, ("snapshot", snapshot.id), given_tags)
    return snapshot


def _lineage(tx: Transaction, volume: Volume) -> str:
    """That of the snapshot that the volume was made of, if it is there still."""
    source = None if volume.snapshot_id is None else snapshots.fetch_any(tx, volume.snapshot_id)
    return volume.id if source is None else source.line


def describe_snapshots(
    svc: Services, caller: Caller, scope: Scope, conditions: Sequence[Filter], page: Page
) -> tuple[Sequence[Snapshot], Mapping[str, Mapping[str, str]]]:
    """The snapshots that the caller may use, by id, and the tags the caller gave them."""
    with svc.catalog.read() as tx:
        found = snapshots.describe(tx, caller, scope, conditions, page)
        return found, tags.of_many(tx, caller.account, [each.id for each in found])


def delete_snapshot(svc: Services, caller: Caller, snapshot_id: SnapshotId) -> None:
    """Forget it, pending or not. Volumes made from it and snapshots after it are unharmed."""
    with svc.catalog.begin() as tx:
        snapshot = snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
        users = images.users_of_snapshot(tx, snapshot_id)
        if users:
            raise EC2Error.of(
                "InvalidSnapshot.InUse",
                f"The snapshot {snapshot_id} is currently in use by {', '.join(users)}",
            )
        check_deletable(svc, tx, snapshot_id)
        is_pending = snapshot.state is SnapshotState.PENDING
        copied_as = scratch.names_for(tx, snapshot) if is_pending else ()
        remove(svc, tx, snapshot_id)
    for name in copied_as:
        store_copies.let_go(svc, name)


def remove(svc: Services, tx: Transaction, snapshot_id: SnapshotId) -> None:
    """To the Recycle Bin if a rule says so, or else for good: who writes it finds it gone."""
    bin_workflow.retain_or_remove_snapshot(svc, tx, snapshot_id)
