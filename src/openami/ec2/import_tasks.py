"""ImportSnapshot, ImportImage, DescribeImport…Tasks and CancelImportTask."""

import re
from collections.abc import Mapping
from typing import Any, Final

from openami.actions.transfers import import_tasks as action
from openami.domain.block_device import BlockDeviceMapping, checked
from openami.domain.bucket import checked_object_key, is_bucket_name
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.ids import parse_snapshot_id
from openami.domain.transfers.import_task import (
    IMAGE_PREFIX,
    SNAPSHOT_PREFIX,
    ImportedDisk,
    ImportTask,
    parse_import_task_id,
)
from openami.ec2.operation import Operation, Request, Result, only, operation
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

_DISK_FORMATS: Final = ("RAW", "VMDK", "VHD", "VHDX", "QCOW2")
_IMAGE_FORMATS: Final = (*_DISK_FORMATS, "OVA")
_SOURCES: Final = ("Url", "UserBucket", "SnapshotId")
_S3_URL: Final = re.compile(r"s3://([^/?#]+)/([^?#]+)")
_DISKS_MAX: Final = 21  # a root and as many as EC2 imports beside it
_DISK_MEMBERS: Final = frozenset({"Description", "Format", "Url", "UserBucket"})
_ROLE: Final = "vmimport"


def import_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    _check(request)
    raw = request.get("DiskContainer")
    if raw is None:
        raise MissingParameter("DiskContainer")
    kind = "import-snapshot-task"
    asked = action.Importing(
        disks=(_disk(raw, "DiskContainer.", _DISK_FORMATS, _DISK_MEMBERS),),
        description=request.get("Description"),
        tags=tag_specifications(request, kind).get(kind, {}),
        token=client_token("ImportSnapshot", request),
    )
    return _snapshot_answer(*action.import_snapshot(svc, caller, asked))


def import_image(svc: Services, caller: Caller, request: Request) -> Result:
    _check(request)
    raw = request.get("DiskContainers", ())
    if not raw:
        raise MissingParameter("DiskContainers")
    kind = "import-image-task"
    asked = action.Importing(
        disks=_disks(raw),
        description=request.get("Description"),
        architecture=_one_of(request, "Architecture", "x86_64", "i386"),
        platform=_one_of(request, "Platform", "Linux"),
        boot_mode=_one_of(request, "BootMode", "legacy-bios", "uefi"),
        tags=tag_specifications(request, kind).get(kind, {}),
        token=client_token("ImportImage", request),
    )
    answer = _image_answer(*action.import_image(svc, caller, asked))
    answer.pop("BootMode", None)  # EC2's model has it in the listing only
    return answer


def _check(request: Request) -> None:
    check_unencrypted(request, "imports")
    role = request.get("RoleName", _ROLE)
    if role != _ROLE:
        raise InvalidParameterValue(
            f"The service role {role!r} does not exist: openami reads the caller's own buckets,"
            f" and needs no role (or {_ROLE!r})."
        )


def _one_of(request: Request, name: str, *allowed: str) -> str | None:
    given = request.get(name)
    if given is not None and given not in allowed:
        raise InvalidParameterValue(
            f"Value ({given}) for parameter {name} is invalid: {' | '.join(allowed)}"
        )
    return given


def _disks(raw: list[Mapping[str, Any]]) -> tuple[ImportedDisk, ...]:
    if len(raw) > _DISKS_MAX:
        raise InvalidParameterValue(f"At most {_DISKS_MAX} DiskContainers are taken.")
    heeded = _DISK_MEMBERS | {"DeviceName", "SnapshotId"}
    disks = tuple(_disk(each, "DiskContainers.", _IMAGE_FORMATS, heeded) for each in raw)
    names = [disk.device_name for disk in disks if disk.device_name is not None]
    checked([BlockDeviceMapping(device_name=name, virtual_name="ephemeral0") for name in names])
    if len(disks) > 1 and any(disk.format == "OVA" for disk in disks):
        raise InvalidParameterCombination("An OVA is the only disk container of its request.")
    return disks


def _disk(
    raw: Mapping[str, Any], where: str, formats: tuple[str, ...], heeded: frozenset[str]
) -> ImportedDisk:
    only(raw, where, heeded)
    if sum(bool(raw.get(name)) for name in _SOURCES) != 1:
        raise InvalidParameterCombination(
            f"{where[:-1]} needs exactly one of {', '.join(sorted(heeded & {*_SOURCES}))}."
        )
    given_format = (raw.get("Format") or "").upper() or None
    if given_format is not None and given_format not in formats:
        raise InvalidParameterValue(
            f"The disk format {raw['Format']!r} is not one of {', '.join(formats)}."
        )
    snapshot_id = raw.get("SnapshotId")
    bucket, key = _object(raw)
    return ImportedDisk(
        format=given_format,
        description=raw.get("Description"),
        device_name=raw.get("DeviceName"),
        url=raw.get("Url"),
        bucket=bucket,
        key=key,
        snapshot_id=parse_snapshot_id(snapshot_id) if snapshot_id else None,
    )


