"""ExportImage, CreateInstanceExportTask, their listings, and CancelExportTask."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions.transfers import export_tasks as actions
from openami.actions.transfers.export_tasks import IMAGE_KIND, INSTANCE_KIND
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.ids import parse_export_task_id, parse_image_id, parse_instance_id
from openami.domain.transfers.export_task import STATUS, DiskImageFormat, ExportTask
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import client_token, filters, one_more, page, paged, tag_specifications
from openami.services import Services

_DESCRIPTION_CHARACTERS_MAX: Final = 255
_ROLE_CHARACTERS_MAX: Final = 64
_DEFAULT_ROLE: Final = "vmimport"
_FORMATS_OF: Final[Mapping[str, DiskImageFormat]] = {
    "vmware": DiskImageFormat.VMDK,
    "citrix": DiskImageFormat.VHD,
    "microsoft": DiskImageFormat.VHD,
}
"""What each environment reads. https://docs.aws.amazon.com/vm-import/latest/userguide/vmexport.html"""


def export_image(svc: Services, caller: Caller, request: Request) -> Result:
    place = request["S3ExportLocation"]
    only(place, "S3ExportLocation.", {"S3Bucket", "S3Prefix"})
    role_name = request.get("RoleName") or _DEFAULT_ROLE
    if len(role_name) > _ROLE_CHARACTERS_MAX:
        raise InvalidParameterValue("The role name is longer than that of any role.")
    asked = actions.ImageExport(
        image_id=parse_image_id(request["ImageId"]),
        target=actions.Target(
            bucket=_bucket(place, "S3ExportLocation"),
            prefix=place.get("S3Prefix") or "",
            disk_format=_format(request["DiskImageFormat"]),
            description=_description(request),
            tags=tag_specifications(request, IMAGE_KIND).get(IMAGE_KIND, {}),
        ),
        role_name=role_name,
        token=client_token("ExportImage", request),
    )
    task, tags = actions.export_image(svc, caller, asked)
    answer = _image_task(task, tags)
    return {**answer, "DiskImageFormat": task.disk_format, "RoleName": task.role_name}


def create_instance_export_task(svc: Services, caller: Caller, request: Request) -> Result:
    wanted = request["ExportToS3Task"]
    only(wanted, "ExportToS3.", {"DiskImageFormat", "ContainerFormat", "S3Bucket", "S3Prefix"})
    environment = request["TargetEnvironment"]
    disk_format = _format_for(environment, wanted)
    asked = actions.InstanceExport(
        instance_id=parse_instance_id(request["InstanceId"]),
        target=actions.Target(
            bucket=_bucket(wanted, "ExportToS3"),
            prefix=wanted.get("S3Prefix") or "",
            disk_format=disk_format,
            description=_description(request),
            tags=tag_specifications(request, INSTANCE_KIND).get(INSTANCE_KIND, {}),
        ),
        target_environment=environment,
        as_ova=_as_ova(wanted, disk_format),
    )
    return {"ExportTask": _instance_task(*actions.create_instance_export_task(svc, caller, asked))}


def _bucket(place: Request, where: str) -> str:
    if not place.get("S3Bucket"):
        raise MissingParameter(f"{where}.S3Bucket")
    return place["S3Bucket"]


def _format(text: str) -> DiskImageFormat:
    try:
        return DiskImageFormat(text)
    except ValueError:
        raise InvalidParameterValue(
            f"Value ({text[:40]}) for parameter DiskImageFormat is invalid."
            f" It must be one of {', '.join(DiskImageFormat)}."
        ) from None


def _format_for(environment: str, wanted: Request) -> DiskImageFormat:
    """That of the environment, if none is named. Raises InvalidParameterCombination."""
    if environment not in _FORMATS_OF:
        raise InvalidParameterValue(
            f"Value ({environment[:40]}) for parameter TargetEnvironment is invalid."
            f" It must be one of {', '.join(_FORMATS_OF)}."
        )
    read = _FORMATS_OF[environment]
    named = wanted.get("DiskImageFormat")
    if named is not None and _format(named) is not read:
        raise InvalidParameterCombination(
            f"The target environment {environment} reads {read}, not {named}."
        )
    return read


