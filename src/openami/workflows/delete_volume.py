"""The end of a volume: what snapshots still need of it is kept first, then its bytes go."""

from typing import Final

from openami.catalog import ingests, tags, volumes
from openami.domain.ids import VolumeId
from openami.domain.volume import VolumeState
from openami.jobs.engine import Args, Job
from openami.services import Services
from openami.workflows import copy_volume, create_snapshot

NAME: Final = "delete_volume"


def start(svc: Services, volume_id: VolumeId) -> str:
    """Begin to remove a volume that is deleting, once. The id of the job."""
    job_id = f"{NAME}:{volume_id}"
    svc.jobs.start(NAME, job_id, {"volume_id": volume_id})
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = volumes.in_state(tx, VolumeState.DELETING)
    for volume in waiting:
        start(svc, volume.id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("keep what snapshots need", lambda args: _keep(svc, args)),
            ("remove the disk", lambda args: _remove(svc, args)),
        ),
        give_up=lambda args, _: _keep_and_remove(svc, args),
    )


def _id(args: Args) -> VolumeId:
    return VolumeId(str(args["volume_id"]))


def _keep(svc: Services, args: Args) -> None:
    create_snapshot.keep_what_is_wanted(svc, _id(args))


def _keep_and_remove(svc: Services, args: Args) -> None:
    """Nothing can refuse a removal for good: what failed is tried again at the next launch."""
    _keep(svc, args)
    _remove(svc, args)


def _remove(svc: Services, args: Args) -> None:
    volume_id = _id(args)
    with svc.locks(volume_id):
        with svc.catalog.read() as tx:
            volume = volumes.fetch_any(tx, volume_id)
        if volume is not None and volume.state is VolumeState.DELETING:
            svc.volumes.delete(volume_id)
            with svc.catalog.begin() as tx:
                volumes.remove(tx, volume_id)
                tags.remove_all(tx, volume_id)
                ingests.end(tx, volume_id)  # of a copy that was still being made
    copy_volume.let_go(svc, volume_id)
