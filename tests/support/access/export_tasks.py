"""Exports: "{image_export}" of "{image}" and "{instance_export}" of an instance have ended."""

from typing import Final

from support.access.row import SEES, Access, own, shared

_TO: Final = {"S3Bucket": "access-bucket"}

ROWS: Final[tuple[Access, ...]] = (
    shared(
        *("ExportImage", "InvalidAMIID.NotFound", "AuthFailure"),
        ImageId="{image}",
        DiskImageFormat="VMDK",
        S3ExportLocation=_TO,
    ),
    own(
        *("DescribeExportImageTasks", "InvalidExportTaskID.NotFound", SEES),
        ExportImageTaskIds=["{image_export}"],
    ),
    own(
        *("CreateInstanceExportTask", "InvalidInstanceID.NotFound", "NotExportable"),
        InstanceId="{instance}",
        TargetEnvironment="vmware",
        ExportToS3Task=_TO,
    ),
    own(
        *("DescribeExportTasks", "InvalidExportTaskID.NotFound", SEES),
        ExportTaskIds=["{instance_export}"],
    ),
    own(
        *("CancelExportTask", "InvalidExportTaskID.NotFound", "InvalidParameterValue"),
        ExportTaskId="{image_export}",
    ),
)
