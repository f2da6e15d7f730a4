"""A copy of a volume: what it holds at the moment of the request, as the content of a new one.

It is taken at once, and fills the new volume when it is the account's turn.
"""

from dataclasses import replace
from typing import Final

from openami.catalog import ingests, volumes
from openami.domain.ids import SnapshotId, VolumeId
from openami.domain.volume import Volume, VolumeEvent, VolumeState
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import MOMENTS, SNAPSHOTS
from openami.services import Services
from openami.workflows import create_volume, scratch, store_copies

NAME: Final = "copy_volume"
FILL: Final = "fill_copied_volume"


def start(svc: Services, volume_id: VolumeId) -> str:
    """Begin to take the copy for a volume that is creating, once. The id of the job."""
    job_id = f"{NAME}:{volume_id}"
    _start(svc, NAME, job_id, volume_id)
    return job_id


def _start(svc: Services, name: str, job_id: str, volume_id: VolumeId) -> None:
    """Once, when it is the owner's turn."""
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, volume_id)
    whose, where = ("", []) if volume is None else (volume.owner, [volume.region])
    svc.jobs.start(name, job_id, {"volume_id": volume_id}, owner=whose, regions=where)


def fill_job_id(volume_id: VolumeId) -> str:
    return f"{FILL}:{volume_id}"


def _fill(svc: Services, volume_id: VolumeId) -> None:
    """Begin to fill it with the copy that is taken, once, when it is its owner's turn."""
    _start(svc, FILL, fill_job_id(volume_id), volume_id)
    let_go(svc, volume_id)


def let_go(svc: Services, volume_id: VolumeId) -> None:
    """End the job now if it stands in line for a volume that was deleted."""
    if _empty(svc, volume_id) is None:
        svc.jobs.hurry(fill_job_id(volume_id))


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = volumes.in_state(tx, VolumeState.CREATING)
    for volume in waiting:
        if volume.source_volume_id is None:
            continue
        # One that waits for its turn is not on record yet: a crash leaves it to us.
        if scratch.found(svc, volume.id) is not None or svc.jobs.wait(start(svc, volume.id), 0):
            _fill(svc, volume.id)
    for volume_id in store_copies.owners_of_active(svc, FILL):
        let_go(svc, VolumeId(volume_id))


def keep_what_is_wanted(svc: Services, source_id: VolumeId) -> None:
    """Make sure of the copies of a volume whose end is near."""
    with svc.catalog.read() as tx:
        waiting = volumes.being_copied(tx, source_id)
    for volume in waiting:
        start(svc, volume.id)
        _take(svc, volume.id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("copy the volume", lambda args: _take(svc, _id(args))),
            ("hand it over", lambda args: _fill(svc, _id(args))),
        ),
        give_up=lambda args, _: _give_up(svc, _id(args)),
        lane=MOMENTS,
    )


def filling(svc: Services) -> Job:
    return Job(
        name=FILL,
        steps=(
            ("store the blocks", lambda args: _store(svc, _id(args))),
            ("make the disk", lambda args: create_volume.make(svc, _id(args))),
            ("drop the copy", lambda args: _end(svc, _id(args))),
        ),
        give_up=lambda args, _: _give_up(svc, _id(args)),
        lane=SNAPSHOTS,
    )


def _id(args: Args) -> VolumeId:
    return VolumeId(str(args["volume_id"]))


def _empty(svc: Services, volume_id: VolumeId) -> Volume | None:
    """The copy, while it still waits for its content."""
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, volume_id)
    if volume is None or volume.state is not VolumeState.CREATING or volume.root is not None:
        return None
    return volume


def _take(svc: Services, volume_id: VolumeId) -> None:
    volume = _empty(svc, volume_id)
    if volume is not None and volume.source_volume_id is not None:
        # What is taken of a volume goes by the id of the snapshot it is for: here, the copy's.
        scratch.take(svc, volume_id, {SnapshotId(volume_id): volume.source_volume_id})


def _store(svc: Services, volume_id: VolumeId) -> None:
    volume = _empty(svc, volume_id)
    if volume is None:
        return
    taken = (scratch.found(svc, volume_id) or {}).get(volume_id)
    if taken is None:
        raise GiveUp("the copy of the volume is gone")
    root = scratch.ingest(svc, SnapshotId(volume_id), volume.region, taken)
    if root is None:
        return
    with svc.catalog.begin() as tx:
        current = volumes.fetch_any(tx, volume_id)
        if current is None or current.state is not VolumeState.CREATING:
            return
        if not ingests.is_active(tx, volume_id):
            raise GiveUp("the lease of the volume is lost")
        volumes.save(tx, replace(current, root=root.to_text()))
        ingests.end(tx, volume_id)


def _end(svc: Services, volume_id: VolumeId) -> None:
    """A copy that was deleted meanwhile has its lease yet."""
    with svc.catalog.begin() as tx:
        ingests.end(tx, volume_id)
    scratch.drop(svc, volume_id)


def _give_up(svc: Services, volume_id: VolumeId) -> None:
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_any(tx, volume_id)
        if volume is not None and volume.state is VolumeState.CREATING:
            volumes.save(tx, volume.after(VolumeEvent.CREATION_FAILED))
        ingests.end(tx, volume_id)
    scratch.drop(svc, volume_id)
