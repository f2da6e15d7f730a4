"""ModifyVolume, DescribeVolumesModifications, EnableVolumeIO, ModifyVolumeAttribute."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions import volume_changes
from openami.domain.block_device import EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import MissingParameter, UnsupportedOperation
from openami.domain.ids import parse_volume_id
from openami.domain.volume_modification import VolumeModification
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import filters, one_more, page, paged
from openami.services import Services


def modify_volume(svc: Services, caller: Caller, request: Request) -> Result:
    volume_id = parse_volume_id(request["VolumeId"])
    if request.get("MultiAttachEnabled"):
        raise UnsupportedOperation("A volume of openami is attached to one instance at a time")
    change = EbsDevice(
        volume_size_gib=request.get("Size"),
        volume_type=request.get("VolumeType"),
        iops=request.get("Iops"),
        throughput=request.get("Throughput"),
    )
    return {
        "VolumeModification": _shape(volume_changes.modify_volume(svc, caller, volume_id, change))
    }


def describe_volumes_modifications(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 500, ids="VolumeIds")
    ids = [parse_volume_id(text) for text in request.get("VolumeIds", ())]
    found = volume_changes.describe_volumes_modifications(
        svc, caller, ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked, "volume_id")
    return {"VolumesModifications": [_shape(each) for each in shown], **token}


def _shape(its: VolumeModification) -> dict[str, Any]:
    answer = {
        "VolumeId": its.volume_id,
        "ModificationState": its.state,
        "StatusMessage": its.message,
        "OriginalSize": its.original_size_gib,
        "OriginalVolumeType": its.original_volume_type,
        "OriginalIops": its.original_iops,
        "OriginalThroughput": its.original_throughput,
        "OriginalMultiAttachEnabled": False,
        "TargetSize": its.target_size_gib,
        "TargetVolumeType": its.target_volume_type,
        "TargetIops": its.target_iops,
        "TargetThroughput": its.target_throughput,
        "TargetMultiAttachEnabled": False,
        "Progress": its.progress_percent,
        "StartTime": its.started_at,
        "EndTime": its.ended_at,
    }
    return {name: value for name, value in answer.items() if value is not None}


def enable_volume_io(svc: Services, caller: Caller, request: Request) -> Result:
    volume_changes.enable_volume_io(svc, caller, parse_volume_id(request["VolumeId"]))
    return {}


def modify_volume_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    volume_id = parse_volume_id(request["VolumeId"])
    value = request.get("AutoEnableIO", {})
    only(value, "AutoEnableIO.", {"Value"})
    if "Value" not in value:
        raise MissingParameter("AutoEnableIO")
    volume_changes.modify_auto_enable_io(svc, caller, volume_id, enabled=value["Value"])
    return {}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ModifyVolume": operation(
        modify_volume,
        *("VolumeId", "Size", "VolumeType", "Iops", "Throughput", "MultiAttachEnabled"),
        partly="no multi-attach; IOPS and throughput are kept and told, the host decides",
    ),
    "DescribeVolumesModifications": operation(
        describe_volumes_modifications, "VolumeIds", "Filters", "MaxResults", "NextToken"
    ),
    "EnableVolumeIO": operation(enable_volume_io, "VolumeId"),
    "ModifyVolumeAttribute": operation(
        modify_volume_attribute, "VolumeId", "AutoEnableIO", partly="AutoEnableIO is always true"
    ),
}
