"""A volume that is made by itself. A launch makes its own, and copies have their workflow."""

from typing import Final

from openami.blockstore.store import ChunkLost, StoreFull
from openami.catalog import volumes
from openami.domain.ids import VolumeId
from openami.domain.manifest import Root
from openami.domain.volume import Volume, VolumeEvent, VolumeState
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services

NAME: Final = "create_volume"


def start(svc: Services, volume_id: VolumeId) -> str:
    """Begin to make a volume that is creating, once. The id of the job."""
    job_id = f"{NAME}:{volume_id}"
    svc.jobs.start(NAME, job_id, {"volume_id": volume_id})
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = volumes.in_state(tx, VolumeState.CREATING)
    for volume in waiting:
        if volume.attachment is None and volume.source_volume_id is None:
            start(svc, volume.id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("make the disk", lambda args: _make(svc, args)),),
        give_up=lambda args, _: _settle(
            svc, VolumeId(str(args["volume_id"])), VolumeEvent.CREATION_FAILED
        ),
    )


def _creating(volume: Volume | None) -> Volume | None:
    return volume if volume is not None and volume.state is VolumeState.CREATING else None


def _make(svc: Services, args: Args) -> None:
    make(svc, VolumeId(str(args["volume_id"])))


def make(svc: Services, volume_id: VolumeId) -> None:
    """Make the disk of a volume that is creating, and say that it is there. Raises GiveUp."""
    with svc.locks(volume_id):
        with svc.catalog.read() as tx:
            volume = _creating(volumes.fetch_any(tx, volume_id))
        if volume is None:
            return
        root = None if volume.root is None else Root.from_text(volume.root)
        try:
            svc.volumes.create(volume_id, volume.region, root, volume.size_gib)
        except (ChunkLost, StoreFull) as failure:
            raise GiveUp(str(failure)) from failure
        _settle(svc, volume_id, VolumeEvent.CREATED)


def _settle(svc: Services, volume_id: VolumeId, event: VolumeEvent) -> None:
    with svc.catalog.begin() as tx:
        volume = _creating(volumes.fetch_any(tx, volume_id))
        if volume is not None:
            volumes.save(tx, volume.after(event))
