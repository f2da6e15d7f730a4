"""SSM's parameters, by name: an account's own, so others may have one of the same name.

SSM knows no dry run: what a row uses up, no other row names.
"""

from typing import Any, Final

from support.access.row import NOTHING, SEES, Access

UNKNOWN: Final = "ParameterNotFound"
NO_RESOURCE: Final = "InvalidResourceId"
_KIND: Final = {"ResourceType": "Parameter"}
_IMAGE: Final = {"Type": "String", "DataType": "aws:ec2:image"}


def _own(operation: str, code: str, shows: str = "", owner: str = SEES, **request: Any) -> Access:
    return Access(
        service="ssm",
        operation=operation,
        request=request,
        stranger=code,
        reader=code,
        owner=owner,
        shows=shows,
    )


ROWS: Final[tuple[Access, ...]] = (
    _own("GetParameter", UNKNOWN, Name="{parameter}"),
    _own("GetParameters", NOTHING, shows="what the owner wrote", Names=["{parameter}"]),
    _own("GetParametersByPath", NOTHING, shows="what the owner wrote", Path="{path}"),
    _own("GetParameterHistory", UNKNOWN, Name="{parameter}"),
    _own(
        "DescribeParameters",
        NOTHING,
        ParameterFilters=[{"Key": "Name", "Values": ["{parameter}"]}],
    ),
    _own("LabelParameterVersion", UNKNOWN, owner=NOTHING, Name="{parameter}", Labels=["new"]),
    _own(
        "UnlabelParameterVersion",
        *(UNKNOWN, "'RemovedLabels': ['old']"),
        Name="{parameter}",
        ParameterVersion=1,
        Labels=["old"],
    ),
    _own("ListTagsForResource", NO_RESOURCE, "the owner", ResourceId="{parameter}", **_KIND),
    _own(
        "AddTagsToResource",
        NO_RESOURCE,
        owner=NOTHING,
        ResourceId="{parameter}",
        Tags=[{"Key": "mine", "Value": "1"}],
        **_KIND,
    ),
    _own(
        "RemoveTagsFromResource",
        NO_RESOURCE,
        owner=NOTHING,
        ResourceId="{parameter}",
        TagKeys=["mine"],
        **_KIND,
    ),
    _own("DeleteParameter", UNKNOWN, owner=NOTHING, Name="{spare_parameter}"),
    _own("DeleteParameters", NOTHING, "'DeletedParameters': ['/", Names=["{other_parameter}"]),
    # A parameter of an image must be of one that the account may launch.
    Access(
        service="ssm",
        operation="PutParameter",
        request={"Value": "{image}", "Name": "/mine", **_IMAGE},
        stranger="ValidationException",
        reader=NOTHING,
        owner=NOTHING,
    ),
)
