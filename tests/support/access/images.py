"""Images. "{image}" is private and shared with the reader, "{disabled_image}" was so before."""

from typing import Final

from support.access.row import MAY, NOTHING, SEES, Access, shared

UNKNOWN: Final = "InvalidAMIID.NotFound"
NOT_YOURS: Final = "AuthFailure"
GONE: Final = "InvalidAMIID.Unavailable"
_LATER: Final = "2030-01-01T00:00:00Z"
_TYPES: Final = {"SupportedInstanceTypes": ["t3.*"]}
_COPY: Final = {"Name": "theirs", "SourceRegion": "us-east-1"}
_OF_ALL: Final = {"IncludeAllResourceTypes": True}
_LAUNCH: Final = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}

ROWS: Final[tuple[Access, ...]] = (
    shared("DescribeImages", UNKNOWN, SEES, SEES, ImageIds=["{image}"]),
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
    shared("DescribeImageReferences", UNKNOWN, NOTHING, SEES, ImageIds=["{image}"], **_OF_ALL),
    *(
        shared(operation, UNKNOWN, NOT_YOURS, ImageId="{image}", **more)
        for operation, more in {
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
    shared(
        "DescribeImageAttribute",
        *(UNKNOWN, NOT_YOURS, SEES),
        ImageId="{image}",
        Attribute="launchPermission",
    ),
)