def _object(raw: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Bucket and key, of a UserBucket or an s3:// URL; none of a file:// URL."""
    if raw.get("UserBucket"):
        only(raw["UserBucket"], "UserBucket.", {"S3Bucket", "S3Key"})
        bucket, key = raw["UserBucket"].get("S3Bucket", ""), raw["UserBucket"].get("S3Key", "")
        if not (bucket and key):
            raise MissingParameter("UserBucket.S3Key" if bucket else "UserBucket.S3Bucket")
        return _checked_object(bucket, key)
    url = raw.get("Url")
    if url is None or url.startswith("file://"):
        return None, None
    found = _S3_URL.fullmatch(url)
    if found is None:
        # What follows a question mark may be a signature: it is not repeated.
        raise InvalidParameterValue(
            f"The Url {url.partition('?')[0][:200]!r} is not of the form s3://bucket/key. Upload"
            " the disk to a bucket of this server (aws s3 cp)."
        )
    return _checked_object(found[1], found[2])


def _checked_object(bucket: str, key: str) -> tuple[str, str]:
    if not is_bucket_name(bucket):
        raise InvalidParameterValue(f"The S3 bucket {bucket[:80]!r} is not valid.")
    return bucket, checked_object_key(key)


def describe_import_snapshot_tasks(svc: Services, caller: Caller, request: Request) -> Result:
    return _described(svc, caller, request, SNAPSHOT_PREFIX, "ImportSnapshotTasks")


def describe_import_image_tasks(svc: Services, caller: Caller, request: Request) -> Result:
    return _described(svc, caller, request, IMAGE_PREFIX, "ImportImageTasks")


def _described(svc: Services, caller: Caller, request: Request, prefix: str, member: str) -> Result:
    asked = page(request, 1, 1000, ids="ImportTaskIds")
    ids = [parse_import_task_id(text, prefix) for text in request.get("ImportTaskIds", ())]
    found, tags = action.describe_import_tasks(
        svc, caller, prefix, ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked)
    answer = _image_answer if prefix == IMAGE_PREFIX else _snapshot_answer
    return {member: [answer(task, tags.get(task.id, {})) for task in shown], **token}


def cancel_import_task(svc: Services, caller: Caller, request: Request) -> Result:
    if not request.get("ImportTaskId"):
        raise MissingParameter("ImportTaskId")
    task_id = parse_import_task_id(request["ImportTaskId"], IMAGE_PREFIX, SNAPSHOT_PREFIX)
    before, after = action.cancel_import_task(svc, caller, task_id, request.get("CancelReason"))
    return {"ImportTaskId": task_id, "PreviousState": before, "State": after}


def _snapshot_answer(task: ImportTask, tags: Mapping[str, str]) -> dict[str, Any]:
    (disk,) = task.disks
    detail = _disk_answer(disk) | {
        "Encrypted": False,
        "Progress": str(task.progress_percent),
        "Status": task.state,
        "StatusMessage": task.status_message,
    }
    return _bare(
        {
            "ImportTaskId": task.id,
            "Description": task.description,
            "SnapshotTaskDetail": _bare(detail),
            "Tags": _tags(tags),
        }
    )


def _image_answer(task: ImportTask, tags: Mapping[str, str]) -> dict[str, Any]:
    return _bare(
        {
            "ImportTaskId": task.id,
            "Architecture": task.architecture,
            "Description": task.description,
            "Encrypted": False,
            "ImageId": task.image_id,
            "Platform": task.platform,
            "BootMode": task.boot_mode,
            "Progress": str(task.progress_percent),
            "SnapshotDetails": [
                _bare(_disk_answer(disk) | {"DeviceName": disk.device_name}) for disk in task.disks
            ],
            "Status": task.state,
            "StatusMessage": task.status_message,
            "Tags": _tags(tags),
        }
    )


def _disk_answer(disk: ImportedDisk) -> dict[str, Any]:
    of_bucket = disk.bucket is not None and disk.url is None
    return {
        "Description": disk.description,
        "DiskImageSize": float(disk.size_bytes),
        "Format": disk.format,
        "SnapshotId": disk.snapshot_id,
        "Url": disk.url,
        "UserBucket": {"S3Bucket": disk.bucket, "S3Key": disk.key} if of_bucket else None,
    }


def _bare(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value is not None}


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


_LISTED: Final = ("ImportTaskIds", "Filters", "MaxResults", "NextToken")
OPERATIONS: Final[Mapping[str, Operation]] = {
    "ImportSnapshot": operation(
        import_snapshot,
        *("DiskContainer", "Description", "ClientToken", "TagSpecifications"),
        *("RoleName", "Encrypted", "KmsKeyId"),
        partly="no encryption, no ClientData, no https URLs",
    ),
    "ImportImage": operation(
        import_image,
        *("DiskContainers", "Description", "Architecture", "Platform", "BootMode"),
        *("ClientToken", "TagSpecifications", "RoleName", "Encrypted", "KmsKeyId"),
        partly="no encryption, no ClientData, no https URLs, no licences, no Windows",
    ),
    "DescribeImportSnapshotTasks": operation(describe_import_snapshot_tasks, *_LISTED),
    "DescribeImportImageTasks": operation(describe_import_image_tasks, *_LISTED),
    "CancelImportTask": operation(cancel_import_task, "ImportTaskId", "CancelReason"),
}
