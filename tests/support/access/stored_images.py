"""Stored images: "{image}" was stored as "{stored_key}" in "{stored_bucket}", not in "{bucket}"."""

from typing import Final

from support.access.row import MAY, NOTHING, SEES, Access, own, shared

ROWS: Final[tuple[Access, ...]] = (
    shared(
        *("CreateStoreImageTask", "InvalidAMIID.NotFound", "InvalidParameter", MAY),
        ImageId="{image}",
        Bucket="{bucket}",
    ),
    shared("DescribeStoreImageTasks", NOTHING, NOTHING, SEES, ImageIds=["{image}"]),
    own(
        *("CreateRestoreImageTask", "InvalidParameter"),
        Bucket="{stored_bucket}",
        ObjectKey="{stored_key}",
        Name="access-restored",
    ),
)
