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


def _modify(why: str, code: str, **changed: object) -> Bad:
    return Bad(f"a change {why}", "ModifyVolume", {"VolumeId": "{volume}"} | changed, code)


def _set(why: str, code: str, **spec: object) -> Bad:
    request = {"InstanceSpecification": {"InstanceId": "{running}"} | spec}
    return Bad(f"a set of snapshots {why}", "CreateSnapshots", request, code)


CHANGED = (
    _modify("of nothing", "MissingParameter"),
    _modify("to less", "InvalidParameterValue", Size=1),
    _modify("to more than there is", "InvalidParameterValue", Size=70000),
    _modify("to a type that is none", "InvalidParameterValue", VolumeType="floppy"),
    _modify("to a type that is larger", "InvalidParameterValue", VolumeType="sc1"),
    _modify("of the iops of gp2", "InvalidParameterCombination", Iops=3000),
    _modify("to too few iops", "InvalidParameterValue", VolumeType="gp3", Iops=1),
    _modify("to too much throughput", "InvalidParameterValue", VolumeType="gp3", Throughput=9000),
    _modify("to many machines", "UnsupportedOperation", MultiAttachEnabled=True),
    _modify(
        "of a stranger's volume", "InvalidVolume.NotFound", VolumeId="{foreign_volume}", Size=9
    ),
    _modify("of no volume", "InvalidVolumeID.Malformed", VolumeId="{running}", Size=9),
    Bad(
        "changes of a volume that never changed",
        "DescribeVolumesModifications",
        {"VolumeIds": ["{volume}"]},
        "InvalidVolumeModification.NotFound",
    ),
    Bad(
        "no I/O by itself",
        "ModifyVolumeAttribute",
        {"VolumeId": "{volume}", "AutoEnableIO": {"Value": False}},
        "UnsupportedOperation",
    ),
    Bad(
        "I/O of a stranger's volume",
        "EnableVolumeIO",
        {"VolumeId": "{foreign_volume}"},
        "InvalidVolume.NotFound",
    ),
    Bad("a set of snapshots of nothing", "CreateSnapshots", {}, "MissingParameter"),
    _set("of a terminated server", "IncorrectInstanceState", InstanceId="{terminated}"),
    _set("of a stranger's server", "InvalidInstanceID.NotFound", InstanceId="{foreign_instance}"),
    _set("without its root as data", "InvalidParameterValue", ExcludeDataVolumeIds=["{attached}"]),
    _set("without a disk elsewhere", "InvalidParameterValue", ExcludeDataVolumeIds=["{volume}"]),
    _set(
        "without any disk",
        "InvalidParameterValue",
        ExcludeBootVolume=True,
        ExcludeDataVolumeIds=["{attached_data}"],
    ),
)
