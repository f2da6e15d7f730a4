"""What may be tagged: which kinds of resource there are, and whether the caller has one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Select, Table, or_, select

from openami.catalog import images, schema, snapshots
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    ImageNotFound,
    InstanceNotFound,
    SecurityGroupNotFound,
    SnapshotNotFound,
    SubnetNotFound,
    VolumeNotFound,
    VpcNotFound,
)
from openami.domain.ids import is_id
from openami.domain.launch_template import template_id_not_found
from openami.domain.transfers.export_task import export_task_not_found
from openami.domain.transfers.import_task import import_task_not_found


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A type of resource: its EC2 name, how to find one, and what to say when there is none."""

    name: str
    query: Callable[[Caller], Select[Any]]
    id: Column[Any]
    not_found: Callable[[str], EC2Error]


def _owned(table: Table) -> Callable[[Caller], Select[Any]]:
    return lambda caller: select(table.c.id).where(
        table.c.owner == caller.account, table.c.region == caller.region
    )


def _of(name: str, table: Table, not_found: Callable[[str], EC2Error]) -> Kind:
    return Kind(name=name, query=_owned(table), id=table.c.id, not_found=not_found)


def _image(caller: Caller) -> Select[Any]:
    # An account may tag what is shared with it: its tags are its own.
    region: ColumnElement[bool] = schema.images.c.region == caller.region
    return select(schema.images.c.id).where(region, images.visible_to(caller.account))


def _snapshot(caller: Caller) -> Select[Any]:
    region: ColumnElement[bool] = schema.snapshots.c.region == caller.region
    own = schema.snapshots.c.owner == caller.account  # also in the Recycle Bin
    return select(schema.snapshots.c.id).where(
        region, or_(own, snapshots.visible_to(caller.account))
    )


def _interface(caller: Caller) -> Select[Any]:
    instances = schema.instances.c
    return select(instances.network_interface_id).where(
        instances.owner == caller.account,
        instances.region == caller.region,
        instances.state != "terminated",
    )


def _rule(caller: Caller) -> Select[Any]:
    rules, groups = schema.security_group_rules, schema.security_groups
    return (
        select(rules.c.id)
        .join(groups, groups.c.id == rules.c.group_id)
        .where(groups.c.owner == caller.account, groups.c.region == caller.region)
    )


def _no(code: str, noun: str) -> Callable[[str], EC2Error]:
    return lambda resource_id: EC2Error.of(code, f"The {noun} '{resource_id}' does not exist")


KINDS: Final[Mapping[str, Kind]] = {
    "ami": Kind(
        name="image",
        query=_image,
        id=schema.images.c.id,
        not_found=lambda each: ImageNotFound(each),
    ),
    "snap": Kind(
        name="snapshot",
        query=_snapshot,
        id=schema.snapshots.c.id,
        not_found=lambda each: SnapshotNotFound(each),
    ),
    "vol": _of("volume", schema.volumes, lambda each: VolumeNotFound(each)),
    "i": _of("instance", schema.instances, lambda each: InstanceNotFound(each)),
    "vpc": _of("vpc", schema.vpcs, VpcNotFound),
    "subnet": _of("subnet", schema.subnets, SubnetNotFound),
    "sg": _of("security-group", schema.security_groups, SecurityGroupNotFound),
    "sgr": Kind(
        name="security-group-rule",
        query=_rule,
        id=schema.security_group_rules.c.id,
        not_found=_no("InvalidSecurityGroupRuleId.NotFound", "security group rule ID"),
    ),
    "eni": Kind(
        name="network-interface",
        query=_interface,
        id=schema.instances.c.network_interface_id,
        not_found=_no("InvalidNetworkInterfaceID.NotFound", "networkInterface ID"),
    ),
    "replacevol": _of(
        "replace-root-volume-task",
        schema.replace_root_volume_tasks,
        _no("InvalidReplaceRootVolumeTaskId.NotFound", "replace root volume task"),
    ),
    "iew": _of(
        "instance-event-window",
        schema.event_windows,
        _no("InvalidInstanceEventWindowID.NotFound", "instance event window ID"),
    ),
    "amiur": _of(
        "image-usage-report",
        schema.image_usage_reports,
        _no("InvalidImageUsageReportId.NotFound", "image usage report"),
    ),
    "lt": _of("launch-template", schema.launch_templates, template_id_not_found),
    "import-snap": _of("import-snapshot-task", schema.import_tasks, import_task_not_found),
    "import-ami": _of("import-image-task", schema.import_tasks, import_task_not_found),
    "export-ami": _of("export-image-task", schema.export_tasks, export_task_not_found),
    "export-i": _of("export-instance-task", schema.export_tasks, export_task_not_found),
    "key": _of("key-pair", schema.key_pairs, _no("InvalidKeyPair.NotFound", "key pair")),
}
"""By the prefix of the id."""


def kind_of(resource_id: str) -> Kind:
    """Raises InvalidID for what is no id, and for one of a kind that openami does not have."""
    prefix = resource_id.rpartition("-")[0]
    kind = KINDS.get(prefix)
    if kind is None or not is_id(prefix, resource_id):
        raise EC2Error.of("InvalidID", f"The ID '{resource_id}' is not valid")
    return kind


def check_all(tx: Transaction, caller: Caller, resource_ids: Iterable[str]) -> None:
    """Raises the NotFound of its kind for the first that the caller does not have or see."""
    for resource_id in resource_ids:
        kind = kind_of(resource_id)
        if tx.scalar(kind.query(caller).where(kind.id == resource_id)) is None:
            raise kind.not_found(resource_id)
