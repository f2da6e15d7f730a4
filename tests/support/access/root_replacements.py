"""Replacements of a root volume: "{task}" was one of the owner's "{instance}"."""

from typing import Final

from support.access.row import SEES, Access, own

ROWS: Final[tuple[Access, ...]] = (
    own("CreateReplaceRootVolumeTask", "InvalidInstanceID.NotFound", InstanceId="{instance}"),
    own(
        "DescribeReplaceRootVolumeTasks",
        *("InvalidReplaceRootVolumeTaskId.NotFound", SEES),
        ReplaceRootVolumeTaskIds=["{task}"],
    ),
)
