"""Imports: "{import_task}" made a snapshot of a disk in "{bucket}", "{image_import}" an image."""

from typing import Final

from support.access.row import MAY, SEES, Access, own, shared

UNKNOWN: Final = "InvalidConversionTaskId"

ROWS: Final[tuple[Access, ...]] = (
    own(
        "ImportSnapshot",
        "InvalidParameter",
        DiskContainer={"UserBucket": {"S3Bucket": "{bucket}", "S3Key": "disk.raw"}},
    ),
    shared(
        "ImportImage",
        *("InvalidSnapshot.NotFound", MAY),
        DiskContainers=[{"SnapshotId": "{snapshot}"}],
    ),
    own("DescribeImportSnapshotTasks", UNKNOWN, SEES, ImportTaskIds=["{import_task}"]),
    own("DescribeImportImageTasks", UNKNOWN, SEES, ImportTaskIds=["{image_import}"]),
    own("CancelImportTask", UNKNOWN, "IncorrectState", ImportTaskId="{import_task}"),
)
