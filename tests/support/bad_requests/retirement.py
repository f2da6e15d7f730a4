"""Images on their way out, the Recycle Bin, locks and tiers of snapshots."""

from support.bad_requests.row import Bad

_FAR = "2031-06-01T00:00:00Z"
_AMI, _SNAP, _VOL = (f"{prefix}-0123456789abcdef0" for prefix in ("ami", "snap", "vol"))


def _deprecate(why: str, code: str, at: str | None, image: str = "{image}") -> Bad:
    request = {"ImageId": image, "DeprecateAt": at}
    named = {name: value for name, value in request.items() if value is not None}
    return Bad(f"deprecating {why}", "EnableImageDeprecation", named, code)


def _lock(why: str, code: str, **changed: object) -> Bad:
    request = {"SnapshotId": "{free_snapshot}", "LockMode": "governance"} | changed
    return Bad(f"a lock {why}", "LockSnapshot", request, code)


RETIREMENT = (
    _deprecate("in the past", "InvalidParameterValue", "2020-01-01T00:00:00Z"),
    _deprecate("in eleven years", "InvalidParameterValue", "2099-01-01T00:00:00Z"),
    _deprecate("at no time", "MissingParameter", None),
    Bad(
        "deprecating at a word",
        "EnableImageDeprecation",
        {"ImageId": "{image}"},
        "InvalidParameterValue",
        {"DeprecateAt": "tomorrow"},
    ),
    _deprecate("somebody else's image", "InvalidAMIID.NotFound", _FAR, "{foreign_image}"),
    _deprecate("a public image of others", "AuthFailure", _FAR, "{foreign_public_image}"),
    _deprecate("what is gone", "InvalidAMIID.Unavailable", _FAR, "{gone_image}"),
    Bad(
        "no more deprecation of a public image of others",
        "DisableImageDeprecation",
        {"ImageId": "{foreign_public_image}"},
        "AuthFailure",
    ),
    Bad("disabling no image", "DisableImage", {}, "MissingParameter"),
    Bad("disabling a word", "DisableImage", {"ImageId": "web"}, "InvalidAMIID.Malformed"),
    Bad(
        "disabling what is gone",
        "DisableImage",
        {"ImageId": "{gone_image}"},
        "InvalidAMIID.Unavailable",
    ),
    Bad("enabling what is enabled", "EnableImage", {"ImageId": "{image}"}, "IncorrectState"),
    Bad(
        "protecting an image of others",
        "EnableImageDeregistrationProtection",
        {"ImageId": "{foreign_public_image}"},
        "AuthFailure",
    ),
    Bad(
        "a cooldown that is neither true nor false",
        "EnableImageDeregistrationProtection",
        {"ImageId": "{image}"},
        "InvalidParameterValue",
        {"WithCooldown": "soon"},
    ),
    _lock("for no time", "MissingParameter"),
    _lock("for less than a day", "InvalidParameterValue", LockDuration=0),
    _lock("for more than a century", "InvalidParameterValue", LockDuration=36_501),
    _lock("until yesterday", "InvalidParameterValue", ExpirationDate="2020-01-01T00:00:00Z"),
    _lock("for two times", "InvalidParameterCombination", LockDuration=1, ExpirationDate=_FAR),
    _lock("in no mode that is one", "InvalidParameterValue", LockDuration=1, LockMode="forever"),
    _lock(
        "that cools off in governance",
        "InvalidParameterCombination",
        LockDuration=1,
        CoolOffPeriod=1,
    ),
    _lock("of others", "InvalidSnapshot.NotFound", LockDuration=1, SnapshotId="{foreign_snapshot}"),
    Bad("unlocking the unlocked", "UnlockSnapshot", {"SnapshotId": "{snapshot}"}, "IncorrectState"),
    Bad(
        "archiving the snapshot of an image",
        "ModifySnapshotTier",
        {"SnapshotId": "{snapshot}", "StorageTier": "archive"},
        "InvalidSnapshot.InUse",
    ),
    Bad(
        "a tier that is none",
        "ModifySnapshotTier",
        {"SnapshotId": "{free_snapshot}", "StorageTier": "attic"},
        "InvalidParameterValue",
    ),
    Bad(
        "restoring what is not archived",
        "RestoreSnapshotTier",
        {"SnapshotId": "{free_snapshot}", "PermanentRestore": True},
        "IncorrectState",
    ),
    Bad(
        "restoring for half a year and more",
        "RestoreSnapshotTier",
        {"SnapshotId": "{free_snapshot}", "TemporaryRestoreDays": 181},
        "InvalidParameterValue",
    ),
    *(
        Bad(f"{verb} fast restores {what}", f"{verb}FastSnapshotRestores", asked, code)
        for verb in ("Enable", "Disable")
        for what, asked, code in (
            ("in no zone", {"SourceSnapshotIds": ["{snapshot}"]}, "MissingParameter"),
            (
                "in a zone that is none",
                {"SourceSnapshotIds": ["{snapshot}"], "AvailabilityZones": ["us-west-2a"]},
                "InvalidParameterValue",
            ),
            (
                "of no snapshot id",
                {"SourceSnapshotIds": ["ami-1"], "AvailabilityZones": ["us-east-1a"]},
                "InvalidSnapshotID.Malformed",
            ),
        )
    ),
    Bad(
        "fast restores of a colour",
        "DescribeFastSnapshotRestores",
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
        "InvalidParameterValue",
    ),
    *(
        Bad(f"{operation} of an archived snapshot", operation, asked, "IncorrectState")
        for operation, asked in (
            (
                "CreateVolume",
                {"SnapshotId": "{archived_snapshot}", "AvailabilityZone": "us-east-1a"},
            ),
            (
                "CopySnapshot",
                {"SourceSnapshotId": "{archived_snapshot}", "SourceRegion": "us-east-1"},
            ),
            (
                "ModifySnapshotAttribute",
                {
                    "SnapshotId": "{archived_snapshot}",
                    "CreateVolumePermission": {"Add": [{"Group": "all"}]},
                },
            ),
        )
    ),
    Bad(
        "tiers of a colour",
        "DescribeSnapshotTierStatus",
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
        "InvalidParameterValue",
    ),
    Bad(
        "locked snapshots of a colour",
        "DescribeLockedSnapshots",
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
        "InvalidParameterValue",
    ),
    Bad(
        "four locked snapshots a page",
        "DescribeLockedSnapshots",
        {"MaxResults": 4},
        "InvalidParameterValue",
    ),
    *(
        Bad(f"restoring {noun} that is not in the bin", f"Restore{noun}FromRecycleBin", named, code)
        for noun, named, code in (
            ("Image", {"ImageId": "{image}"}, "InvalidAMIID.NotFound"),
            ("Snapshot", {"SnapshotId": "{free_snapshot}"}, "InvalidSnapshot.NotFound"),
            ("Volume", {"VolumeId": "{volume}"}, "InvalidVolume.NotFound"),
        )
    ),
    *(
        Bad(
            f"binned {noun} that never was",
            f"List{noun}sInRecycleBin",
            {f"{noun}Ids": [an_id]},
            code,
        )
        for noun, an_id, code in (
            ("Image", _AMI, "InvalidAMIID.NotFound"),
            ("Snapshot", _SNAP, "InvalidSnapshot.NotFound"),
            ("Volume", _VOL, "InvalidVolume.NotFound"),
        )
    ),
    Bad(
        "no binned image a page",
        "ListImagesInRecycleBin",
        {"MaxResults": 0},
        "InvalidParameterValue",
    ),
    Bad(
        "four binned volumes a page",
        "ListVolumesInRecycleBin",
        {"MaxResults": 4},
        "InvalidParameterValue",
    ),
    Bad(
        "twenty-one binned images by id",
        "ListImagesInRecycleBin",
        {"ImageIds": [f"ami-000000{n:02x}" for n in range(21)]},
        "InvalidParameterValue",
    ),
)
