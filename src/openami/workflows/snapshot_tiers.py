"""A snapshot into the archive and back: the chunks that nothing else needs move.

Where the bytes are is no matter of safety: the store reads both places (blockstore.tiered), and a
chunk is durable in one before it is deleted in the other. So nothing here waits for ingests, and
one that relies on a chunk which is archived beside it loses nothing.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkLost, StoreFull
from openami.blockstore.tiered import move
from openami.blockstore.verify import chunks_only_of
from openami.catalog import images, ingests, snapshot_copies, snapshot_tiers, snapshots, volumes
from openami.catalog.catalog import Transaction
from openami.domain.block import Digest
from openami.domain.ids import ImageId, Region, SnapshotId
from openami.domain.image import ImageState
from openami.domain.manifest import Root
from openami.domain.snapshot import Move, Progress, Snapshot, Tiering
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import COPIES
from openami.services import Services

NAME: Final = "move_snapshot_tier"


def start(svc: Services, tiering: Tiering) -> str:
    """Begin the move, once, when it is its owner's turn. The id of the job."""
    at = int(tiering.started_at.timestamp() * 1_000_000)
    job_id = f"{NAME}:{tiering.snapshot_id}:{tiering.move}:{at}"
    args = {"snapshot_id": tiering.snapshot_id}
    svc.jobs.start(NAME, job_id, args, owner=tiering.owner, regions=[tiering.region])
    return job_id


def resume(svc: Services) -> None:
    """Go on with what was begun, and archive again what was restored for a time only."""
    _archive_again(svc)
    with svc.catalog.read() as tx:
        waiting = snapshot_tiers.going_on(tx)
    for tiering in waiting:
        start(svc, tiering)


def _archive_again(svc: Services) -> None:
    """An image that uses it meanwhile keeps it where it is."""
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        if not snapshot_tiers.restored_until(tx, now):
            return
    with svc.catalog.begin() as tx:
        for snapshot_id in snapshot_tiers.restored_until(tx, now):
            earlier = snapshot_tiers.find(tx, snapshot_id)
            idle = earlier is not None and earlier.progress is not Progress.GOING_ON
            if earlier is not None and idle and not users(tx, snapshot_id):
                again = replace(
                    earlier, move=Move.ARCHIVAL, progress=Progress.GOING_ON, started_at=now
                )
                snapshot_tiers.put(tx, again)


def users(tx: Transaction, snapshot_id: SnapshotId) -> list[ImageId]:
    """The images that need the snapshot: registered and not disabled."""
    found = [images.fetch_any(tx, each) for each in images.users_of_snapshot(tx, snapshot_id)]
    return [
        image.id for image in found if image is not None and image.state is not ImageState.DISABLED
    ]


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("move the chunks", lambda args: _move(svc, args)),),
        give_up=lambda args, why: _fail(svc, args, why),
        lane=COPIES,
    )


def _id(args: Args) -> SnapshotId:
    return SnapshotId(str(args["snapshot_id"]))


def _going_on(tx: Transaction, snapshot_id: SnapshotId) -> tuple[Tiering, Snapshot] | None:
    tiering = snapshot_tiers.find(tx, snapshot_id)
    snapshot = snapshots.fetch_any(tx, snapshot_id)
    if tiering is None or snapshot is None or tiering.progress is not Progress.GOING_ON:
        return None
    return tiering, snapshot


def _move(svc: Services, args: Args) -> None:
    with svc.catalog.read() as tx:
        found = _going_on(tx, _id(args))
    if found is None:
        return
    tiering, snapshot = found
    hot, cold = svc.stores[snapshot.region], svc.archives[snapshot.region]
    with svc.locks(f"tiers of {snapshot.region}"):  # two moves must not undo one another
        try:
            if tiering.move is not Move.ARCHIVAL:
                move(cold, hot, _all(svc, snapshot))
                _complete(svc, args)
                return
            move(hot, cold, _own(svc, snapshot))
            needed_by = _complete(svc, args)
            if needed_by:
                move(cold, hot, _all(svc, snapshot))
                raise GiveUp(f"Client.InUse: the snapshot is in use by {', '.join(needed_by)}")
        except (ChunkLost, StoreFull) as failure:
            raise GiveUp("Server.InternalError: the snapshot's data cannot be moved") from failure


def _root(snapshot: Snapshot) -> Root:
    if snapshot.root is None:
        raise GiveUp(f"{snapshot.id} has no content")
    return Root.from_text(snapshot.root)


def _own(svc: Services, snapshot: Snapshot) -> Iterable[Digest]:
    """The chunks that no volume, no copy, no ingest and no other snapshot in use relies on."""
    region: Region = snapshot.region
    with svc.catalog.read() as tx:
        texts = {
            *snapshot_tiers.roots_in_use(tx, region, snapshot.id),
            *volumes.all_roots(tx, region),
            *snapshot_copies.all_roots(tx, region),
            *ingests.all_roots(tx, region),
            *ingests.all_since_roots(tx, region),
        }
    others = [Root.from_text(text) for text in sorted(texts)]
    return sorted(chunks_only_of(svc.stores[region], _root(snapshot), others))


def _all(svc: Services, snapshot: Snapshot) -> Iterable[Digest]:
    _, chunks = Manifests(svc.stores[snapshot.region]).named(_root(snapshot))
    return chunks


def _complete(svc: Services, args: Args) -> list[ImageId]:
    """The images that began to need it while it was on its way: then it is not archived."""
    now = svc.clock.now()
    with svc.catalog.begin() as tx:
        found = _going_on(tx, _id(args))
        if found is None:
            return []
        tiering, snapshot = found
        if tiering.move is Move.ARCHIVAL:
            needed_by = users(tx, snapshot.id)
            if needed_by:
                return needed_by
            moved = snapshot.archived()
        else:
            days = tiering.days if tiering.move is Move.TEMPORARY else None
            moved = snapshot.restored(None if days is None else now + timedelta(days=days))
        snapshot_tiers.put(tx, tiering.ended(now))
        snapshots.save(tx, moved)
    return []


def _fail(svc: Services, args: Args, why: str) -> None:
    with svc.catalog.begin() as tx:
        found = _going_on(tx, _id(args))
        if found is not None:
            snapshot_tiers.put(tx, found[0].failed(why))
