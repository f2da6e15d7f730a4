"""The detachment of a volume: the guest lets go of it, or it is taken away by force.

A guest that holds on to its disk keeps the volume detaching; the sweep asks it again.
"""

from typing import Final

from openami.catalog import volumes
from openami.compute.driver import MachineState
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.volume import AttachmentState, Volume
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services

NAME: Final = "detach_volume"


def start(svc: Services, volume: Volume, *, force: bool = False) -> str:
    """Ask the guest to let go of a volume that is detaching. The id of the job."""
    its = volume.attachment
    assert its is not None
    attempt = svc.clock.now().isoformat()
    job_id = f"{NAME}:{volume.id}:{its.instance_id}:{attempt}:{'force' if force else 'ask'}"
    svc.jobs.start(
        NAME, job_id, {"volume_id": volume.id, "instance_id": its.instance_id, "force": force}
    )
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = volumes.with_attachment(tx, AttachmentState.DETACHING)
    working = {tuple(job_id.split(":")[:2]) for job_id in svc.jobs.active()}
    for volume in waiting:
        if (NAME, volume.id) not in working:
            start(svc, volume)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("unplug it", lambda args: _unplug(svc, args)),),
        give_up=lambda _args, _reason: None,  # the volume stays detaching: the sweep asks again
    )


def _is_detaching(volume: Volume | None, args: Args) -> bool:
    return (
        volume is not None
        and volume.attachment is not None
        and volume.attachment.instance_id == args["instance_id"]
        and volume.attachment.state is AttachmentState.DETACHING
    )


def _unplug(svc: Services, args: Args) -> None:
    volume_id, instance_id = VolumeId(str(args["volume_id"])), InstanceId(str(args["instance_id"]))
    with svc.locks(instance_id):
        with svc.catalog.read() as tx:
            volume = volumes.fetch_any(tx, volume_id)
        if not _is_detaching(volume, args):
            return
        absent = svc.compute.state(instance_id) is MachineState.ABSENT
        if not absent and not svc.compute.detach(instance_id, volume_id, bool(args["force"])):
            raise GiveUp(f"the guest of {instance_id} does not let go of {volume_id}")
        with svc.catalog.begin() as tx:
            volume = volumes.fetch_any(tx, volume_id)
            if volume is not None and _is_detaching(volume, args):
                volumes.save(tx, volume.detached())
