"""CopySnapshot: the content of a snapshot as one of the caller's own, in any region."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openami.actions import quotas
from openami.actions.snapshots import Noting
from openami.catalog import snapshot_copies, snapshots, tags
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.ids import ImageId, Region, SnapshotId
from openami.domain.snapshot import NO_VOLUME, Snapshot, SnapshotState
from openami.domain.snapshot_copy import SnapshotCopy
from openami.services import Services
from openami.workflows import copy_snapshot as workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotCopying:
    """What CopySnapshot is told."""

    source_region: str
    source_snapshot_id: SnapshotId
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


def copy_snapshot(
    svc: Services,
    caller: Caller,
    asked: SnapshotCopying,
    noting: Noting = lambda _tx, _snapshot: None,
) -> SnapshotId:
    """A pending snapshot in the caller's region; its bytes follow."""
    region = checked_region(svc, asked.source_region)
    with svc.catalog.begin() as tx:
        source = snapshots.fetch_visible(tx, asked.source_snapshot_id, caller.account, region)
        check_room(svc, tx, caller)
        copied = begin(svc, tx, caller, source, asked.description)
        tags.put(tx, caller.account, caller.region, ("snapshot", copied.id), asked.tags)
        noting(tx, copied)
    svc.jobs.wait(workflow.start(svc, copied), svc.settings.settle_timeout_s)
    return copied.id


def checked_region(svc: Services, name: str) -> Region:
    """Raises InvalidRegion."""
    if name not in svc.settings.regions:
        raise EC2Error.of("InvalidRegion", f"The specified region is not valid: {name[:40]!r}")
    return Region(name)


def check_room(svc: Services, tx: Transaction, caller: Caller) -> None:
    """Raises ResourceLimitExceeded.

    https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
    """
    limit = svc.settings.snapshot_copies_max
    if snapshot_copies.count_into(tx, caller.account, caller.region) >= limit:
        raise EC2Error.of(
            "ResourceLimitExceeded",
            f"Too many snapshot copies in progress. The limit is {limit} for this destination"
            " region.",
        )


def begin(
    svc: Services,
    tx: Transaction,
    caller: Caller,
    source: Snapshot,
    description: str,
    image_id: ImageId | None = None,
) -> Snapshot:
    """A pending snapshot of the caller's in the caller's region, with its hold on the source's
    content: the workflow is for who calls this to start.

    Raises IncorrectState for a source that has no content yet.
    """
    root = source.usable().root
    if root is None:
        raise EC2Error.of("IncorrectState", f"Snapshot '{source.id}' is not 'completed'.")
    copied = Snapshot(
        id=SnapshotId(svc.ids.new("snap")),
        region=caller.region,
        owner=caller.account,
        volume_id=NO_VOLUME,
        volume_size_gib=source.volume_size_gib,
        state=SnapshotState.PENDING,
        started_at=svc.clock.now(),
        description=description,
        transfer_type="standard",
    )
    quotas.check_room(svc, tx, quotas.Quota.SNAPSHOTS, caller.account, caller.region)
    snapshots.add(tx, copied)
    snapshot_copies.add(
        tx,
        SnapshotCopy(
            snapshot_id=copied.id,
            source_snapshot_id=source.id,
            source_region=source.region,
            root=root,
            image_id=image_id,
        ),
    )
    return copied
