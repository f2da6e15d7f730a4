"""Images, their attributes, and tags."""

from support.bad_requests.row import Bad

_ROOT = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{snapshot}"}}
_OF = {"RootDeviceName": "/dev/xvda", "Architecture": "x86_64", "VirtualizationType": "hvm"}


def _register(why: str, code: str, **changed: object) -> Bad:
    request = {"Name": "bad one", **_OF, "BlockDeviceMappings": [_ROOT]} | changed
    return Bad(why, "RegisterImage", {k: v for k, v in request.items() if v is not None}, code)


def _create(why: str, code: str, **changed: object) -> Bad:
    request = {"InstanceId": "{running}", "Name": "bad one", "NoReboot": True} | changed
    return Bad(why, "CreateImage", {k: v for k, v in request.items() if v is not None}, code)


def _root(**ebs: object) -> list[dict[str, object]]:
    return [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{snapshot}", **ebs}}]


REGISTERED = (
    _register("no name", "MissingParameter", Name=None),
    _register("a name of two characters", "InvalidAMIName.Malformed", Name="ab"),
    _register("a name of 129 characters", "InvalidAMIName.Malformed", Name="a" * 129),
    _register("a name with a star", "InvalidAMIName.Malformed", Name="web*"),
    _register("a name of another script", "InvalidAMIName.Malformed", Name="wéb"),
    _register("a name that is taken", "InvalidAMIName.Duplicate", Name="{image_name}"),
    _register("no root", "InvalidBlockDeviceMapping", BlockDeviceMappings=None),
    _register("another root", "InvalidBlockDeviceMapping", RootDeviceName="/dev/sda1"),
    _register(
        "a root without a snapshot",
        "InvalidBlockDeviceMapping",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}],
    ),
    _register(
        "a root smaller than its snapshot",
        "InvalidBlockDeviceMapping",
        BlockDeviceMappings=_root(VolumeSize=1),
    ),
    _register(
        "a root encrypted beside its snapshot",
        "InvalidBlockDeviceMapping",
        BlockDeviceMappings=_root(Encrypted=True),
    ),
    _register(
        "an unencrypted flag beside a snapshot",
        "InvalidBlockDeviceMapping",
        BlockDeviceMappings=_root(Encrypted=False),
    ),
    _register(
        "a disk of a type that is none",
        "InvalidParameterValue|UnknownVolumeType",
        BlockDeviceMappings=_root(VolumeType="floppy"),
    ),
    _register(
        "io1 without iops",
        "InvalidParameterCombination",
        BlockDeviceMappings=_root(VolumeSize=8, VolumeType="io1"),
    ),
    _register("a device twice", "InvalidBlockDeviceMapping", BlockDeviceMappings=[_ROOT, _ROOT]),
    _register(
        "a snapshot nobody has",
        "InvalidSnapshot.NotFound",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}
        ],
    ),
    _register("an architecture that is none", "InvalidParameterValue", Architecture="z80"),
    _register("a virtualization that is none", "InvalidParameterValue", VirtualizationType="magic"),
    _register("a boot mode that is none", "InvalidParameterValue", BootMode="floppy"),
    _register("an IMDS version that is none", "InvalidParameterValue", ImdsSupport="v3.0"),
    _register(
        "tags for a snapshot",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
)

CREATED = (
    _create("no name", "MissingParameter", Name=None),
    _create("no instance", "MissingParameter", InstanceId=None),
    _create("a name of two characters", "InvalidAMIName.Malformed", Name="ab"),
    _create("a name with a colon", "InvalidAMIName.Malformed", Name="web:1"),
    _create("a name that is taken", "InvalidAMIName.Duplicate", Name="{image_name}"),
    _create(
        "no root",
        "InvalidBlockDeviceMapping",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "NoDevice": ""}],
    ),
    _create(
        "a root of another size",
        "InvalidBlockDeviceMapping|InvalidParameterValue",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 100}}],
    ),
    _create(
        "a root of another snapshot",
        "InvalidBlockDeviceMapping|InvalidParameterValue",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{snapshot}"}}],
    ),
    _create(
        "an added disk without size",
        "MissingParameter|InvalidBlockDeviceMapping",
        BlockDeviceMappings=[{"DeviceName": "/dev/sdk", "Ebs": {"VolumeType": "gp3"}}],
    ),
    _create(
        "an added disk nobody has",
        "InvalidSnapshot.NotFound",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdk", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}
        ],
    ),
    _create(
        "tags for an instance",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    _create(
        "a tag twice",
        "InvalidParameterValue",
        TagSpecifications=[
            {
                "ResourceType": "image",
                "Tags": [{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}],
            }
        ],
    ),
    Bad(
        "an image deregistered twice",
        "DeregisterImage",
        {"ImageId": "{gone_image}"},
        "InvalidAMIID.Unavailable",
    ),
    Bad("deregistering nothing", "DeregisterImage", {}, "MissingParameter"),
)

