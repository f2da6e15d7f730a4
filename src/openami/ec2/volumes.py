"""CreateVolume, DescribeVolumes, DeleteVolume, AttachVolume, DetachVolume and their kin."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions import attachments, volumes
from openami.actions.volumes import VolumeStatus
from openami.domain.block_device import EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from openami.domain.ids import parse_instance_id, parse_snapshot_id, parse_volume_id
from openami.domain.volume import Attachment, AttachmentState, Volume, VolumeState
from openami.domain.zone import zone_id, zone_of_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import (
    check_unencrypted,
    client_token,
    filters,
    one_more,
    page,
    paged,
    tag_specifications,
)
from openami.services import Services


def create_volume(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = request.get("SnapshotId")
    check_unencrypted(request, "volumes")
    if request.get("MultiAttachEnabled"):
        raise UnsupportedOperation("A volume of openami is attached to one instance at a time")
    ebs = EbsDevice(
        snapshot_id=parse_snapshot_id(snapshot_id) if snapshot_id else None,
        volume_size_gib=request.get("Size"),
        volume_type=request.get("VolumeType"),
        iops=request.get("Iops"),
        throughput=request.get("Throughput"),
    )
    asked = volumes.VolumeRequest(
        availability_zone=_zone(request, caller),
        ebs=ebs,
        tags=tag_specifications(request, "volume").get("volume", {}),
        token=client_token("CreateVolume", request),
    )
    volume, tags = volumes.create_volume(svc, caller, asked)
    return volume_answer(volume, tags)


def _zone(request: Request, caller: Caller) -> str:
    name, number = request.get("AvailabilityZone"), request.get("AvailabilityZoneId")
    if name:
        return name
    if not number:
        raise MissingParameter("AvailabilityZone")
    return zone_of_id(number, caller.region)


def describe_volumes(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="VolumeIds")
    ids = [parse_volume_id(text) for text in request.get("VolumeIds", ())]
    found, tags = volumes.describe_volumes(svc, caller, ids, filters(request), one_more(asked))
    shown, token = paged(found, asked)
    answers = [
        volume_answer(volume, tags.get(volume.id, {})) | {"FastRestored": volume.fast_restored}
        for volume in shown
    ]
    return {"Volumes": answers, **token}


def delete_volume(svc: Services, caller: Caller, request: Request) -> Result:
    volumes.delete_volume(svc, caller, parse_volume_id(request["VolumeId"]))
    return {}


def attach_volume(svc: Services, caller: Caller, request: Request) -> Result:
    volume_id = parse_volume_id(request["VolumeId"])
    instance_id = parse_instance_id(request["InstanceId"])
    attachment = attachments.attach_volume(svc, caller, volume_id, instance_id, request["Device"])
    return attachment_answer(volume_id, attachment)


def detach_volume(svc: Services, caller: Caller, request: Request) -> Result:
    volume_id = parse_volume_id(request["VolumeId"])
    instance_id = request.get("InstanceId")
    attachment = attachments.detach_volume(
        svc,
        caller,
        volume_id,
        parse_instance_id(instance_id) if instance_id else None,
        request.get("Device"),
        bool(request.get("Force")),
    )
    return attachment_answer(volume_id, attachment)


def describe_volume_status(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="VolumeIds")
    ids = [parse_volume_id(text) for text in request.get("VolumeIds", ())]
    found = volumes.describe_volume_status(svc, caller, ids, filters(request), one_more(asked))
    shown, token = paged(found, asked)
    return {"VolumeStatuses": [_status_answer(each) for each in shown], **token}


def describe_volume_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    volume = volumes.fetch_volume(svc, caller, parse_volume_id(request["VolumeId"]))
    known: dict[str, dict[str, Any]] = {
        "autoEnableIO": {"AutoEnableIO": {"Value": True}},
        "productCodes": {"ProductCodes": []},
    }
    attribute = request["Attribute"]
    if attribute not in known:
        raise InvalidParameterValue(
            f"Value ({attribute}) for parameter attribute is invalid. Unknown attribute."
        )
    return {"VolumeId": volume.id, **known[attribute]}


def volume_answer(volume: Volume, tags: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "VolumeId": volume.id,
        "Size": volume.size_gib,
        "SnapshotId": volume.snapshot_id or "",
        "SourceVolumeId": volume.source_volume_id,
        "AvailabilityZone": volume.availability_zone,
        "AvailabilityZoneId": zone_id(volume.availability_zone),
        "State": volume.state,
        "CreateTime": volume.created_at,
        "Attachments": [],
        "Encrypted": False,
        "VolumeType": volume.volume_type,
        "Iops": volume.effective_iops,
        "Throughput": volume.effective_throughput,
        "MultiAttachEnabled": False,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    if volume.attachment is not None and volume.state is VolumeState.IN_USE:
        answer["Attachments"] = [attachment_answer(volume.id, volume.attachment)]
    return {name: value for name, value in answer.items() if value is not None}


def attachment_answer(volume_id: str, attachment: Attachment) -> dict[str, Any]:
    return {
        "VolumeId": volume_id,
        "InstanceId": attachment.instance_id,
        "Device": attachment.device_name,
        "State": attachment.state,
        "AttachTime": attachment.attached_at,
        "DeleteOnTermination": attachment.delete_on_termination,
    }


_STATUS: Final = {
    VolumeState.AVAILABLE: ("ok", "passed"),
    VolumeState.IN_USE: ("ok", "passed"),
    VolumeState.ERROR: ("impaired", "failed"),
}


def _status_answer(told: VolumeStatus) -> dict[str, Any]:
    volume = told.volume
    status, enabled = _STATUS.get(volume.state, ("insufficient-data", "failed"))
    if told.is_stalled:
        status, enabled = "impaired", "failed"
    answer: dict[str, Any] = {
        "VolumeId": volume.id,
        "AvailabilityZone": volume.availability_zone,
        "AvailabilityZoneId": zone_id(volume.availability_zone),
        "VolumeStatus": {
            "Status": status,
            "Details": [{"Name": "io-enabled", "Status": enabled}],
        },
        "Actions": [],
        "Events": [],
    }
    its = volume.attachment
    if its is not None and its.state is AttachmentState.ATTACHED:
        answer["AttachmentStatuses"] = [{"InstanceId": its.instance_id}]
    return answer


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateVolume": operation(
        create_volume,
        *("AvailabilityZone", "AvailabilityZoneId", "Encrypted", "Iops", "KmsKeyId", "Size"),
        *("SnapshotId", "VolumeType", "TagSpecifications", "MultiAttachEnabled", "Throughput"),
        "ClientToken",
        partly="no encryption, no multi-attach",
    ),
    "DescribeVolumes": operation(
        describe_volumes, "VolumeIds", "Filters", "MaxResults", "NextToken"
    ),
    "DeleteVolume": operation(delete_volume, "VolumeId"),
    "AttachVolume": operation(attach_volume, "VolumeId", "InstanceId", "Device"),
    "DetachVolume": operation(detach_volume, "VolumeId", "InstanceId", "Device", "Force"),
    "DescribeVolumeStatus": operation(
        describe_volume_status, "VolumeIds", "Filters", "MaxResults", "NextToken"
    ),
    "DescribeVolumeAttribute": operation(describe_volume_attribute, "VolumeId", "Attribute"),
}
