"""CopyImage, CopySnapshot, CopyVolumes."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from openami.actions import copy_image as image_action
from openami.actions import copy_snapshot as snapshot_action
from openami.actions import copy_volumes as volume_action
from openami.domain.block_device import EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterValue,
    UnsupportedOperation,
)
from openami.domain.ids import parse_image_id, parse_snapshot_id, parse_volume_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import check_unencrypted, client_token, tag_specifications
from openami.ec2.volumes import volume_answer
from openami.services import Services


def copy_image(svc: Services, caller: Caller, request: Request) -> Result:
    check_unencrypted(request, "copies")
    tags = tag_specifications(request, "image", "snapshot")
    asked = image_action.ImageCopying(
        source_region=request["SourceRegion"],
        source_image_id=parse_image_id(request["SourceImageId"]),
        name=request["Name"],
        description=request.get("Description"),
        copy_tags=bool(request.get("CopyImageTags")),
        image_tags=tags.get("image", {}),
        snapshot_tags=tags.get("snapshot", {}),
        token=client_token("CopyImage", request),
    )
    return {"ImageId": image_action.copy_image(svc, caller, asked)}


def copy_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    check_unencrypted(request, "copies")
    _check_deprecated(request, caller)
    tags = tag_specifications(request, "snapshot").get("snapshot", {})
    asked = snapshot_action.SnapshotCopying(
        source_region=request["SourceRegion"],
        source_snapshot_id=parse_snapshot_id(request["SourceSnapshotId"]),
        description=request.get("Description", ""),
        tags=tags,
    )
    return {
        "SnapshotId": snapshot_action.copy_snapshot(svc, caller, asked),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def copy_volumes(svc: Services, caller: Caller, request: Request) -> Result:
    check_unencrypted(request, "copies")
    if request.get("MultiAttachEnabled"):
        raise UnsupportedOperation("A volume of openami is attached to one instance at a time")
    asked = volume_action.VolumeCopying(
        source_volume_id=parse_volume_id(request["SourceVolumeId"]),
        ebs=EbsDevice(
            volume_size_gib=request.get("Size"),
            volume_type=request.get("VolumeType"),
            iops=request.get("Iops"),
            throughput=request.get("Throughput"),
        ),
        tags=tag_specifications(request, "volume").get("volume", {}),
        token=client_token("CopyVolumes", request),
    )
    volume, tags = volume_action.copy_volumes(svc, caller, asked)
    return {"Volumes": [volume_answer(volume, tags)]}


def _check_deprecated(request: Request, caller: Caller) -> None:
    """What clients add of themselves to CopySnapshot: it must say what the request says."""
    destination = request.get("DestinationRegion")
    if destination and destination != caller.region:
        raise InvalidParameterValue(
            f"The destination region {destination} is not the region of the request,"
            f" {caller.region}."
        )
    presigned = parse_qs(urlsplit(request.get("PresignedUrl") or "").query)
    said = {**request, "DestinationRegion": caller.region}
    for name in ("SourceRegion", "SourceSnapshotId", "DestinationRegion"):
        if presigned.get(name, [said[name]]) != [said[name]]:
            raise InvalidParameterValue(f"PresignedUrl has another {name} than the request.")


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CopyImage": operation(
        copy_image,
        *("Name", "SourceImageId", "SourceRegion", "Description", "CopyImageTags"),
        *("TagSpecifications", "ClientToken", "Encrypted", "KmsKeyId"),
        partly="no encryption, no Outposts or Local Zones, no completion duration",
    ),
    "CopySnapshot": operation(
        copy_snapshot,
        *("SourceRegion", "SourceSnapshotId", "Description", "TagSpecifications"),
        *("DestinationRegion", "PresignedUrl", "Encrypted", "KmsKeyId"),
        partly="no encryption, no Outposts or Local Zones, no completion duration",
    ),
    "CopyVolumes": operation(
        copy_volumes,
        *("SourceVolumeId", "Size", "VolumeType", "Iops", "Throughput", "TagSpecifications"),
        *("ClientToken", "Encrypted", "KmsKeyId", "MultiAttachEnabled"),
        partly="no encryption, no multi-attach",
    ),
}
