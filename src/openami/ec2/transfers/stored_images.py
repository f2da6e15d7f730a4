"""CreateStoreImageTask, DescribeStoreImageTasks, CreateRestoreImageTask."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions.transfers import restore_image, store_image
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import parse_image_id
from openami.domain.tag import checked_tags
from openami.domain.transfers.store_image_task import StoreImageTask
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, one_more, page, paged, tag_specifications
from openami.services import Services

_IMAGE_IDS_MAX: Final = 20
_S3_TAGS_MAX: Final = 10
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html"""


def create_store_image_task(svc: Services, caller: Caller, request: Request) -> Result:
    pairs = [
        (each.get("Key", ""), each.get("Value", "")) for each in request.get("S3ObjectTags", ())
    ]
    if len(pairs) > _S3_TAGS_MAX:
        raise InvalidParameterValue(f"An object has at most {_S3_TAGS_MAX} tags.")
    asked = store_image.Storing(
        image_id=parse_image_id(request["ImageId"]),
        bucket=request["Bucket"],
        object_tags=checked_tags(pairs),
    )
    return {"ObjectKey": store_image.create_store_image_task(svc, caller, asked)}


def describe_store_image_tasks(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 200, ids="ImageIds")
    image_ids = [parse_image_id(text) for text in request.get("ImageIds", ())]
    if len(image_ids) > _IMAGE_IDS_MAX:
        raise InvalidParameterValue(f"At most {_IMAGE_IDS_MAX} ImageIds can be given.")
    conditions = () if image_ids else filters(request)  # EC2: ignored beside image ids
    found = store_image.describe_store_image_tasks(
        svc, caller, image_ids, conditions, one_more(asked)
    )
    shown, token = paged(found, asked, "place")
    return {"StoreImageTaskResults": [_task_answer(each) for each in shown], **token}


def _task_answer(task: StoreImageTask) -> dict[str, Any]:
    answer = {
        "AmiId": task.image_id,
        "TaskStartTime": task.started_at,
        "Bucket": task.bucket,
        "S3objectKey": task.key,
        "ProgressPercentage": task.progress_percent,
        "StoreTaskState": task.state,
        "StoreTaskFailureReason": task.failure_reason,
    }
    return {name: value for name, value in answer.items() if value is not None}


def create_restore_image_task(svc: Services, caller: Caller, request: Request) -> Result:
    tags = tag_specifications(request, "image", "snapshot")
    asked = restore_image.Restoring(
        bucket=request["Bucket"],
        key=request["ObjectKey"],
        name=request.get("Name"),
        image_tags=tags.get("image", {}),
        snapshot_tags=tags.get("snapshot", {}),
    )
    return {"ImageId": restore_image.create_restore_image_task(svc, caller, asked)}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateStoreImageTask": operation(create_store_image_task, "ImageId", "Bucket", "S3ObjectTags"),
    "DescribeStoreImageTasks": operation(
        describe_store_image_tasks, "ImageIds", "Filters", "MaxResults", "NextToken"
    ),
    "CreateRestoreImageTask": operation(
        create_restore_image_task, "Bucket", "ObjectKey", "Name", "TagSpecifications"
    ),
}
