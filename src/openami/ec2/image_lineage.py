"""GetImageAncestry, Attach- and DetachImageWatermark, ReplaceImageInstanceTypeSpecification."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import image_lineage as actions
from openami.domain.caller import Caller
from openami.domain.ids import parse_image_id
from openami.domain.image import Image
from openami.domain.instance_types.specification import checked_specification
from openami.domain.watermark import Watermark, checked_watermark_key
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.services import Services


def get_image_ancestry(svc: Services, caller: Caller, request: Request) -> Result:
    image_id = parse_image_id(request["ImageId"])
    chain = actions.get_image_ancestry(svc, caller, image_id)
    return {"ImageAncestryEntries": [_entry(each) for each in chain]}


def _entry(ancestor: actions.Ancestor) -> dict[str, Any]:
    answer = {
        "ImageId": ancestor.id,
        "CreationDate": ancestor.created_at,
        "ImageOwnerAlias": ancestor.owner_alias,
        "SourceImageId": ancestor.source_image_id,
        "SourceImageRegion": ancestor.source_image_region,
    }
    return {name: value for name, value in answer.items() if value is not None}


def attach_image_watermark(svc: Services, caller: Caller, request: Request) -> Result:
    image_id = parse_image_id(request["ImageId"])
    key = actions.attach_image_watermark(svc, caller, image_id, request["WatermarkName"])
    return {"WatermarkKey": key}


def detach_image_watermark(svc: Services, caller: Caller, request: Request) -> Result:
    image_id = parse_image_id(request["ImageId"])
    key = checked_watermark_key(request["WatermarkKey"])
    actions.detach_image_watermark(svc, caller, image_id, key)
    return {"Return": True}


def replace_image_instance_type_specification(
    svc: Services, caller: Caller, request: Request
) -> Result:
    image_id = parse_image_id(request["ImageId"])
    asked = request.get("InstanceTypeSpecification", {})
    members = ("SupportedInstanceTypes", "UnsupportedInstanceTypes")
    only(asked, "InstanceTypeSpecification.", set(members))
    supported, unsupported = (asked.get(name, ()) for name in members)
    specification = checked_specification(supported, unsupported)
    actions.replace_image_instance_type_specification(svc, caller, image_id, specification)
    return {"ReturnValue": True}


def facts_answer(image: Image) -> dict[str, Any]:
    """The members of DescribeImages' Image that these operations set; absent if nothing is."""
    answer: dict[str, Any] = {}
    if image.watermarks:
        answer["ImageWatermarks"] = watermarks_answer(image.watermarks)
    specified = {
        "SupportedInstanceTypes": image.instance_types.supported,
        "UnsupportedInstanceTypes": image.instance_types.unsupported,
    }
    if any(specified.values()):
        answer["InstanceTypeSpecification"] = {
            name: [{"InstanceType": entry} for entry in entries]
            for name, entries in specified.items()
            if entries
        }
    return answer


def watermarks_answer(watermarks: Sequence[Watermark]) -> list[dict[str, Any]]:
    return [
        {
            "WatermarkKey": mark.key,
            "SourceImageRegion": mark.source_image_region,
            "SourceImageId": mark.source_image_id,
            "SourceImageCreationTime": mark.source_image_created_at,
            "WatermarkCreationTime": mark.attached_at,
        }
        for mark in watermarks
    ]


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GetImageAncestry": operation(get_image_ancestry, "ImageId"),
    "AttachImageWatermark": operation(attach_image_watermark, "ImageId", "WatermarkName"),
    "DetachImageWatermark": operation(detach_image_watermark, "ImageId", "WatermarkKey"),
    "ReplaceImageInstanceTypeSpecification": operation(
        replace_image_instance_type_specification, "ImageId", "InstanceTypeSpecification"
    ),
}
