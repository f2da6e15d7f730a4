"""Listings by what only the owner may know: to all others it is as if nothing were so.

"{image}" and "{snapshot}" are shared with "{third}", too.
"""

from typing import Any, Final

from support.access.row import NOTHING, SEES, Access


def _by(operation: str, filter_name: str, value: str, shows: str, **more: Any) -> Access:
    return Access(
        operation=operation,
        request={"Filters": [{"Name": filter_name, "Values": [value]}], **more},
        stranger=NOTHING,
        reader=NOTHING,
        owner=SEES,
        shows=shows,
    )


def _to(operation: str, member: str, shows: str) -> Access:
    return Access(
        operation=operation,
        request={member: ["{third}"]},
        stranger=NOTHING,
        reader=NOTHING,
        owner=SEES,
        shows=shows,
    )


ROWS: Final[tuple[Access, ...]] = (
    *(
        _by(operation, name, value, shows)
        for operation, shows in (("DescribeImages", "{image}"), ("DescribeSnapshots", "{snapshot}"))
        for name, value in (("tag:of", "the owner"), ("tag-key", "of"))
    ),
    _to("DescribeImages", "ExecutableUsers", "{image}"),
    _to("DescribeSnapshots", "RestorableByUserIds", "{snapshot}"),
    *(
        _by("DescribeTags", name, value, "{image}")
        for name, value in (("key", "of"), ("value", "the owner"), ("tag:of", "the owner"))
    ),
    _by("DescribeInstances", "image-id", "{image}", "{instance}"),
    _by("DescribeVolumes", "snapshot-id", "{snapshot}", "{instance}"),
    _by("DescribeVolumes", "attachment.instance-id", "{instance}", "{attached}"),
    _by("DescribeSnapshots", "volume-id", "{volume}", "{free_snapshot}"),
    _by("DescribeSnapshotTierStatus", "snapshot-id", "{archived}", "{archived}"),
    _by("DescribeReplaceRootVolumeTasks", "instance-id", "{instance}", "{task}"),
    _by("DescribeStoreImageTasks", "bucket", "{stored_bucket}", "{image}"),
    _by("DescribeNetworkInterfaces", "attachment.instance-id", "{instance}", "{interface}"),
    _by("DescribeSecurityGroups", "group-name", "{group_name}", "{group}"),
    _by("DescribeKeyPairs", "key-name", "{key_name}", "{key}"),
    _by("DescribeLaunchTemplates", "launch-template-name", "{template_name}", "{template}"),
)
