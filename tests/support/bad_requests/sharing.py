"""Permissions of images and snapshots, block public access, Allowed AMIs, shared tags."""

from support.bad_requests.row import Bad

_NO_ORGANIZATION = "arn:aws:organizations::000000000001:organization/o-0000000000"
_NO_UNIT = "arn:aws:organizations::000000000001:ou/o-0000000000/ou-0000-00000000"
_BAD_ITEM = "InvalidAMIAttributeItemValue"
_IMAGE = {"ImageId": "{image}"}
_SNAPSHOT = {"SnapshotId": "{snapshot}"}
_PERMISSION = {"Attribute": "createVolumePermission"}


def _image(why: str, code: str, **request: object) -> Bad:
    return Bad(f"an image shared {why}", "ModifyImageAttribute", _IMAGE | request, code)


def _snapshot(why: str, code: str, **request: object) -> Bad:
    return Bad(f"a snapshot shared {why}", "ModifySnapshotAttribute", _SNAPSHOT | request, code)


def _criteria(why: str, *criteria: object, code: str = "InvalidParameterValue") -> Bad:
    operation = "ReplaceImageCriteriaInAllowedImagesSettings"
    return Bad(f"criteria: {why}", operation, {"ImageCriteria": list(criteria)}, code)


IMAGES = (
    _image(
        "with no organization",
        _BAD_ITEM,
        LaunchPermission={"Add": [{"OrganizationArn": _NO_ORGANIZATION}]},
    ),
    _image(
        "with no unit",
        _BAD_ITEM,
        OperationType="add",
        OrganizationalUnitArns=[_NO_UNIT],
    ),
    _image(
        "with a unit as an organization",
        _BAD_ITEM,
        OperationType="add",
        OrganizationArns=[_NO_UNIT],
    ),
    _image(
        "with an account nobody has",
        _BAD_ITEM,
        OperationType="add",
        UserIds=["999999999999"],
    ),
    _image(
        "with an account with hyphens",
        _BAD_ITEM,
        OperationType="remove",
        UserIds=["9999-9999-9999"],
    ),
    _image(
        "with a list in both forms",
        "InvalidParameterCombination",
        LaunchPermission={"Add": [{"Group": "all"}]},
        OperationType="add",
        UserGroups=["all"],
    ),
    _image("with nobody", "InvalidParameterCombination", LaunchPermission={"Add": [{}]}),
    _image("without a word how", "MissingParameter", UserGroups=["all"]),
    Bad(
        "an image of another shared",
        "ModifyImageAttribute",
        {"ImageId": "{foreign_public_image}", "OperationType": "remove", "UserGroups": ["all"]},
        "AuthFailure",
    ),
    Bad(
        "an image of another made private",
        "ResetImageAttribute",
        {"ImageId": "{foreign_public_image}", "Attribute": "launchPermission"},
        "AuthFailure",
    ),
    Bad("giving up one's own image", "CancelImageLaunchPermission", _IMAGE, "InvalidRequest"),
    Bad(
        "giving up a public image",
        "CancelImageLaunchPermission",
        {"ImageId": "{foreign_public_image}"},
        "InvalidRequest",
    ),
    Bad(
        "giving up an image never shared",
        "CancelImageLaunchPermission",
        {"ImageId": "{foreign_image}"},
        "InvalidAMIID.NotFound",
    ),
    Bad("giving up nothing", "CancelImageLaunchPermission", {}, "MissingParameter"),
    Bad(
        "a shared tag on an image of another",
        "CreateTags",
        {
            "Resources": ["{foreign_public_image}"],
            "Tags": [{"Key": "ec2:SharedTag/status", "Value": "mine"}],
        },
        "AuthFailure",
    ),
    Bad(
        "a shared tag of another taken away",
        "DeleteTags",
        {"Resources": ["{foreign_public_image}"], "Tags": [{"Key": "ec2:SharedTag/status"}]},
        "AuthFailure",
    ),
)