_ID = {"ImageId": "{image}"}


def _modify(why: str, code: str, **request: object) -> Bad:
    return Bad(why, "ModifyImageAttribute", _ID | request, code)


def _permit(why: str, code: str, **permission: object) -> Bad:
    return _modify(why, code, LaunchPermission={"Add": [permission]})


ATTRIBUTES = (
    Bad(
        "reading the disks",
        "DescribeImageAttribute",
        {**_ID, "Attribute": "blockDeviceMapping"},
        "AuthFailure",
    ),
    Bad(
        "reading an attribute that is none",
        "DescribeImageAttribute",
        {**_ID, "Attribute": "color"},
        "InvalidRequest",
    ),
    Bad("reading no attribute", "DescribeImageAttribute", _ID, "MissingParameter"),
    _modify("changing nothing", "InvalidParameterCombination"),
    _modify("changing the disks", "InvalidParameter", Attribute="blockDeviceMapping", Value="x"),
    _modify(
        "changing an attribute that is none",
        "InvalidParameterCombination",
        Attribute="color",
        Value="red",
    ),
    _modify(
        "changing the kernel",
        "InvalidParameterCombination",
        Attribute="kernel",
        Value="aki-12345678",
    ),
    _modify(
        "changing two at once",
        "InvalidParameterCombination",
        Description={"Value": "x"},
        LaunchPermission={"Add": [{"Group": "all"}]},
    ),
    _modify("a description without a value", "MissingParameter", Attribute="description"),
    _modify("IMDS back to version 1", "InvalidParameterValue", ImdsSupport={"Value": "v1.0"}),
    _modify(
        "an operation that is none",
        "InvalidParameterValue",
        Attribute="launchPermission",
        OperationType="grant",
        UserGroups=["all"],
    ),
    _modify(
        "permissions for nobody",
        "InvalidParameterCombination|MissingParameter",
        LaunchPermission={"Add": []},
        Attribute="launchPermission",
    ),
    _permit("permission for an account that is none", "InvalidAMIAttributeItemValue", UserId="me"),
    _permit("permission for a group that is none", "InvalidAMIAttributeItemValue", Group="friends"),
    _permit(
        "permission for an organization that is none",
        "InvalidAMIAttributeItemValue",
        OrganizationArn="arn:aws:nothing",
    ),
    _modify(
        "one good permission and one bad",
        "InvalidAMIAttributeItemValue",
        LaunchPermission={"Add": [{"Group": "all"}, {"UserId": "me"}]},
    ),
    Bad(
        "resetting the description",
        "ResetImageAttribute",
        {**_ID, "Attribute": "description"},
        "InvalidRequest",
    ),
    Bad("resetting nothing", "ResetImageAttribute", _ID, "MissingParameter"),
)


def _tag(why: str, code: str, *pairs: tuple[str, str]) -> Bad:
    tags = [{"Key": key, "Value": value} for key, value in pairs]
    return Bad(why, "CreateTags", {"Resources": ["{image}"], "Tags": tags}, code)


TAGS = (
    _tag("a reserved key", "InvalidParameterValue", ("aws:mine", "x")),
    _tag("a reserved key in capitals", "InvalidParameterValue", ("AWS:mine", "x")),
    _tag("a key of 129 characters", "InvalidParameterValue", ("k" * 129, "x")),
    _tag("an empty key", "InvalidParameterValue", ("", "x")),
    _tag("a value of 257 characters", "InvalidParameterValue", ("k", "v" * 257)),
    _tag("a key twice", "InvalidParameterValue", ("k", "1"), ("k", "2")),
    _tag("fifty-one tags", "TagLimitExceeded", *((f"k{n}", "v") for n in range(51))),
    _tag("no tags", "MissingParameter"),
    Bad(
        "fifty more beside one",
        "CreateTags",
        {"Resources": ["{tagged}"], "Tags": [{"Key": f"k{n}", "Value": ""} for n in range(50)]},
        "TagLimitExceeded",
    ),
    Bad(
        "tagging nothing", "CreateTags", {"Tags": [{"Key": "a", "Value": "b"}]}, "MissingParameter"
    ),
    Bad("untagging nothing", "DeleteTags", {"Tags": [{"Key": "a"}]}, "MissingParameter"),
)
