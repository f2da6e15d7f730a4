"""An image of an instance: its volumes copied at one moment; they are stored after it.

Without NoReboot the guest shuts down first and its machine starts again as soon as the
copies are made; the instance counts as running all the while, as EC2 has it.
"""

import logging
from collections.abc import Mapping
from typing import Final

from openami.catalog import images, instances, snapshots
from openami.domain.ids import ImageId, InstanceId, SnapshotId, VolumeId
from openami.domain.image import Image, ImageState
from openami.domain.instance import Instance, InstanceState
from openami.domain.snapshot import Snapshot
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import IMAGES, Kind
from openami.services import Services
from openami.workflows import machines, scratch, stop_instance, store_copies

NAME: Final = "create_image"

_log = logging.getLogger(__name__)

_GOING: Final = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


def start(svc: Services, image: Image, filled: dict[SnapshotId, VolumeId]) -> str:
    """Begin to fill a pending image's snapshots from their volumes, once. The id of the job."""
    assert image.source_instance_id is not None
    of = Kind(image.owner, frozenset({image.region}))
    return _start(svc, image.id, image.source_instance_id, filled, of)


def _start(
    svc: Services,
    image_id: ImageId,
    instance_id: InstanceId,
    filled: Mapping[SnapshotId, VolumeId],
    of: Kind,
) -> str:
    job_id = f"{NAME}:{image_id}"
    args = {
        "image_id": image_id,
        "instance_id": instance_id,
        "snapshot_ids": list(filled),
        "volume_ids": list(filled.values()),
    }
    svc.jobs.start(NAME, job_id, args, owner=of.owner, regions=of.regions)
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = [
            (image, _pending_snapshots_of(image, snapshots.pending(tx)))
            for image in images.pending(tx)
            if image.source_instance_id is not None
        ]
        running = instances.in_state(tx, InstanceState.RUNNING)
    for image, unfilled in waiting:
        filled = {snapshot.id: snapshot.volume_id for snapshot in unfilled}
        store_copies.follow(svc, start(svc, image, filled), image.id, filled)
    for instance in running:
        if (image_id := _rebooted_for(instance)) and image_id not in {
            each.id for each, _ in waiting
        }:
            of = Kind(instance.owner, frozenset({instance.region}))
            _start(svc, image_id, instance.id, {}, of)  # deregistered meanwhile: the reboot ends


def _rebooted_for(instance: Instance) -> ImageId | None:
    """The image for which the guest is shut down, if it is one for which it is."""
    purpose = instance.rebooting_for or ""
    return ImageId(purpose) if purpose.startswith("ami-") else None


def _pending_snapshots_of(image: Image, pending: list[Snapshot]) -> list[Snapshot]:
    named = {mapping.ebs.snapshot_id for mapping in image.block_device_mappings if mapping.ebs}
    return [snapshot for snapshot in pending if snapshot.id in named]


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("shut down the guest", lambda args: _shut_down(svc, args)),
            ("copy the volumes", lambda args: _copy(svc, args)),
            ("start the machine", lambda args: _start_again(svc, args)),
            ("hand the copies over", lambda args: _hand_over(svc, args)),
        ),
        give_up=lambda args, reason: give_up(svc, args, reason),
        lane=IMAGES,
    )


def _image_id(args: Args) -> ImageId:
    return ImageId(str(args["image_id"]))


def _wanted(args: Args) -> dict[SnapshotId, VolumeId]:
    snapshot_ids, volume_ids = args["snapshot_ids"], args["volume_ids"]
    assert isinstance(snapshot_ids, list)
    assert isinstance(volume_ids, list)
    return {
        SnapshotId(str(snapshot_id)): VolumeId(str(volume_id))
        for snapshot_id, volume_id in zip(snapshot_ids, volume_ids, strict=True)
    }


def _instance(svc: Services, args: Args) -> Instance | None:
    with svc.catalog.read() as tx:
        return instances.fetch_any(tx, InstanceId(str(args["instance_id"])))


def _is_wanted(svc: Services, args: Args) -> bool:
    """Whether nobody has deregistered the image."""
    with svc.catalog.read() as tx:
        image = images.fetch_any(tx, _image_id(args))
    return image is not None and image.state is ImageState.PENDING


def _shut_down(svc: Services, args: Args) -> None:
    """Without the instance's lock: it may take minutes, and TerminateInstances may not wait."""
    instance = _instance(svc, args)
    if _is_wanted(svc, args) and instance is not None and instance.rebooting_for == _image_id(args):
        timeout_s = svc.settings.stop_timeout_s
        scratch.wait_for_copies(svc, instance.id, timeout_s, but=_wanted(args))
        machines.shut_down(svc, instance.id, timeout_s)


def _copy(svc: Services, args: Args) -> None:
    if scratch.found(svc, _image_id(args)) is not None:
        return  # made before a crash: the instance may go since
    instance = _instance(svc, args)
    if instance is None or instance.state in _GOING:
        raise GiveUp("the instance was terminated")
    if _wanted(args):
        scratch.take(svc, _image_id(args), _wanted(args), of=instance.id)


def _start_again(svc: Services, args: Args) -> None:
    """StopInstances and TerminateInstances end the reboot: nobody waits for the machine then."""
    instance = _instance(svc, args)
    if instance is None or instance.rebooting_for != _image_id(args):
        return
    try:
        machines.run_again(svc, instance.id)
    except machines.CANNOT_START as failure:
        _log.warning("%s does not come back: %s", instance.id, failure)
        stop_instance.leave_stopped(svc, instance.id, _image_id(args))


def _hand_over(svc: Services, args: Args) -> None:
    store_copies.start(svc, _image_id(args), _wanted(args))


def give_up(svc: Services, args: Args, why: str) -> None:
    """The image fails with a reason; the guest is brought back if it was shut down for it."""
    scratch.drop(svc, _image_id(args))  # first: the guest may need the room to start
    _start_again(svc, args)
    instance = _instance(svc, args)
    if instance is None or instance.state in _GOING:
        why = "Client.InstanceTerminated: Instance is terminated"
    store_copies.give_up(svc, _image_id(args), _wanted(args), why)
