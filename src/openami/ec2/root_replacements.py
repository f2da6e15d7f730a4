"""CreateReplaceRootVolumeTask and DescribeReplaceRootVolumeTasks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from openami.actions import root_replacements
from openami.domain.caller import Caller
from openami.domain.ids import (
    parse_image_id,
    parse_instance_id,
    parse_replace_root_volume_task_id,
    parse_snapshot_id,
    parse_volume_id,
)
from openami.domain.root_replacement import ReplaceRootVolumeTask
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import client_token, filters, one_more, page, paged, tag_specifications
from openami.services import Services

_KIND: Final = "replace-root-volume-task"


def create_replace_root_volume_task(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id, image_id = request.get("SnapshotId"), request.get("ImageId")
    volume_id = request.get("VolumeId")
    asked = root_replacements.Replacement(
        instance_id=parse_instance_id(request["InstanceId"]),
        snapshot_id=parse_snapshot_id(snapshot_id) if snapshot_id else None,
        image_id=parse_image_id(image_id) if image_id else None,
        volume_id=parse_volume_id(volume_id) if volume_id else None,
        delete_replaced=request.get("DeleteReplacedRootVolume", False),
        tags=tag_specifications(request, _KIND).get(_KIND, {}),
        token=client_token("CreateReplaceRootVolumeTask", request),
    )
    task, tags = root_replacements.create_replace_root_volume_task(svc, caller, asked)
    return {"ReplaceRootVolumeTask": _shape(task, tags)}


def describe_replace_root_volume_tasks(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 50, ids="ReplaceRootVolumeTaskIds")
    named = request.get("ReplaceRootVolumeTaskIds", ())
    ids = [parse_replace_root_volume_task_id(text) for text in named]
    found, tags = root_replacements.describe_replace_root_volume_tasks(
        svc, caller, ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked)
    answers = [_shape(task, tags.get(task.id, {})) for task in shown]
    return {"ReplaceRootVolumeTasks": answers, **token}


def _shape(task: ReplaceRootVolumeTask, tags: Mapping[str, str]) -> dict[str, Any]:
    answer = {
        "ReplaceRootVolumeTaskId": task.id,
        "InstanceId": task.instance_id,
        "TaskState": task.state,
        "StartTime": _text(task.started_at),
        "CompleteTime": None if task.completed_at is None else _text(task.completed_at),
        "ImageId": task.image_id,
        "SnapshotId": task.snapshot_id,
        "DeleteReplacedRootVolume": task.delete_replaced,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return {name: value for name, value in answer.items() if value is not None}


def _text(moment: datetime) -> str:
    """These two are texts in EC2's model, not timestamps."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateReplaceRootVolumeTask": operation(
        create_replace_root_volume_task,
        *("InstanceId", "SnapshotId", "ImageId", "VolumeId", "DeleteReplacedRootVolume"),
        *("ClientToken", "TagSpecifications"),
        partly="no VolumeInitializationRate",
    ),
    "DescribeReplaceRootVolumeTasks": operation(
        describe_replace_root_volume_tasks,
        *("ReplaceRootVolumeTaskIds", "Filters", "MaxResults", "NextToken"),
    ),
}
