"""A snapshot of one volume: its copy at the moment of the request; its blocks are stored after it.

The lease is taken with the row, so no collector touches what the copy relies on.
"""

from collections.abc import Iterable
from typing import Final

from openami.catalog import images, snapshots
from openami.catalog.catalog import Transaction
from openami.domain.ids import SnapshotId, VolumeId
from openami.domain.snapshot import NO_VOLUME, Snapshot
from openami.jobs.engine import Args, Job
from openami.jobs.lanes import MOMENTS
from openami.services import Services
from openami.workflows import copy_volume, create_image, create_snapshots, scratch, store_copies

NAME: Final = "create_snapshot"


def start(svc: Services, snapshot: Snapshot) -> str:
    """Begin to copy the volume for a pending snapshot, once. The id of the job."""
    job_id = f"{NAME}:{snapshot.id}"
    args = {"snapshot_id": snapshot.id, "volume_id": snapshot.volume_id}
    svc.jobs.start(NAME, job_id, args, owner=snapshot.owner, regions=[snapshot.region])
    return job_id


def resume(svc: Services) -> None:
    """Those that belong to an image or a set are filled by the workflow of that."""
    with svc.catalog.read() as tx:
        waiting = _alone(svc, tx, snapshots.pending(tx))
    for snapshot in waiting:
        store_copies.follow(svc, start(svc, snapshot), snapshot.id, [snapshot.id])


def _alone(svc: Services, tx: Transaction, pending: Iterable[Snapshot]) -> list[Snapshot]:
    """Those that no image's workflow fills. One goes on for an image that was deregistered."""
    active = svc.jobs.active()

    def filled_for(snapshot: Snapshot) -> bool:
        if snapshot.set_id is not None or images.users_of_snapshot(tx, snapshot.id):
            return True
        former = images.all_users_of_snapshot(tx, snapshot.id)
        return any(
            f"{create_image.NAME}:{image_id}" in active or scratch.found(svc, image_id) is not None
            for image_id in former
        )

    of_volumes = (snapshot for snapshot in pending if snapshot.volume_id != NO_VOLUME)
    return [snapshot for snapshot in of_volumes if not filled_for(snapshot)]


def keep_what_is_wanted(svc: Services, volume_id: VolumeId) -> None:
    """Make sure of the copies for the pending snapshots of a volume whose end is near.

    Their own workflow is started first: without it the sweep takes the copies for leftovers, and
    one that can never be made is given up there.
    """
    with svc.catalog.read() as tx:
        pending = snapshots.pending_of_volume(tx, volume_id)
        waiting = _alone(svc, tx, pending)
    for set_id in {each.set_id for each in pending if each.set_id is not None}:
        create_snapshots.keep(svc, set_id)
    copy_volume.keep_what_is_wanted(svc, volume_id)
    for snapshot in waiting:
        start(svc, snapshot)
        copy(svc, snapshot.id, volume_id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("copy the volume", lambda args: _copy(svc, args)),
            ("hand it over", lambda args: _hand_over(svc, _id(args))),
        ),
        give_up=lambda args, why: store_copies.give_up(svc, _id(args), [_id(args)], why),
        lane=MOMENTS,
    )


def _id(args: Args) -> SnapshotId:
    return SnapshotId(str(args["snapshot_id"]))


def _copy(svc: Services, args: Args) -> None:
    copy(svc, _id(args), VolumeId(str(args["volume_id"])))


def copy(svc: Services, snapshot_id: SnapshotId, volume_id: VolumeId) -> None:
    """Keep the volume's content for the snapshot, if that is still wanted and not kept yet."""
    scratch.take(svc, snapshot_id, {snapshot_id: volume_id})


def _hand_over(svc: Services, snapshot_id: SnapshotId) -> None:
    store_copies.start(svc, snapshot_id, [snapshot_id])
