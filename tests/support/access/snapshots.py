"""Snapshots, of which "{snapshot}" is the root of the shared image "{image}"."""

from typing import Final

from support.access.row import SEES, Access, own

UNKNOWN: Final = "InvalidSnapshot.NotFound"
_ROOT: Final = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{snapshot}"}}]

ROWS: Final[tuple[Access, ...]] = (
    own("DescribeSnapshots", UNKNOWN, SEES, SnapshotIds=["{snapshot}"]),
    own("CreateVolume", UNKNOWN, AvailabilityZone="us-east-1a", SnapshotId="{snapshot}"),
    own("DeleteSnapshot", UNKNOWN, SnapshotId="{free_snapshot}"),
    own(
        "RegisterImage",
        UNKNOWN,
        Name="theirs",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=_ROOT,
    ),
)
