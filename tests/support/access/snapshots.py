"""Snapshots: "{snapshot}" is shared with the reader, "{free_snapshot}" is private."""

from typing import Final

from support.access.row import MAY, SEES, Access, own, shared

UNKNOWN: Final = "InvalidSnapshot.NotFound"
NOT_YOURS: Final = "AuthFailure"
IN_USE: Final = "InvalidSnapshot.InUse"
_ROOT: Final = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{snapshot}"}}]

ROWS: Final[tuple[Access, ...]] = (
    shared("DescribeSnapshots", UNKNOWN, SEES, SEES, SnapshotIds=["{snapshot}"]),
    own("DescribeSnapshots", UNKNOWN, SEES, SnapshotIds=["{free_snapshot}"]),
    shared("CreateVolume", UNKNOWN, MAY, SnapshotId="{snapshot}", AvailabilityZone="us-east-1a"),
    shared("CopySnapshot", UNKNOWN, MAY, SourceSnapshotId="{snapshot}", SourceRegion="us-east-1"),
    own("CopySnapshot", UNKNOWN, SourceSnapshotId="{free_snapshot}", SourceRegion="us-east-1"),
    own("DeleteSnapshot", UNKNOWN, SnapshotId="{free_snapshot}"),
    shared("DeleteSnapshot", UNKNOWN, NOT_YOURS, IN_USE, SnapshotId="{snapshot}"),
    shared(
        "ModifySnapshotAttribute",
        *(UNKNOWN, NOT_YOURS),
        SnapshotId="{snapshot}",
        CreateVolumePermission={"Remove": [{"Group": "all"}]},
    ),
    *(
        shared(
            operation,
            *(UNKNOWN, NOT_YOURS, owner),
            SnapshotId="{snapshot}",
            Attribute="createVolumePermission",
        )
        for operation, owner in (
            ("ResetSnapshotAttribute", MAY),
            ("DescribeSnapshotAttribute", SEES),
        )
    ),
    shared(
        "RegisterImage",
        *(UNKNOWN, MAY),
        Name="theirs",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=_ROOT,
    ),
)
