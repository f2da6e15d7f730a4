"""Questions about the use of images that cannot be asked."""

from typing import Any

from support.bad_requests.row import Bad

_NEVER = "ami-0123456789abcdef0"


def _references(why: str, code: str, **asked: Any) -> Bad:
    request = {"ImageIds": ["{image}"], "IncludeAllResourceTypes": True} | asked
    return Bad(f"references {why}", "DescribeImageReferences", request, code)


def _kind(name: str, option: str = "", *values: str) -> list[dict[str, Any]]:
    options = [{"OptionName": option, "OptionValues": list(values)}] if option else []
    return [{"ResourceType": name, "ResourceTypeOptions": options}]


REFERENCES = (
    _references("to no image", "InvalidAMIID.Malformed", ImageIds=["{volume}"]),
    _references("to an image nobody has", "InvalidAMIID.NotFound", ImageIds=[_NEVER]),
    _references("to a stranger's image", "InvalidAMIID.NotFound", ImageIds=["{foreign_image}"]),
    _references("to eleven images", "InvalidParameterValue", ImageIds=["{image}"] * 11),
    _references("of no type", "MissingParameter", IncludeAllResourceTypes=False),
    _references("of a volume", "InvalidParameterValue", ResourceTypes=_kind("ec2:Volume")),
    _references(
        "in a state that is none",
        "InvalidParameterValue",
        ResourceTypes=_kind("ec2:Instance", "state-name", "asleep"),
    ),
    _references(
        "of too many versions",
        "InvalidParameterValue",
        ResourceTypes=_kind("ec2:LaunchTemplate", "version-depth", "10001"),
    ),
    _references(
        "of instances' versions",
        "InvalidParameterCombination",
        ResourceTypes=_kind("ec2:Instance", "version-depth", "1"),
    ),
    _references("four at a time", "InvalidParameterValue", MaxResults=4),
    _references("after a token of nobody", "InvalidNextToken", NextToken="garbage"),
)
