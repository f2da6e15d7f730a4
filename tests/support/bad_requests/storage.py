"""Volumes and snapshots."""

from support.bad_requests.row import Bad

_ZONE = {"AvailabilityZone": "us-east-1a"}


def _create(why: str, code: str, **request: object) -> Bad:
    return Bad(why, "CreateVolume", _ZONE | request, code)


def _attach(why: str, code: str, **changed: str) -> Bad:
    request = {"VolumeId": "{volume}", "InstanceId": "{running}", "Device": "/dev/sdx"} | changed
    return Bad(why, "AttachVolume", request, code)


STORAGE = (
    _create("neither size nor snapshot", "MissingParameter"),
    Bad("no zone", "CreateVolume", {"Size": 1}, "MissingParameter"),
    _create(
        "a zone that is none",
        "InvalidParameterValue|InvalidZone.NotFound",
        AvailabilityZone="us-east-1q",
        Size=1,
    ),
    _create("no size", "InvalidParameterValue", Size=0),
    _create("a negative size", "InvalidParameterValue", Size=-1),
    _create("a size too large", "InvalidParameterValue", Size=20000, VolumeType="gp2"),
    _create("a size that is no number", "InvalidParameterValue", Size="8G"),
    _create(
        "a size below the snapshot's", "InvalidParameterValue", Size=1, SnapshotId="{snapshot}"
    ),
    _create(
        "a type that is none",
        "InvalidParameterValue|UnknownVolumeType",
        Size=1,
        VolumeType="floppy",
    ),
    _create("a cold disk too small", "InvalidParameterValue", Size=8, VolumeType="st1"),
    _create(
        "iops for a type without",
        "InvalidParameterCombination",
        Size=8,
        VolumeType="gp2",
        Iops=3000,
    ),
    _create(
        "io1 without iops", "InvalidParameterCombination|MissingParameter", Size=8, VolumeType="io1"
    ),
    _create(
        "throughput for a type without",
        "InvalidParameterCombination",
        Size=8,
        VolumeType="io1",
        Iops=100,
        Throughput=125,
    ),
    _create("a key without encryption", "InvalidParameterDependency", Size=1, KmsKeyId="alias/x"),
    _create(
        "a token used otherwise before",
        "IdempotentParameterMismatch",
        Size=3,
        ClientToken="{used_token}",
    ),
    _create(
        "tags for a snapshot",
        "InvalidParameterValue",
        Size=1,
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    Bad("a disk in use to delete", "DeleteVolume", {"VolumeId": "{attached}"}, "VolumeInUse"),
    Bad("no disk to delete", "DeleteVolume", {}, "MissingParameter"),
    _attach("a disk in use", "VolumeInUse", VolumeId="{attached}"),
    _attach("a disk of another zone", "InvalidVolume.ZoneMismatch", VolumeId="{volume_elsewhere}"),
    _attach("a device in use", "InvalidDevice.InUse|InvalidParameterValue", Device="/dev/xvda"),
    _attach("a device that is none", "InvalidParameterValue", Device="banana"),
    _attach(
        "a terminated instance", "IncorrectState|IncorrectInstanceState", InstanceId="{terminated}"
    ),
    Bad(
        "no device",
        "AttachVolume",
        {"VolumeId": "{volume}", "InstanceId": "{running}"},
        "MissingParameter",
    ),
    Bad(
        "detaching what is not attached", "DetachVolume", {"VolumeId": "{volume}"}, "IncorrectState"
    ),
    Bad(
        "detaching from another instance",
        "DetachVolume",
        {"VolumeId": "{attached}", "InstanceId": "{stopped}"},
        "InvalidAttachment.NotFound",
    ),
    Bad(
        "detaching from another device",
        "DetachVolume",
        {"VolumeId": "{attached}", "Device": "/dev/sdq"},
        "InvalidAttachment.NotFound",
    ),
    Bad(
        "detaching the root of a running server",
        "DetachVolume",
        {"VolumeId": "{attached}"},
        "OperationNotPermitted",
    ),
    Bad(
        "an attribute that is none",
        "DescribeVolumeAttribute",
        {"VolumeId": "{volume}", "Attribute": "color"},
        "InvalidParameterValue",
    ),
    Bad("a snapshot of nothing", "CreateSnapshot", {}, "MissingParameter"),
    Bad(
        "a snapshot with tags for a volume",
        "CreateSnapshot",
        {
            "VolumeId": "{volume}",
            "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}],
        },
        "InvalidParameterValue",
    ),
    Bad(
        "a snapshot in use to delete",
        "DeleteSnapshot",
        {"SnapshotId": "{snapshot}"},
        "InvalidSnapshot.InUse",
    ),
)
