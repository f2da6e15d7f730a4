"""Filters, pages, and forms that no operation has."""

from support.bad_requests.row import Bad

_LISTED = (
    *("DescribeImages", "DescribeSnapshots", "DescribeVolumes", "DescribeInstances"),
    *("DescribeTags", "DescribeKeyPairs", "DescribeSecurityGroups", "DescribeSubnets"),
    *("DescribeVpcs", "DescribeInstanceStatus", "DescribeInstanceTypes"),
    *("DescribeAvailabilityZones", "DescribeNetworkInterfaces", "DescribeSecurityGroupRules"),
)
_MANY = [{"Name": "tag:a", "Values": [str(n) for n in range(201)]}]

FILTERS = (
    *(
        Bad(
            f"{operation} by a filter that is none",
            operation,
            {"Filters": [{"Name": "color", "Values": ["red"]}]},
            "InvalidParameterValue|InvalidFilter",
        )
        for operation in _LISTED
    ),
    Bad(
        "a filter without a name",
        "DescribeImages",
        {"Filters": [{"Values": ["x"]}]},
        "InvalidParameterValue|MissingParameter",
    ),
    Bad(
        "a filter with an empty name",
        "DescribeInstances",
        {"Filters": [{"Name": "", "Values": ["x"]}]},
        "InvalidParameterValue",
    ),
    Bad("201 values", "DescribeImages", {"Filters": _MANY}, "FilterLimitExceeded"),
    Bad("201 values of volumes", "DescribeVolumes", {"Filters": _MANY}, "FilterLimitExceeded"),
    Bad(
        "a region that is none",
        "DescribeRegions",
        {"RegionNames": ["mars-1"]},
        "InvalidParameterValue",
    ),
    Bad(
        "a zone that is none",
        "DescribeAvailabilityZones",
        {"ZoneNames": ["mars-1a"]},
        "InvalidParameterValue",
    ),
    Bad(
        "a type that is none",
        "DescribeInstanceTypes",
        {"InstanceTypes": ["t9.huge"]},
        "InvalidInstanceType",
    ),
    Bad(
        "an account attribute that is none",
        "DescribeAccountAttributes",
        {"AttributeNames": ["color"]},
        "InvalidParameterValue",
    ),
    Bad(
        "an attribute of a VPC that is none",
        "DescribeVpcAttribute",
        {"VpcId": "{vpc}", "Attribute": "color"},
        "InvalidParameterValue",
    ),
)

_PAGE = "InvalidParameterValue|InvalidMaxResults"

PAGES = (
    Bad("images by none at a time", "DescribeImages", {"MaxResults": 0}, _PAGE),
    Bad("images by 1001", "DescribeImages", {"MaxResults": 1001}, _PAGE),
    Bad("images by a word", "DescribeImages", {"MaxResults": "some"}, "InvalidParameterValue"),
    Bad("snapshots by 4", "DescribeSnapshots", {"MaxResults": 4}, _PAGE),
    Bad("snapshots by less than none", "DescribeSnapshots", {"MaxResults": -1}, _PAGE),
    Bad("instances by 4", "DescribeInstances", {"MaxResults": 4}, _PAGE),
    Bad("volumes by 1001", "DescribeVolumes", {"MaxResults": 1001}, _PAGE),
    Bad(
        "instances by number and by id",
        "DescribeInstances",
        {"MaxResults": 5, "InstanceIds": ["{running}"]},
        "InvalidParameterCombination",
    ),
    Bad(
        "snapshots by number and by id",
        "DescribeSnapshots",
        {"MaxResults": 5, "SnapshotIds": ["{snapshot}"]},
        "InvalidParameterCombination",
    ),
    Bad(
        "a token of ours to nobody",
        "DescribeImages",
        {"MaxResults": 5, "NextToken": "garbage"},
        "InvalidNextToken|InvalidParameterValue",
    ),
    Bad(
        "a token that is base64",
        "DescribeInstances",
        {"MaxResults": 5, "NextToken": "AAECAwQFBgc="},
        "InvalidNextToken|InvalidParameterValue",
    ),
    Bad(
        "a token that is an id",
        "DescribeVolumes",
        {"MaxResults": 5, "NextToken": "{volume}"},
        "InvalidNextToken|InvalidParameterValue",
    ),
)


def _form(why: str, code: str, operation: str = "DescribeImages", **form: str) -> Bad:
    return Bad(
        why, operation, {}, code, {name.replace("__", "."): text for name, text in form.items()}
    )


FORMS = (
    _form("an action that is none", "InvalidAction", Action="MakeCoffee"),
    _form("an action that openami lacks", "InvalidAction", Action="CreateFpgaImage", Name="x"),
    _form("an empty action", "MissingAction|InvalidAction", Action=""),
    _form("an action of another service", "InvalidAction", Action="AssumeRole"),
    _form("a version of the future", "NoSuchVersion|InvalidAction", Version="2099-01-01"),
    _form("a version that is a word", "NoSuchVersion|InvalidAction", Version="latest"),
    _form("an unknown parameter", "UnknownParameter", Colour="red"),
    _form("an unknown member of a list", "UnknownParameter", Filter__1__Colour="red"),
    _form("a list that is a text", "UnknownParameter|InvalidParameterValue", Filter="red"),
    _form(
        "a list numbered by words",
        "UnknownParameter|InvalidParameterValue",
        ImageId__one="ami-12345678",
    ),
    _form(
        "a list numbered from zero",
        "UnknownParameter|InvalidParameterValue",
        ImageId__0="ami-12345678",
    ),
    _form("a parameter of another operation", "UnknownParameter", InstanceId="i-12345678"),
    _form("a flag that is none", "InvalidParameterValue", DryRun="perhaps"),
    _form("a number with a comma", "InvalidParameterValue", MaxResults="1,000"),
    _form(
        "a parameter 40 levels deep",
        "UnknownParameter|InvalidParameterValue",
        **{"__".join("a" * 40): "x"},
    ),
    _form(
        "encryption, which openami lacks",
        "UnsupportedOperation",
        "CreateVolume",
        AvailabilityZone="us-east-1a",
        Size="1",
        Encrypted="true",
    ),
    _form(
        "a profile, which openami lacks",
        "UnsupportedOperation|InvalidParameterValue",
        "RunInstances",
        ImageId="ami-12345678",
        MinCount="1",
        MaxCount="1",
        IamInstanceProfile__Name="admin",
    ),
    _form(
        "spot, which openami lacks",
        "UnsupportedOperation",
        "RunInstances",
        ImageId="ami-12345678",
        MinCount="1",
        MaxCount="1",
        InstanceMarketOptions__MarketType="spot",
    ),
    _form(
        "user data that is no base64",
        "InvalidParameterValue",
        "ModifyInstanceAttribute",
        InstanceId="i-12345678",
        UserData__Value="%%%",
    ),
    _form(
        "key material that is no base64",
        "InvalidParameterValue|InvalidKey.Format",
        "ImportKeyPair",
        KeyName="k",
        PublicKeyMaterial="%%%",
    ),
)
