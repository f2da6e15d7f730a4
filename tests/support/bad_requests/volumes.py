"""Replacements of root volumes, sets of snapshots, modified volumes."""

from support.bad_requests.row import Bad


def _replace(why: str, code: str, **changed: object) -> Bad:
    request = {"InstanceId": "{running}"} | changed
    return Bad(f"another root: {why}", "CreateReplaceRootVolumeTask", request, code)


REPLACED = (
    Bad("another root: of nothing", "CreateReplaceRootVolumeTask", {}, "MissingParameter"),
    _replace("of no instance", "InvalidInstanceID.Malformed", InstanceId="{volume}"),
    _replace("of a stopped server", "IncorrectInstanceState", InstanceId="{stopped}"),
    _replace("of a terminated server", "IncorrectInstanceState", InstanceId="{terminated}"),
    _replace(
        "of a stranger's server", "InvalidInstanceID.NotFound", InstanceId="{foreign_instance}"
    ),
    _replace(
        "of two sources", "InvalidParameterCombination", SnapshotId="{snapshot}", ImageId="{image}"
    ),
    _replace("of another lineage", "InvalidParameterValue", SnapshotId="{free_snapshot}"),
    _replace(
        "of a stranger's snapshot", "InvalidSnapshot.NotFound", SnapshotId="{foreign_snapshot}"
    ),
    _replace("of a stranger's image", "InvalidAMIID.NotFound", ImageId="{foreign_image}"),
    _replace("of an image that is gone", "InvalidAMIID.Unavailable", ImageId="{gone_image}"),
    _replace("of an image for i386", "Unsupported", ImageId="{i386_image}"),
    _replace("of a volume in use", "VolumeInUse", VolumeId="{attached_data}"),
    _replace("of a volume elsewhere", "InvalidVolume.ZoneMismatch", VolumeId="{volume_elsewhere}"),
    _replace("at a rate", "UnsupportedOperation", VolumeInitializationRate=100),
    _replace(
        "tagged as an instance",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    Bad(
        "a replacement that is none",
        "DescribeReplaceRootVolumeTasks",
        {"ReplaceRootVolumeTaskIds": ["replacevol-x"]},
        "InvalidReplaceRootVolumeTaskId.Malformed",
    ),
    Bad(
        "a replacement that nobody began",
        "DescribeReplaceRootVolumeTasks",
        {"ReplaceRootVolumeTaskIds": ["replacevol-0123456789abcdef0"]},
        "InvalidReplaceRootVolumeTaskId.NotFound",
    ),
)