def _as_ova(wanted: Request, disk_format: DiskImageFormat) -> bool:
    container = wanted.get("ContainerFormat")
    if container not in (None, "ova"):
        raise InvalidParameterValue("The container format is 'ova' or is not given.")
    if container is not None and disk_format is not DiskImageFormat.VMDK:
        raise InvalidParameterCombination(f"An ova holds a VMDK, not a {disk_format}.")
    return container is not None


def _description(request: Request) -> str | None:
    text = request.get("Description")
    if text is not None and len(text) > _DESCRIPTION_CHARACTERS_MAX:
        raise InvalidParameterValue(
            f"A description has at most {_DESCRIPTION_CHARACTERS_MAX} characters."
        )
    return text


def describe_export_image_tasks(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 500, ids="ExportImageTaskIds")
    task_ids = [parse_export_task_id(text) for text in request.get("ExportImageTaskIds", ())]
    found, tags = actions.describe_export_image_tasks(
        svc, caller, task_ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked)
    answers = [_image_task(each, tags.get(each.id, {})) for each in shown]
    return {"ExportImageTasks": answers, **token}


def describe_export_tasks(svc: Services, caller: Caller, request: Request) -> Result:
    task_ids = [parse_export_task_id(text) for text in request.get("ExportTaskIds", ())]
    found, tags = actions.describe_export_tasks(svc, caller, task_ids, filters(request))
    return {"ExportTasks": [_instance_task(each, tags.get(each.id, {})) for each in found]}


def cancel_export_task(svc: Services, caller: Caller, request: Request) -> Result:
    actions.cancel_export_task(svc, caller, parse_export_task_id(request["ExportTaskId"]))
    return {}


def _image_task(task: ExportTask, tags: Mapping[str, str]) -> dict[str, Any]:
    return _told(
        task,
        tags,
        ExportImageTaskId=task.id,
        ImageId=task.image_id,
        Status=STATUS[task.state],
        Progress=str(task.progress_percent),
        S3ExportLocation={"S3Bucket": task.bucket, "S3Prefix": task.prefix},
    )


def _instance_task(task: ExportTask, tags: Mapping[str, str]) -> dict[str, Any]:
    container = {"ContainerFormat": "ova"} if task.as_ova else {}
    return _told(
        task,
        tags,
        ExportTaskId=task.id,
        State=task.state,
        InstanceExportDetails={
            "InstanceId": task.instance_id,
            "TargetEnvironment": task.target_environment,
        },
        ExportToS3Task={
            "DiskImageFormat": task.disk_format,
            "S3Bucket": task.bucket,
            "S3Key": task.key,
            **container,
        },
    )


def _told(task: ExportTask, tags: Mapping[str, str], **members: object) -> dict[str, Any]:
    answer = {
        "Description": task.description,
        "StatusMessage": task.status_message,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        **members,
    }
    return {name: value for name, value in answer.items() if value is not None}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ExportImage": operation(
        export_image,
        *("ImageId", "DiskImageFormat", "S3ExportLocation", "Description", "RoleName"),
        *("TagSpecifications", "ClientToken"),
        partly="images of one disk; RoleName is told and has no effect",
    ),
    "DescribeExportImageTasks": operation(
        describe_export_image_tasks,
        *("ExportImageTaskIds", "Filters", "MaxResults", "NextToken"),
    ),
    "CreateInstanceExportTask": operation(
        create_instance_export_task,
        *("InstanceId", "TargetEnvironment", "ExportToS3Task", "Description"),
        "TagSpecifications",
    ),
    "DescribeExportTasks": operation(describe_export_tasks, "ExportTaskIds", "Filters"),
    "CancelExportTask": operation(cancel_export_task, "ExportTaskId"),
}
