"""The modification of a volume: a larger disk first, then the record of what it is now."""

from typing import Final

from openami.blockstore.volumes import VolumeAbsent
from openami.catalog import volume_modifications, volumes
from openami.compute.driver import MachineFailed, MachineState
from openami.domain.block import GIB
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.volume import Volume
from openami.domain.volume_modification import (
    ModificationEvent,
    ModificationState,
    VolumeModification,
)
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services
from openami.workflows import scratch

NAME: Final = "modify_volume"


def start(svc: Services, modification: VolumeModification) -> str:
    """Begin a modification, once. The id of the job."""
    job_id = f"{NAME}:{modification.volume_id}:{modification.id}"
    its = {"modification_id": modification.id, "volume_id": modification.volume_id}
    svc.jobs.start(NAME, job_id, its)
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = volume_modifications.unfinished(tx)
    for modification in waiting:
        start(svc, modification)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("change the volume", lambda args: _change(svc, args)),
            ("complete it", lambda args: _complete(svc, args)),
        ),
        give_up=lambda args, reason: give_up(svc, args, reason),
    )


def _modification(svc: Services, args: Args) -> VolumeModification | None:
    with svc.catalog.read() as tx:
        return volume_modifications.fetch_any(tx, str(args["modification_id"]))


def _volume(svc: Services, args: Args) -> Volume:
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, VolumeId(str(args["volume_id"])))
    if volume is None:
        raise GiveUp("the volume was deleted")
    return volume


def _place(volume: Volume) -> InstanceId | None:
    return None if volume.attachment is None else volume.attachment.instance_id


def _change(svc: Services, args: Args) -> None:
    volume_id = str(args["volume_id"])
    instance_id = _place(_volume(svc, args))
    # A machine that copies its disks lets nobody resize them; then nobody starts or ends it.
    first, second = scratch.copying(instance_id), str(instance_id or volume_id)
    with svc.locks(first), svc.locks(second), svc.locks(volume_id):
        volume, modification = _volume(svc, args), _modification(svc, args)
        if _place(volume) != instance_id:
            raise scratch.Moved(f"{volume.id} moved between instances; look again")
        if modification is None or modification.state is not ModificationState.MODIFYING:
            return
        if modification.target_size_gib > volume.size_gib:
            _grow(svc, instance_id, volume.id, modification.target_size_gib)
        _commit(svc, args)


def _grow(
    svc: Services, instance_id: InstanceId | None, volume_id: VolumeId, size_gib: int
) -> None:
    try:
        if instance_id is not None and svc.compute.state(instance_id) is not MachineState.ABSENT:
            svc.compute.grow(instance_id, volume_id, size_gib * GIB)
        svc.volumes.grow(volume_id, size_gib)
    except (MachineFailed, VolumeAbsent) as failure:
        raise GiveUp(f"the disk cannot be made larger ({type(failure).__name__})") from failure


def _commit(svc: Services, args: Args) -> None:
    with svc.catalog.begin() as tx:
        modification = volume_modifications.fetch_any(tx, str(args["modification_id"]))
        volume = volumes.fetch_any(tx, VolumeId(str(args["volume_id"])))
        if modification is None or volume is None:
            return
        volumes.save(tx, modification.applied_to(volume))
        volume_modifications.save(tx, modification.after(ModificationEvent.CHANGED))


def _complete(svc: Services, args: Args) -> None:
    """There is no data to move between devices: a disk of openami is as fast as its host."""
    with svc.catalog.begin() as tx:
        found = volume_modifications.fetch_any(tx, str(args["modification_id"]))
        if found is not None and found.state is ModificationState.OPTIMIZING:
            ended = found.ended(ModificationEvent.OPTIMIZED, svc.clock.now())
            volume_modifications.save(tx, ended)


def give_up(svc: Services, args: Args, why: str) -> None:
    with svc.catalog.begin() as tx:
        found = volume_modifications.fetch_any(tx, str(args["modification_id"]))
        if found is not None and found.state is ModificationState.MODIFYING:
            failed = found.ended(ModificationEvent.FAIL, svc.clock.now(), why)
            volume_modifications.save(tx, failed)
