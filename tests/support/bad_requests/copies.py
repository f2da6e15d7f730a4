"""Copies of images, snapshots and volumes."""

from support.bad_requests.row import Bad

_OF_IMAGE = {"Name": "copied", "SourceImageId": "{image}", "SourceRegion": "us-east-1"}
_OF_SNAPSHOT = {"SourceSnapshotId": "{snapshot}", "SourceRegion": "us-east-1"}
_NEVER = "0123456789abcdef0"
_RESERVED = {"aws:a": "b"}


def _tags(kind: str, **pairs: str) -> list[dict[str, object]]:
    given = [{"Key": key, "Value": value} for key, value in pairs.items()]
    return [{"ResourceType": kind, "Tags": given}]


def _image(why: str, code: str, **changed: object) -> Bad:
    return Bad(f"an image's copy {why}", "CopyImage", _OF_IMAGE | changed, code)


def _snapshot(why: str, code: str, **changed: object) -> Bad:
    return Bad(f"a snapshot's copy {why}", "CopySnapshot", _OF_SNAPSHOT | changed, code)


IMAGES = (
    Bad(
        "an image's copy without a name",
        "CopyImage",
        {"SourceImageId": "{image}", "SourceRegion": "us-east-1"},
        "MissingParameter",
    ),
    Bad("an image's copy of nothing", "CopyImage", {"Name": "copied"}, "MissingParameter"),
    _image("with a short name", "InvalidAMIName.Malformed", Name="x"),
    _image("with a name that is taken", "InvalidAMIName.Duplicate", Name="{image_name}"),
    _image("of no image", "InvalidAMIID.Malformed", SourceImageId="{volume}"),
    _image("of an image nobody has", "InvalidAMIID.NotFound", SourceImageId=f"ami-{_NEVER}"),
    _image("of a stranger's image", "InvalidAMIID.NotFound", SourceImageId="{foreign_image}"),
    _image("of a lent image", "InvalidRequest", SourceImageId="{foreign_public_image}"),
    _image("of an image that is gone", "InvalidAMIID.Unavailable", SourceImageId="{gone_image}"),
    _image("of an image elsewhere", "InvalidAMIID.NotFound", SourceRegion="us-west-2"),
    _image("from nowhere", "InvalidRegion", SourceRegion="eu-north-9"),
    _image("that is encrypted", "UnsupportedOperation", Encrypted=True),
    _image("with a key for nothing", "InvalidParameterDependency", KmsKeyId="alias/k"),
    _image("at an Outpost", "UnsupportedOperation", DestinationOutpostArn="arn:aws:outposts:x"),
    _image("within a time", "UnsupportedOperation", SnapshotCopyCompletionDurationMinutes=15),
    _image("tagged as a volume", "InvalidParameterValue", TagSpecifications=_tags("volume", a="b")),
    _image("by a long token", "InvalidClientToken", ClientToken="x" * 65),
)

SNAPSHOTS = (
    Bad("a snapshot's copy of nothing", "CopySnapshot", {}, "MissingParameter"),
    _snapshot("of no snapshot", "InvalidSnapshotID.Malformed", SourceSnapshotId="{image}"),
    _snapshot("of one nobody has", "InvalidSnapshot.NotFound", SourceSnapshotId=f"snap-{_NEVER}"),
    _snapshot("of a stranger's", "InvalidSnapshot.NotFound", SourceSnapshotId="{foreign_snapshot}"),
    _snapshot("of one elsewhere", "InvalidSnapshot.NotFound", SourceRegion="us-west-2"),
    _snapshot("from nowhere", "InvalidRegion", SourceRegion="eu-north-9"),
    _snapshot("to elsewhere", "InvalidParameterValue", DestinationRegion="us-west-2"),
    _snapshot(
        "that was signed for another",
        "InvalidParameterValue",
        PresignedUrl=f"https://ec2.us-east-1.amazonaws.com/?SourceSnapshotId=snap-{_NEVER}",
    ),
    _snapshot("that is encrypted", "UnsupportedOperation", Encrypted=True),
    _snapshot("within a time", "UnsupportedOperation", CompletionDurationMinutes=15),
    _snapshot(
        "with a reserved tag",
        "InvalidParameterValue",
        TagSpecifications=_tags("snapshot", **_RESERVED),
    ),
)


def _volume(why: str, code: str, **changed: object) -> Bad:
    request = {"SourceVolumeId": "{volume}"} | changed
    return Bad(f"a volume's copy {why}", "CopyVolumes", request, code)


VOLUMES = (
    Bad("a volume's copy of nothing", "CopyVolumes", {}, "MissingParameter"),
    _volume("of no volume", "InvalidVolumeID.Malformed", SourceVolumeId="{image}"),
    _volume("of one nobody has", "InvalidVolume.NotFound", SourceVolumeId=f"vol-{_NEVER}"),
    _volume("of a stranger's", "InvalidVolume.NotFound", SourceVolumeId="{foreign_volume}"),
    _volume("that is smaller", "InvalidParameterValue", Size=1),
    _volume("of a type that is none", "InvalidParameterValue", VolumeType="floppy"),
    _volume("with the iops of gp2", "InvalidParameterCombination", Iops=3000),
    _volume("that is encrypted", "UnsupportedOperation", Encrypted=True),
    _volume("for many machines", "UnsupportedOperation", MultiAttachEnabled=True),
    _volume("tagged as an image", "InvalidParameterValue", TagSpecifications=_tags("image", a="b")),
)
