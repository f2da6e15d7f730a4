"""Disks that are not exported, and export tasks that are none."""

from support.bad_requests.row import Bad

_TO = {"S3Bucket": "{bucket}", "S3Prefix": "exports/"}
_IMAGE = {"ImageId": "{image}", "DiskImageFormat": "VMDK", "S3ExportLocation": _TO}
_INSTANCE = {"InstanceId": "{stopped}", "TargetEnvironment": "vmware", "ExportToS3Task": _TO}
_NEVER = "0123456789abcdef0"
_TAGS = [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]


def _image(why: str, code: str, **changed: object) -> Bad:
    return Bad(f"an image's export {why}", "ExportImage", _IMAGE | changed, code)


def _instance(why: str, code: str, **changed: object) -> Bad:
    return Bad(f"an instance's export {why}", "CreateInstanceExportTask", _INSTANCE | changed, code)


EXPORTED = (
    Bad("an image's export to nowhere", "ExportImage", {"ImageId": "{image}"}, "MissingParameter"),
    _image("that is none", "InvalidAMIID.Malformed", ImageId="{volume}"),
    _image("that nobody has", "InvalidAMIID.NotFound", ImageId=f"ami-{_NEVER}"),
    _image("of a stranger's", "InvalidAMIID.NotFound", ImageId="{foreign_image}"),
    _image("of another's public one", "AuthFailure", ImageId="{foreign_public_image}"),
    _image("of one that is gone", "InvalidAMIID.Unavailable", ImageId="{gone_image}"),
    _image("as a qcow2", "InvalidParameterValue", DiskImageFormat="QCOW2"),
    _image(
        "to a stranger's bucket",
        "InvalidParameter",
        S3ExportLocation={"S3Bucket": "{foreign_bucket}"},
    ),
    _image(
        "to another region",
        "InvalidParameterValue",
        S3ExportLocation={"S3Bucket": "{west_bucket}"},
    ),
    _image(
        "out of its bucket",
        "InvalidParameterValue",
        S3ExportLocation=_TO | {"S3Prefix": "../world-theirs/"},
    ),
    _image("tagged as an image", "InvalidParameterValue", TagSpecifications=_TAGS),
    _instance("that is none", "InvalidInstanceID.Malformed", InstanceId="{image}"),
    _instance("that nobody has", "InvalidInstanceID.NotFound", InstanceId=f"i-{_NEVER}"),
    _instance("to no known hypervisor", "InvalidParameterValue", TargetEnvironment="xbox"),
    _instance(
        "that its hypervisor does not read",
        "InvalidParameterCombination",
        ExportToS3Task=_TO | {"DiskImageFormat": "VHD"},
    ),
    Bad(
        "an export that is none cancelled",
        "CancelExportTask",
        {"ExportTaskId": "{image}"},
        "InvalidExportTaskID.Malformed",
    ),
    Bad(
        "an export that nobody has cancelled",
        "CancelExportTask",
        {"ExportTaskId": f"export-ami-{_NEVER}"},
        "InvalidExportTaskID.NotFound",
    ),
    Bad(
        "exports of images that nobody has",
        "DescribeExportImageTasks",
        {"ExportImageTaskIds": [f"export-ami-{_NEVER}"]},
        "InvalidExportTaskID.NotFound",
    ),
    Bad(
        "exports of instances that nobody has",
        "DescribeExportTasks",
        {"ExportTaskIds": [f"export-i-{_NEVER}"]},
        "InvalidExportTaskID.NotFound",
    ),
)
