"""What the reader made while something was shared with it, asked for after that was taken back.

"{my_former_copy}" is an image of the reader on "{former_snapshot}", "{my_former_parameter}" says
"{former_image}", and the reader tagged both of the owner's. Only the reader has these names.
"""

from typing import Any, Final

from support.access.row import NOTHING, Access, own

_ONE: Final = {"MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro"}
_IMAGE: Final = "InvalidAMIID.NotFound"
_SNAPSHOT: Final = "InvalidSnapshot.NotFound"
_STORAGE: Final = "InvalidRequest"


def _listed(operation: str, name: str, shows: str) -> Access:
    filters: Any = [{"Name": name, "Values": ["the reader"]}]
    request = {"Filters": filters}
    return Access(
        operation=operation, request=request, stranger=NOTHING, reader=NOTHING, shows=shows
    )


ROWS: Final[tuple[Access, ...]] = (
    own("RunInstances", _IMAGE, ImageId="{my_former_parameter}", **_ONE),
    own("RunInstances", _SNAPSHOT, ImageId="{my_former_copy}", **_ONE),
    own(
        "CopyImage",
        _STORAGE,
        SourceImageId="{my_former_copy}",
        Name="theirs",
        SourceRegion="us-east-1",
    ),
    own(
        "ExportImage",
        _STORAGE,
        ImageId="{my_former_copy}",
        DiskImageFormat="VMDK",
        S3ExportLocation={"S3Bucket": "{my_bucket}"},
    ),
    own("CreateStoreImageTask", _STORAGE, ImageId="{my_former_copy}", Bucket="{my_bucket}"),
    own(
        "CreateReplaceRootVolumeTask",
        _SNAPSHOT,
        InstanceId="{my_instance}",
        ImageId="{my_former_copy}",
    ),
    Access(
        service="ssm",
        operation="PutParameter",
        request={
            "Name": "/my/new",
            "Type": "String",
            "DataType": "aws:ec2:image",
            "Value": "{former_image}",
        },
        stranger="ValidationException",
        reader="ValidationException",
    ),
    _listed("DescribeImages", "tag:by", "{former_image}"),
    _listed("DescribeSnapshots", "tag:by", "{former_snapshot}"),
)
