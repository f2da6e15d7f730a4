"""Event windows: "{window}" is the owner's."""

from typing import Final

from support.access.row import SEES, Access, own

UNKNOWN: Final = "InvalidInstanceEventWindowID.NotFound"

_TAG: Final = {"InstanceTags": [{"Key": "tier", "Value": "web"}]}

ROWS: Final[tuple[Access, ...]] = (
    own("DescribeInstanceEventWindows", UNKNOWN, SEES, InstanceEventWindowIds=["{window}"]),
    own("ModifyInstanceEventWindow", UNKNOWN, InstanceEventWindowId="{window}", Name="theirs"),
    own("DeleteInstanceEventWindow", UNKNOWN, InstanceEventWindowId="{window}"),
    *(
        own(operation, UNKNOWN, InstanceEventWindowId="{window}", AssociationTarget=_TAG)
        for operation in ("AssociateInstanceEventWindow", "DisassociateInstanceEventWindow")
    ),
)
