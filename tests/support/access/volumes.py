"""Volumes: "{volume}" is free, "{attached}" is a data volume of "{instance}"."""

from typing import Final

from support.access.row import SEES, Access, own

UNKNOWN: Final = "InvalidVolume.NotFound"

ROWS: Final[tuple[Access, ...]] = (
    own("DescribeVolumes", UNKNOWN, SEES, VolumeIds=["{volume}"]),
    own("DescribeVolumeStatus", UNKNOWN, SEES, VolumeIds=["{volume}"]),
    own("DescribeVolumeAttribute", UNKNOWN, SEES, VolumeId="{volume}", Attribute="autoEnableIO"),
    own("CreateSnapshot", UNKNOWN, VolumeId="{volume}"),
    own("CopyVolumes", UNKNOWN, SourceVolumeId="{volume}"),
    own("DeleteVolume", UNKNOWN, VolumeId="{volume}"),
    own("DetachVolume", UNKNOWN, VolumeId="{attached}"),
    own("ModifyVolume", UNKNOWN, VolumeId="{attached}", Size=9),
    own(
        "DescribeVolumesModifications",
        UNKNOWN,
        "InvalidVolumeModification.NotFound",
        VolumeIds=["{volume}"],
    ),
    own("EnableVolumeIO", UNKNOWN, VolumeId="{volume}"),
    own("ModifyVolumeAttribute", UNKNOWN, VolumeId="{volume}", AutoEnableIO={"Value": True}),
    own(
        "CreateSnapshots",
        "InvalidInstanceID.NotFound",
        InstanceSpecification={"InstanceId": "{instance}"},
    ),
)
