"""Questions about the use of images that cannot be asked."""

from typing import Any

from support.bad_requests.row import Bad

_REPORT_ID = "InvalidImageUsageReportId"
_NEVER = "ami-0123456789abcdef0"


def _references(why: str, code: str, **asked: Any) -> Bad:
    request = {"ImageIds": ["{image}"], "IncludeAllResourceTypes": True} | asked
    return Bad(f"references {why}", "DescribeImageReferences", request, code)


def _kind(name: str, option: str = "", *values: str) -> list[dict[str, Any]]:
    options = [{"OptionName": option, "OptionValues": list(values)}] if option else []
    return [{"ResourceType": name, "ResourceTypeOptions": options}]


def _report(why: str, code: str, **asked: Any) -> Bad:
    request = {"ImageId": "{image}", "ResourceTypes": _kind("ec2:Instance")} | asked
    return Bad(f"a report {why}", "CreateImageUsageReport", request, code)


_LONG = "x" * 65
_NO_REPORT = "amiur-0123456789abcdef0"

REPORTS = (
    _report("on no image", "InvalidAMIID.Malformed", ImageId="{volume}"),
    _report("on an image nobody has", "InvalidAMIID.NotFound", ImageId=_NEVER),
    _report("on a stranger's image", "InvalidAMIID.NotFound", ImageId="{foreign_image}"),
    _report("on another's public image", "AuthFailure", ImageId="{foreign_public_image}"),
    _report("on an image that is gone", "InvalidAMIID.Unavailable", ImageId="{gone_image}"),
    _report("of nothing", "MissingParameter", ResourceTypes=[]),
    _report("of parameters", "InvalidParameterValue", ResourceTypes=_kind("ssm:Parameter")),
    _report(
        "of running instances",
        "InvalidParameterCombination",
        ResourceTypes=_kind("ec2:Instance", "state-name", "running"),
    ),
    _report("of an account by its name", "InvalidUserID.Malformed", AccountIds=["bob"]),
    _report(
        "tagged as an image",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    _report("by a long token", "InvalidClientToken", ClientToken=_LONG),
    *(
        Bad(f"{operation} of {why}", operation, request, code)
        for operation in ("DescribeImageUsageReports", "DescribeImageUsageReportEntries")
        for why, request, code in (
            ("an id that is none", {"ReportIds": ["{image}"]}, f"{_REPORT_ID}.Malformed"),
            ("a report nobody has", {"ReportIds": [_NO_REPORT]}, f"{_REPORT_ID}.NotFound"),
            ("an image that is none", {"ImageIds": ["{volume}"]}, "InvalidAMIID.Malformed"),
            ("none at a time", {"MaxResults": 0}, "InvalidParameterValue"),
            (
                "a filter that is none",
                {"Filters": [{"Name": "color", "Values": ["red"]}]},
                "InvalidParameterValue",
            ),
        )
    ),
    Bad(
        "an id deleted that is no report's",
        "DeleteImageUsageReport",
        {"ReportId": "{image}"},
        f"{_REPORT_ID}.Malformed",
    ),
    Bad(
        "a report deleted that nobody has",
        "DeleteImageUsageReport",
        {"ReportId": _NO_REPORT},
        f"{_REPORT_ID}.NotFound",
    ),
)

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
