"""Images. "{image}" is private and shared with the reader, "{disabled_image}" was so before.

"{report}" is on the use of "{image}" by its owner.
"""

from typing import Final

from support.access.row import MAY, NOTHING, SEES, Access, own, shared

UNKNOWN: Final = "InvalidAMIID.NotFound"
NOT_YOURS: Final = "AuthFailure"
NO_REPORT: Final = "InvalidImageUsageReportId.NotFound"
GONE: Final = "InvalidAMIID.Unavailable"
_LATER: Final = "2030-01-01T00:00:00Z"
_TYPES: Final = {"SupportedInstanceTypes": ["t3.*"]}
_COPY: Final = {"Name": "theirs", "SourceRegion": "us-east-1"}
_OF_ALL: Final = {"IncludeAllResourceTypes": True}
_LAUNCH: Final = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}

ROWS: Final[tuple[Access, ...]] = (
    Access(
        operation="DescribeImages",
        request={"ImageIds": ["{image}"]},
        stranger=UNKNOWN,
        reader=SEES,
        owner=SEES,
        hides=("the owner",),
    ),
    shared(
        "DescribeImages",
        UNKNOWN,
        UNKNOWN,
        SEES,
        ImageIds=["{disabled_image}"],
        IncludeDisabled=True,
    ),
    shared("RunInstances", UNKNOWN, MAY, ImageId="{image}", **_LAUNCH),
    shared("RunInstances", UNKNOWN, UNKNOWN, GONE, ImageId="{disabled_image}", **_LAUNCH),
    shared("CopyImage", UNKNOWN, MAY, SourceImageId="{image}", **_COPY),
    shared("CopyImage", UNKNOWN, UNKNOWN, MAY, SourceImageId="{disabled_image}", **_COPY),
    shared("CancelImageLaunchPermission", UNKNOWN, MAY, "InvalidRequest", ImageId="{image}"),
    shared("GetImageAncestry", UNKNOWN, SEES, SEES, ImageId="{image}"),
    shared("DescribeFastLaunchImages", NOTHING, NOTHING, NOTHING, ImageIds=["{image}"]),
    Access(
        operation="DescribeImageReferences",
        request={"ImageIds": ["{image}"], **_OF_ALL},
        stranger=UNKNOWN,
        reader=SEES,
        owner=SEES,
        shows="{my_template_of_image}",
        hides=("{instance}", "{template}"),
    ),
    *(
        own(operation, NO_REPORT, SEES, ReportIds=["{report}"])
        for operation in ("DescribeImageUsageReports", "DescribeImageUsageReportEntries")
    ),
    *(
        Access(
            operation=operation,
            request={"ImageIds": ["{image}"]},
            stranger=NOTHING,
            reader=NOTHING,
            owner=SEES,
            shows="{report}",
        )
        for operation in ("DescribeImageUsageReports", "DescribeImageUsageReportEntries")
    ),
    own("DeleteImageUsageReport", NO_REPORT, ReportId="{report}"),
    *(
        shared(operation, UNKNOWN, NOT_YOURS, ImageId="{image}", **more)
        for operation, more in {
            "CreateImageUsageReport": {"ResourceTypes": [{"ResourceType": "ec2:Instance"}]},
            "DeregisterImage": {},
            "ModifyImageAttribute": {"Description": {"Value": "mine"}},
            "ResetImageAttribute": {"Attribute": "launchPermission"},
            "AttachImageWatermark": {"WatermarkName": "mine"},
            "DetachImageWatermark": {"WatermarkKey": "111111111111:mine"},
            "ReplaceImageInstanceTypeSpecification": {"InstanceTypeSpecification": _TYPES},
            "DisableImage": {},
            "EnableImageDeprecation": {"DeprecateAt": _LATER},
            "DisableImageDeprecation": {},
            "EnableImageDeregistrationProtection": {},
            "DisableImageDeregistrationProtection": {},
        }.items()
    ),
    shared("EnableImage", UNKNOWN, UNKNOWN, ImageId="{disabled_image}"),
    *(
        shared(
            "DescribeImageAttribute",
            *(UNKNOWN, NOT_YOURS, SEES),
            ImageId="{image}",
            Attribute=attribute,
        )
        for attribute in (
            *("launchPermission", "description", "lastLaunchedTime"),
            "deregistrationProtection",
        )
    ),
    # EC2 tells it nobody this way.
    shared(
        "DescribeImageAttribute",
        *(NOT_YOURS, NOT_YOURS, NOT_YOURS),
        ImageId="{image}",
        Attribute="blockDeviceMapping",
    ),
)
