"""Imports of disks."""

from support.bad_requests.row import Bad

_NEVER = "0123456789abcdef0"


def _bad(why: str, code: str, disk: dict[str, object], **more: object) -> Bad:
    asked = {"DiskContainer": disk} | more
    return Bad(f"a disk's import {why}", "ImportSnapshot", asked, code)


def _image(why: str, code: str, *disks: dict[str, object], **more: object) -> Bad:
    given = list(disks) or [{"SnapshotId": "{snapshot}"}]
    return Bad(f"an image's import {why}", "ImportImage", {"DiskContainers": given} | more, code)


def _tagged(kind: str) -> list[dict[str, object]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "a", "Value": "b"}]}]


_DISK: dict[str, object] = {"Url": "s3://never-made/disk.raw"}

IMPORTS = (
    Bad("a disk's import of nothing", "ImportSnapshot", {}, "MissingParameter"),
    _bad("from a bucket that is not there", "InvalidParameter", _DISK),
    _bad("from nowhere", "InvalidParameterCombination", {"Format": "RAW"}),
    _bad(
        "from two places",
        "InvalidParameterCombination",
        {**_DISK, "UserBucket": {"S3Bucket": "never-made", "S3Key": "k"}},
    ),
    _bad("without a key", "MissingParameter", {"UserBucket": {"S3Bucket": "never-made"}}),
    _bad("from no bucket's name", "InvalidParameterValue", {"Url": "s3://No_Bucket/disk"}),
    _bad("from above the bucket", "InvalidParameterValue", {"Url": "s3://never-made/../disk"}),
    _bad("from the web", "InvalidParameterValue", {"Url": "https://example.com/disk.raw?sig=x"}),
    _bad("from the metadata service", "InvalidParameterValue", {"Url": "http://169.254.169.254/"}),
    _bad("from the host", "InvalidParameterValue", {"Url": "file:///etc/shadow"}),
    _bad("of an archive", "InvalidParameterValue", _DISK | {"Format": "OVA"}),
    _bad("of a format that is none", "InvalidParameterValue", _DISK | {"Format": "vdi"}),
    _bad("by another role", "InvalidParameterValue", _DISK, RoleName="admin"),
    _bad("that is encrypted", "UnsupportedOperation", _DISK, Encrypted=True),
    _bad("with a key for nothing", "InvalidParameterDependency", _DISK, KmsKeyId="alias/k"),
    _bad("tagged as an image", "InvalidParameterValue", _DISK, TagSpecifications=_tagged("image")),
    _bad("by a long token", "InvalidClientToken", _DISK, ClientToken="x" * 65),
    Bad("an image's import of nothing", "ImportImage", {}, "MissingParameter"),
    _image("of no snapshot", "InvalidSnapshotID.Malformed", {"SnapshotId": "{image}"}),
    _image("of one nobody has", "InvalidSnapshot.NotFound", {"SnapshotId": f"snap-{_NEVER}"}),
    _image("of a stranger's", "InvalidSnapshot.NotFound", {"SnapshotId": "{foreign_snapshot}"}),
    _image("of 22 disks", "InvalidParameterValue", *[_DISK] * 22),
    _image(
        "of an archive and more",
        "InvalidParameterCombination",
        _DISK | {"Format": "OVA"},
        _DISK,
    ),
    _image("as no device", "InvalidBlockDeviceMapping", _DISK | {"DeviceName": "C:"}),
    _image("for another machine", "InvalidParameterValue", Architecture="arm64"),
    _image("of Windows", "InvalidParameterValue", Platform="Windows"),
    _image("that would rather", "InvalidParameterValue", BootMode="uefi-preferred"),
    _image("with a licence", "UnsupportedOperation", LicenseType="BYOL"),
    _image("from the web", "InvalidParameterValue", {"Url": "https://example.com/disk.ova"}),
    Bad("no import's end", "CancelImportTask", {}, "MissingParameter"),
    Bad(
        "the end of what is none",
        "CancelImportTask",
        {"ImportTaskId": "{image}"},
        "InvalidConversionTaskId.Malformed",
    ),
    Bad(
        "the end of an import nobody has",
        "CancelImportTask",
        {"ImportTaskId": f"import-ami-{_NEVER}"},
        "InvalidConversionTaskId",
    ),
    *(
        Bad(f"{operation} {why}", operation, asked, code)
        for operation, prefix in (
            ("DescribeImportSnapshotTasks", "import-snap"),
            ("DescribeImportImageTasks", "import-ami"),
        )
        for why, asked, code in (
            ("of nobody's", {"ImportTaskIds": [f"{prefix}-{_NEVER}"]}, "InvalidConversionTaskId"),
            ("of none", {"ImportTaskIds": ["x"]}, "InvalidConversionTaskId.Malformed"),
            (
                "by a filter that is none",
                {"Filters": [{"Name": "color", "Values": ["red"]}]},
                "InvalidParameterValue",
            ),
            ("by another's page", {"NextToken": "x"}, "InvalidNextToken"),
            ("in pages of none", {"MaxResults": 0}, "InvalidParameterValue"),
        )
    ),
)
