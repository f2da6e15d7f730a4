"""Volumes and the instances they are attached to."""

from dataclasses import replace

from openami.catalog import instances, volumes
from openami.catalog.catalog import Transaction
from openami.domain.block_device import checked_device_name
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, OperationNotPermitted
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.instance import Instance, InstanceState
from openami.domain.volume import Attachment, AttachmentState, Volume, VolumeState
from openami.services import Services
from openami.workflows import attach_volume as attach_workflow
from openami.workflows import detach_volume as detach_workflow


def attach_volume(
    svc: Services, caller: Caller, volume_id: VolumeId, instance_id: InstanceId, device_name: str
) -> Attachment:
    """The attachment, attaching: plugged into a running machine, recorded for a stopped one."""
    checked_device_name(device_name)
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        _check_volume(volume, instance)
        _check_instance(tx, instance, device_name)
        attachment = Attachment(
            instance_id=instance_id,
            device_name=device_name,
            state=AttachmentState.ATTACHING,
            attached_at=svc.clock.now(),
            delete_on_termination=False,
        )
        volume = volume.attached(attachment)
        volumes.save(tx, volume)
    svc.jobs.wait(attach_workflow.start(svc, volume), svc.settings.settle_timeout_s)
    return attachment


def _check_volume(volume: Volume, instance: Instance) -> None:
    if volume.attachment is not None:
        raise EC2Error.of("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.state is not VolumeState.AVAILABLE:
        raise EC2Error.of("IncorrectState", f"Volume '{volume.id}' is not 'available'.")
    if volume.availability_zone != instance.availability_zone:
        raise EC2Error.of(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance"
            f" '{instance.id}'",
        )


def _check_instance(tx: Transaction, instance: Instance, device_name: str) -> None:
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        raise EC2Error.of("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
    attached = [each.attachment for each in volumes.of_instance(tx, instance.id)]
    used = {its.device_name for its in attached if its is not None}
    used |= {disk.device_name for disk in instance.ephemeral_disks}
    if _bare(device_name) in {_bare(each) for each in used}:
        raise EC2Error.of(
            "InvalidDevice.InUse",
            f"Invalid value '{device_name}' for unixDevice."
            f" Attachment point {device_name} is already in use",
        )


def _bare(device_name: str) -> str:
    return device_name.removeprefix("/dev/")


def detach_volume(
    svc: Services,
    caller: Caller,
    volume_id: VolumeId,
    instance_id: InstanceId | None,
    device_name: str | None,
    force: bool,
) -> Attachment:
    """The attachment, detaching: it ends when the guest lets go. Asking again is fine."""
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
        its = _attachment(volume, instance_id, device_name)
        instance = instances.fetch_owned(tx, its.instance_id, caller.account, caller.region)
        _check_detachable(volume, its, instance)
        detaching = replace(its, state=AttachmentState.DETACHING)
        volume = replace(volume, attachment=detaching)
        volumes.save(tx, volume)
    svc.jobs.wait(detach_workflow.start(svc, volume, force=force), svc.settings.settle_timeout_s)
    return detaching


def _attachment(
    volume: Volume, instance_id: InstanceId | None, device_name: str | None
) -> Attachment:
    its = volume.attachment
    if its is None:
        raise EC2Error.of(
            "IncorrectState", f"Volume '{volume.id}' is in the '{volume.state}' state."
        )
    if instance_id not in (None, its.instance_id) or device_name not in (None, its.device_name):
        raise EC2Error.of(
            "InvalidAttachment.NotFound",
            f"Volume '{volume.id}' is not attached to instance"
            f" '{instance_id or its.instance_id}' as device '{device_name or its.device_name}'.",
        )
    return its


def _check_detachable(volume: Volume, its: Attachment, instance: Instance) -> None:
    if volume.state is not VolumeState.IN_USE or its.state is AttachmentState.ATTACHING:
        raise EC2Error.of("IncorrectState", f"Volume '{volume.id}' is in the 'attaching' state.")
    is_root = its.device_name == instance.root_device_name
    if is_root and instance.state is not InstanceState.STOPPED:
        raise OperationNotPermitted(
            f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'"
        )