SNAPSHOTS = (
    _snapshot("with nobody", "MissingParameter"),
    _snapshot("in an empty list", "MissingParameter", CreateVolumePermission={"Add": []}),
    _snapshot(
        "with a group that is none",
        "InvalidParameterValue",
        OperationType="add",
        GroupNames=["some"],
    ),
    _snapshot(
        "with an account that is none",
        "InvalidUserID.Malformed",
        OperationType="add",
        UserIds=["me"],
    ),
    _snapshot(
        "with an account nobody has",
        "InvalidParameterValue",
        OperationType="add",
        UserIds=["999999999999"],
    ),
    _snapshot(
        "by its product codes",
        "InvalidParameterValue",
        Attribute="productCodes",
        OperationType="add",
        GroupNames=["all"],
    ),
    _snapshot(
        "by an operation that is none",
        "InvalidParameterValue",
        OperationType="grant",
        GroupNames=["all"],
    ),
    _snapshot(
        "and not at once",
        "InvalidParameterCombination",
        CreateVolumePermission={"Add": [{"Group": "all"}], "Remove": [{"Group": "all"}]},
    ),
    _snapshot(
        "with 501 at once",
        "InvalidParameterValue",
        OperationType="add",
        UserIds=[f"{n:012d}" for n in range(501)],
    ),
    Bad(
        "a snapshot of another shared",
        "ModifySnapshotAttribute",
        {"SnapshotId": "{foreign_snapshot}", "OperationType": "add", "GroupNames": ["all"]},
        "InvalidSnapshot.NotFound",
    ),
    Bad(
        "a snapshot of another looked at",
        "DescribeSnapshotAttribute",
        {"SnapshotId": "{foreign_snapshot}", **_PERMISSION},
        "InvalidSnapshot.NotFound",
    ),
    Bad(
        "a snapshot of another made private",
        "ResetSnapshotAttribute",
        {"SnapshotId": "{foreign_snapshot}", **_PERMISSION},
        "InvalidSnapshot.NotFound",
    ),
    Bad("no attribute of a snapshot", "DescribeSnapshotAttribute", _SNAPSHOT, "MissingParameter"),
    Bad(
        "an attribute of a snapshot that is none",
        "DescribeSnapshotAttribute",
        {**_SNAPSHOT, "Attribute": "color"},
        "InvalidRequest",
    ),
    Bad(
        "an attribute of a snapshot that cannot be reset",
        "ResetSnapshotAttribute",
        {**_SNAPSHOT, "Attribute": "productCodes"},
        "InvalidRequest",
    ),
)

SETTINGS = (
    Bad("images blocked by no mode", "EnableImageBlockPublicAccess", {}, "MissingParameter"),
    Bad(
        "images blocked as snapshots are",
        "EnableImageBlockPublicAccess",
        {"ImageBlockPublicAccessState": "block-all-sharing"},
        "InvalidParameterValue",
    ),
    Bad("snapshots blocked by no mode", "EnableSnapshotBlockPublicAccess", {}, "MissingParameter"),
    Bad(
        "snapshots unblocked by blocking",
        "EnableSnapshotBlockPublicAccess",
        {"State": "unblocked"},
        "InvalidParameterValue",
    ),
    Bad("allowed images in no state", "EnableAllowedImagesSettings", {}, "MissingParameter"),
    Bad(
        "allowed images enabled as disabled",
        "EnableAllowedImagesSettings",
        {"AllowedImagesSettingsState": "disabled"},
        "InvalidParameterValue",
    ),
    _criteria("a provider that is none", {"ImageProviders": ["me"]}),
    _criteria("nobody and somebody", {"ImageProviders": ["none", "amazon"]}),
    _criteria("nobody, or a name", {"ImageProviders": ["none"]}, {"ImageNames": ["web"]}),
    _criteria("a name with a colon", {"ImageNames": ["web:*"]}),
    _criteria("a code with a hyphen", {"MarketplaceProductCodes": ["a-b"]}),
    _criteria("days before now", {"CreationDateCondition": {"MaximumDaysSinceCreated": -1}}),
    _criteria("a severity that is none", {"ScanResultCondition": {"MaximumSeverityLabel": "x"}}),
    _criteria("eleven", *({"ImageNames": [f"web-{n}"]} for n in range(11))),
    _criteria("fifty-one names", {"ImageNames": [f"web-{n}" for n in range(51)]}),
)
