"""DescribeInstanceImageMetadata: which image each instance was launched from."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions import image_use as actions
from openami.domain.caller import Caller
from openami.domain.ids import parse_instance_id
from openami.domain.image import Image
from openami.domain.image_retirement import iso
from openami.domain.zone import zone_id
from openami.ec2.image_lineage import watermarks_answer
from openami.ec2.instance_shapes import state, tag_list
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, one_more, page, paged
from openami.services import Services


def describe_instance_image_metadata(svc: Services, caller: Caller, request: Request) -> Result:
    ids = [parse_instance_id(text) for text in request.get("InstanceIds", ())]
    asked = page(request, 1, 1000)
    found = actions.describe_instance_image_metadata(
        svc, caller, ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked)
    return {"InstanceImageMetadata": [_metadata_answer(each) for each in shown], **token}


def _metadata_answer(used: actions.InstanceImage) -> dict[str, Any]:
    its = used.instance
    image: dict[str, Any] = {"ImageId": its.image_id}
    if used.image is not None:
        image = _image_answer(used.image)
    if used.allowed is not None:
        image["ImageAllowed"] = used.allowed
    return {
        "InstanceId": its.id,
        "InstanceType": its.instance_type,
        "LaunchTime": its.launched_at,
        "AvailabilityZone": its.availability_zone,
        "ZoneId": zone_id(its.availability_zone),
        "State": state(its.state),
        "OwnerId": its.owner,
        "Tags": tag_list(used.tags),
        "ImageMetadata": image,
        "Operator": {"Managed": False},
    }


def _image_answer(image: Image) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "ImageId": image.id,
        "Name": image.name,
        "OwnerId": image.owner,
        "State": image.state,
        "CreationDate": iso(image.created_at),
        "IsPublic": image.public,
    }
    if image.owner_alias is not None:
        answer["ImageOwnerAlias"] = image.owner_alias
    if image.deprecation_time is not None:
        answer["DeprecationTime"] = iso(image.deprecation_time)
    if image.watermarks:
        answer["ImageWatermarks"] = watermarks_answer(image.watermarks)
    return answer


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeInstanceImageMetadata": operation(
        describe_instance_image_metadata, "InstanceIds", "Filters", "MaxResults", "NextToken"
    ),
}
