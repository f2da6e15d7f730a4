"""A copy of one snapshot: the chunks that its region lacks, then their manifest, then the row.

The row that holds the source is taken with the pending snapshot, so neither a collector nor the
source's deletion takes away what the copy relies on. The lease is taken when its turn has come: a
collection waits for every lease.
"""

import logging
from collections.abc import Collection
from typing import Final

from openami.blockstore.store import ChunkLost, StoreFull
from openami.blockstore.transfer import transfer
from openami.catalog import ingests, snapshot_copies, snapshots
from openami.domain.ids import Region, SnapshotId
from openami.domain.manifest import Root
from openami.domain.snapshot import Snapshot, SnapshotState
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import COPIES
from openami.services import Services
from openami.workflows import scratch
from openami.workflows.progress import progress_of

NAME: Final = "copy_snapshot"
_log = logging.getLogger(__name__)


def start(svc: Services, snapshot: Snapshot) -> str:
    """Begin to fill a pending copy, once, when it is its owner's turn. The id of the job."""
    job_id = f"{NAME}:{snapshot.id}"
    args, regions = {"snapshot_id": snapshot.id}, regions_of(svc, [snapshot.id])
    svc.jobs.start(NAME, job_id, args, owner=snapshot.owner, regions=regions)
    return job_id


def regions_of(svc: Services, snapshot_ids: Collection[SnapshotId]) -> set[Region]:
    """Those from which and to which pending copies are brought."""
    with svc.catalog.read() as tx:
        into = [snapshots.fetch_any(tx, each) for each in snapshot_ids]
        copies = [snapshot_copies.fetch_any(tx, each) for each in snapshot_ids]
    return {each.region for each in into if each} | {each.source_region for each in copies if each}


def resume(svc: Services) -> None:
    """Those that belong to an image are filled by the image's own workflow."""
    with svc.catalog.read() as tx:
        alone = {each.snapshot_id for each in snapshot_copies.every(tx) if each.image_id is None}
        waiting = [each for each in snapshots.pending(tx) if each.id in alone]
    for snapshot in waiting:
        start(svc, snapshot)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("move the chunks", lambda args: bring(svc, _id(args))),),
        give_up=lambda args, reason: scratch.fail(svc, _id(args), reason),
        lane=COPIES,
    )


def _id(args: Args) -> SnapshotId:
    return SnapshotId(str(args["snapshot_id"]))


def bring(svc: Services, snapshot_id: SnapshotId) -> None:
    """Move what is missing and complete the snapshot, if it is pending. Raises GiveUp."""
    with svc.catalog.begin() as tx:
        snapshot = snapshots.fetch_any(tx, snapshot_id)
        copy = snapshot_copies.fetch_any(tx, snapshot_id)
        if snapshot is None or copy is None or snapshot.state is not SnapshotState.PENDING:
            return
        ingests.begin(tx, snapshot_id, snapshot.region, svc.clock.now())
    root = Root.from_text(copy.root)
    source, target = svc.stores[copy.source_region], svc.stores[snapshot.region]
    try:
        moved = transfer(source, target, root, progress=progress_of(svc, snapshot))
    except ChunkLost as lost:
        _log.exception("%s cannot be copied to %s", copy.source_snapshot_id, snapshot_id)
        raise GiveUp("Server.InternalError: the source cannot be read") from lost
    except StoreFull as full:
        _log.warning("%s cannot be copied to %s: %s", copy.source_snapshot_id, snapshot_id, full)
        raise GiveUp(f"Server.InternalError: there is no room in {snapshot.region}") from full
    _log.info("%s is %s with %s", snapshot_id, copy.source_snapshot_id, moved)
    scratch.complete(svc, snapshot_id, root)
