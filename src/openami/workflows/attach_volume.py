"""The attachment of a volume to an instance that has a machine; without one it is only recorded."""

import logging
from dataclasses import replace
from typing import Final

from openami.blockstore.store import ChunkLost, StoreFull
from openami.catalog import instances, volumes
from openami.compute.driver import ExportsUnknown, MachineFailed, MachineState
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.instance import Instance
from openami.domain.volume import AttachmentState, Volume, VolumeState
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services
from openami.workflows import cold_disks, machines

NAME: Final = "attach_volume"
_log = logging.getLogger(__name__)


def start(svc: Services, volume: Volume) -> str:
    """Begin to plug in a volume that is attaching, once per request. The id of the job."""
    its = volume.attachment
    assert its is not None
    job_id = f"{NAME}:{volume.id}:{its.instance_id}:{its.attached_at.isoformat()}"
    svc.jobs.start(NAME, job_id, {"volume_id": volume.id, "instance_id": its.instance_id})
    return job_id


def resume(svc: Services) -> None:
    """Those of an instance that is on its way up are attached by that."""
    with svc.catalog.read() as tx:
        waiting = volumes.with_attachment(tx, AttachmentState.ATTACHING)
    for volume in waiting:
        if volume.state is VolumeState.IN_USE:
            start(svc, volume)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("plug it in", lambda args: _plug(svc, args)),),
        give_up=lambda args, _: _let_go(svc, args),
    )


def _attaching(svc: Services, args: Args) -> Volume | None:
    """The volume, if it is still on its way to that instance."""
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, VolumeId(str(args["volume_id"])))
    return volume if volume is not None and _is_attaching(volume, args) else None


def _is_attaching(volume: Volume, args: Args) -> bool:
    its = volume.attachment
    return (
        its is not None
        and its.instance_id == args["instance_id"]
        and its.state is AttachmentState.ATTACHING
    )


def _plug(svc: Services, args: Args) -> None:
    instance_id = InstanceId(str(args["instance_id"]))
    # The volume's own lock is held by who copies or deletes it while it is attached nowhere.
    with svc.locks(instance_id), svc.locks(str(args["volume_id"])):
        volume = _attaching(svc, args)
        if volume is None:
            return
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, instance_id)
        if instance is None:
            return
        if svc.compute.state(instance_id) is not MachineState.ABSENT:
            try:
                _attach(svc, instance, volume)
            except (MachineFailed, ChunkLost, StoreFull) as failure:
                raise GiveUp(str(failure)) from failure
        _commit(svc, args)


def _attach(svc: Services, instance: Instance, volume: Volume) -> None:
    with svc.catalog.read() as tx:
        port = machines.port_of(tx, instance)
    try:
        svc.compute.attach(instance.id, cold_disks.disk_of(svc, volume, port))
    except ExportsUnknown as unknown:
        _log.info("%s waits for the whole disk: %s", volume.id, unknown)
        svc.compute.attach(instance.id, cold_disks.restored_disk_of(svc, volume))


def _commit(svc: Services, args: Args) -> None:
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_any(tx, VolumeId(str(args["volume_id"])))
        if volume is None or not _is_attaching(volume, args):
            return
        assert volume.attachment is not None
        done = replace(volume.attachment, state=AttachmentState.ATTACHED)
        volumes.save(tx, replace(volume, attachment=done))


def _let_go(svc: Services, args: Args) -> None:
    """Free the volume only when no machine has it; until then it is detaching."""
    instance_id, volume_id = InstanceId(str(args["instance_id"])), VolumeId(str(args["volume_id"]))
    with svc.locks(instance_id):
        if _attaching(svc, args) is None:
            return
        free = _is_out(svc, instance_id, volume_id)
        with svc.catalog.begin() as tx:
            volume = volumes.fetch_any(tx, volume_id)
            if volume is not None and _is_attaching(volume, args):
                volumes.save(tx, volume.detached() if free else _detaching(volume))


def _is_out(svc: Services, instance_id: InstanceId, volume_id: VolumeId) -> bool:
    """Take the disk away from the machine, however far it got. False if that is not sure."""
    if svc.compute.state(instance_id) is MachineState.ABSENT:
        return True
    try:
        return svc.compute.detach(instance_id, volume_id, force=True)
    except MachineFailed as failure:
        _log.warning("%s may still be open in %s: %s", volume_id, instance_id, failure)
        return False


def _detaching(volume: Volume) -> Volume:
    assert volume.attachment is not None
    return replace(volume, attachment=replace(volume.attachment, state=AttachmentState.DETACHING))
