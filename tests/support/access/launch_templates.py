"""Launch templates, by id and by name: nothing of them can be shared."""

from typing import Final

from support.access.row import MAY, SEES, Access, own, shared

UNKNOWN: Final = "InvalidLaunchTemplateId.NotFound"
UNKNOWN_NAME: Final = "InvalidLaunchTemplateName.NotFoundException"
_DATA: Final = {"InstanceType": "t3.micro"}
_ONE: Final = {"MinCount": 1, "MaxCount": 1}


def _both(operation: str, owner: str = MAY, **request: object) -> tuple[Access, Access]:
    return (
        own(operation, UNKNOWN, owner, LaunchTemplateId="{template}", **request),
        own(operation, UNKNOWN_NAME, owner, LaunchTemplateName="{template_name}", **request),
    )


ROWS: Final[tuple[Access, ...]] = (
    own("DescribeLaunchTemplates", UNKNOWN, SEES, LaunchTemplateIds=["{template}"]),
    own("DescribeLaunchTemplates", UNKNOWN_NAME, SEES, LaunchTemplateNames=["{template_name}"]),
    *_both("DescribeLaunchTemplateVersions", SEES),
    *_both("CreateLaunchTemplateVersion", LaunchTemplateData=_DATA),
    *_both("ModifyLaunchTemplate", DefaultVersion="1"),
    *_both("DeleteLaunchTemplate"),
    *_both("DeleteLaunchTemplateVersions", Versions=["2"]),
    # A name that another has taken is free.
    shared(
        *("CreateLaunchTemplate", MAY, MAY, "InvalidLaunchTemplateName.AlreadyExistsException"),
        LaunchTemplateName="{template_name}",
        LaunchTemplateData=_DATA,
    ),
    own("RunInstances", UNKNOWN, LaunchTemplate={"LaunchTemplateId": "{template}"}, **_ONE),
    Access(
        operation="GetLaunchTemplateData",
        request={"InstanceId": "{instance}"},
        stranger="InvalidInstanceID.NotFound",
        reader="InvalidInstanceID.NotFound",
        owner=SEES,
        shows="SubnetId",
    ),
)
