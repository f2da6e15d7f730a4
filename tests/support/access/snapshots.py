"""Snapshots: "{snapshot}" is shared with the reader, "{free_snapshot}" is private."""

from typing import Final

from support.access.row import MAY, NOTHING, SEES, Access, own, shared

UNKNOWN: Final = "InvalidSnapshot.NotFound"
NOT_YOURS: Final = "AuthFailure"
IN_USE: Final = "InvalidSnapshot.InUse"
_LOCK: Final = {"LockMode": "governance", "LockDuration": 1}
_ROOT: Final = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{snapshot}"}}]

ROWS: Final[tuple[Access, ...]] = (
    Access(
        operation="DescribeSnapshots",
        request={"SnapshotIds": ["{snapshot}"]},
        stranger=UNKNOWN,
        reader=SEES,
        owner=SEES,
        hides=("the owner",),
    ),
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
    own("LockSnapshot", UNKNOWN, SnapshotId="{free_snapshot}", **_LOCK),
    shared("LockSnapshot", UNKNOWN, NOT_YOURS, SnapshotId="{snapshot}", **_LOCK),
    shared("UnlockSnapshot", UNKNOWN, NOT_YOURS, "IncorrectState", SnapshotId="{snapshot}"),
    own("DescribeLockedSnapshots", UNKNOWN, NOTHING, SnapshotIds=["{free_snapshot}"]),
    own("ModifySnapshotTier", UNKNOWN, SnapshotId="{free_snapshot}", StorageTier="archive"),
    shared(
        "ModifySnapshotTier",
        *(UNKNOWN, NOT_YOURS, IN_USE),
        SnapshotId="{snapshot}",
        StorageTier="archive",
    ),
    shared(
        "RestoreSnapshotTier",
        *(UNKNOWN, NOT_YOURS, "IncorrectState"),
        SnapshotId="{snapshot}",
        PermanentRestore=True,
    ),
    *(
        Access(
            operation=f"{verb}FastSnapshotRestores",
            request={"SourceSnapshotIds": [name], "AvailabilityZones": ["us-east-1a"]},
            stranger=NOTHING,
            reader=reader,
            owner=SEES,
            shows=f"'{verb.lower()[:-1]}ing'",  # what is refused is told beside
        )
        for verb, name, reader in (
            ("Enable", "{snapshot}", SEES),
            ("Disable", "{free_snapshot}", NOTHING),
        )
    ),
    own(
        "DescribeFastSnapshotRestores",
        *(NOTHING, SEES),
        Filters=[{"Name": "snapshot-id", "Values": ["{free_snapshot}"]}],
    ),
    shared(
        "RegisterImage",
        *(UNKNOWN, MAY),
        Name="theirs",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=_ROOT,
    ),
)
