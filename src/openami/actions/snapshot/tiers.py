"""Snapshots into the archive and out of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from openami.catalog import snapshot_tiers as tiers
from openami.catalog import snapshots, tags
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, IncorrectState
from openami.domain.filter import Filter, selected
from openami.domain.ids import SnapshotId
from openami.domain.snapshot import (
    Move,
    Progress,
    Snapshot,
    SnapshotState,
    StorageTier,
    Tiering,
    checked_restore,
)
from openami.services import Services
from openami.workflows import snapshot_tiers as workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class TierStatus:
    """A snapshot with its last move, and its tags as its owner sees them."""

    snapshot: Snapshot
    tiering: Tiering
    tags: Mapping[str, str]

    @property
    def id(self) -> SnapshotId:
        return self.snapshot.id


def archive_snapshot(svc: Services, caller: Caller, snapshot_id: SnapshotId) -> Tiering:
    """Move it to the archive. It cannot be used there.

    Raises IncorrectState for one that is not complete, is archived, or moves already;
    InvalidSnapshot.InUse for one of an image that is not disabled.
    """
    with svc.catalog.begin() as tx:
        snapshot = snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
        _check_idle(tx, snapshot, "ModifySnapshotTier")
        if snapshot.storage_tier is StorageTier.ARCHIVE or snapshot.restore_expires_at is not None:
            raise EC2Error.of("IncorrectState", f"The snapshot {snapshot_id} is archived already.")
        users = workflow.users(tx, snapshot_id)
        if users:
            raise EC2Error.of(
                "InvalidSnapshot.InUse",
                f"The snapshot {snapshot_id} is currently in use by {', '.join(users)};"
                " disable the image first.",
            )
        tiering = _begun(svc, tx, snapshot, Move.ARCHIVAL, None)
    svc.jobs.wait(workflow.start(svc, tiering), svc.settings.settle_timeout_s)
    return tiering


def restore_snapshot_tier(
    svc: Services, caller: Caller, snapshot_id: SnapshotId, days: int | None, permanent: bool
) -> Tiering:
    """Bring it back, for good or for so many days from now on.

    Of one that is restored for a time, change that time, or make it for good.
    """
    wanted = checked_restore(days, permanent)
    with svc.catalog.begin() as tx:
        snapshot = snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
        _check_idle(tx, snapshot, "RestoreSnapshotTier")
        if snapshot.restore_expires_at is not None:
            return _prolonged(svc, tx, snapshot, wanted, days)
        if snapshot.storage_tier is not StorageTier.ARCHIVE:
            raise EC2Error.of("IncorrectState", f"The snapshot {snapshot_id} is not archived.")
        tiering = _begun(svc, tx, snapshot, wanted, days)
    svc.jobs.wait(workflow.start(svc, tiering), svc.settings.settle_timeout_s)
    return tiering


def _check_idle(tx: Transaction, snapshot: Snapshot, event: str) -> None:
    if snapshot.state is not SnapshotState.COMPLETED:
        raise IncorrectState(snapshot.id, snapshot.state, event)
    earlier = tiers.find(tx, snapshot.id)
    if earlier is not None and earlier.progress is Progress.GOING_ON:
        raise IncorrectState(snapshot.id, earlier.status, event)


def _begun(
    svc: Services, tx: Transaction, snapshot: Snapshot, move: Move, days: int | None
) -> Tiering:
    earlier = tiers.find(tx, snapshot.id)
    tiering = Tiering(
        snapshot_id=snapshot.id,
        region=snapshot.region,
        owner=snapshot.owner,
        move=move,
        progress=Progress.GOING_ON,
        started_at=svc.clock.now(),
        days=days,
        archived_at=None if earlier is None else earlier.archived_at,
    )
    tiers.put(tx, tiering)
    return tiering


def _prolonged(
    svc: Services, tx: Transaction, snapshot: Snapshot, move: Move, days: int | None
) -> Tiering:
    now = svc.clock.now()
    tiering = _begun(svc, tx, snapshot, move, days).ended(now)
    tiers.put(tx, tiering)
    until = None if days is None else now + timedelta(days=days)
    snapshots.save(tx, snapshot.restored(until))
    return tiering


_FILTERS: Final[Mapping[str, Callable[[TierStatus], Iterable[str]]]] = {
    "snapshot-id": lambda each: (each.snapshot.id,),
    "volume-id": lambda each: (each.snapshot.volume_id,),
    "last-tiering-operation": lambda each: (each.tiering.status,),
}


def describe_snapshot_tier_status(
    svc: Services, caller: Caller, conditions: Sequence[Filter]
) -> Sequence[TierStatus]:
    """The caller's snapshots that were ever moved, by id."""
    with svc.catalog.read() as tx:
        found = [
            (each, snapshots.fetch_any(tx, each.snapshot_id))
            for each in tiers.of_caller(tx, caller)
        ]
        all_tags = tags.of_many(tx, caller.account, [each.snapshot_id for each, _ in found])
    statuses = [
        TierStatus(snapshot=snapshot, tiering=tiering, tags=all_tags.get(snapshot.id, {}))
        for tiering, snapshot in found
        if snapshot is not None and snapshot.state is not SnapshotState.RECOVERABLE
    ]
    return selected(statuses, conditions, _FILTERS, lambda each: each.tags)
