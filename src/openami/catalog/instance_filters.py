"""What DescribeInstances may filter by, as a table from filter name to column.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, func, literal

from openami.catalog import filters
from openami.catalog.filters import Condition
from openami.catalog.schema import attachments, instances, security_groups
from openami.catalog.schema import instance_security_groups as members
from openami.domain.instance import STATE_CODE, InstanceState

C: Final = instances.c

_NOT_TERMINATED: Final = C.state != InstanceState.TERMINATED
_OF_ATTACHMENT: Final = attachments.c.instance_id == C.id
_OF_GROUP: Final = and_(members.c.instance_id == C.id, members.c.group_id == security_groups.c.id)
_DOMAIN: Final = case(
    (C.region == "us-east-1", ".ec2.internal"), else_="." + C.region + ".compute.internal"
)
_PRIVATE_NAME: Final = "ip-" + func.replace(C.private_ip, ".", "-") + _DOMAIN


def _held(text: ColumnElement[Any]) -> Condition:
    """A column that a terminated instance keeps as a record but no longer has."""
    return filters.column(case((_NOT_TERMINATED, text), else_=None))


def _always(text: str) -> Condition:
    """What is the same for every instance of openami."""
    return filters.column(literal(text))


def _option(name: str) -> Condition:
    return filters.column(filters.json_text(C.metadata_options, name))


def _reason(name: str) -> Condition:
    return filters.column(filters.json_text(C.state_reason, name))


_GROUPS: Final[Mapping[str, Condition]] = {
    name: filters.child(_OF_GROUP, column)
    for name, column in (
        ("group-id", security_groups.c.id),
        ("group-name", security_groups.c.name),
    )
}

_DEVICES: Final[Mapping[str, Condition]] = {
    f"block-device-mapping.{name}": condition
    for name, condition in (
        ("volume-id", filters.child(_OF_ATTACHMENT, attachments.c.volume_id)),
        ("device-name", filters.child(_OF_ATTACHMENT, attachments.c.device_name)),
        ("status", filters.child(_OF_ATTACHMENT, attachments.c.state)),
        (
            "delete-on-termination",
            filters.child(
                _OF_ATTACHMENT, case((attachments.c.delete_on_termination, "true"), else_="false")
            ),
        ),
        (
            "attach-time",
            filters.child(_OF_ATTACHMENT, filters.iso_instant(attachments.c.attached_at)),
        ),
    )
}

_INTERFACE: Final[Mapping[str, Condition]] = {
    f"network-interface.{name}": condition
    for name, condition in (
        ("network-interface-id", _held(C.network_interface_id)),
        ("mac-address", _held(C.mac)),
        ("private-dns-name", _held(_PRIVATE_NAME)),
        ("subnet-id", _held(C.subnet_id)),
        ("vpc-id", _held(C.vpc_id)),
        ("owner-id", _held(C.owner)),
        ("availability-zone", _held(C.availability_zone)),
        ("status", _held(literal("in-use"))),
        ("source-dest-check", filters.boolean(C.source_dest_check)),
        ("group-id", _GROUPS["group-id"]),
        ("group-name", _GROUPS["group-name"]),
        ("addresses.private-ip-address", _held(C.private_ip)),
        ("addresses.primary", _held(literal("true"))),
        ("addresses.association.public-ip", filters.column(C.public_ip)),
        ("association.public-ip", filters.column(C.public_ip)),
        ("attachment.instance-id", _held(C.id)),
        ("attachment.device-index", _held(literal("0"))),
        ("attachment.status", _held(literal("attached"))),
    )
}

FILTERS: Final[Mapping[str, Condition]] = {
    "instance-id": filters.column(C.id),
    "image-id": filters.column(C.image_id),
    "instance-type": filters.column(C.instance_type),
    "instance-state-name": filters.column(C.state),
    "instance-state-code": filters.column(
        case(*((C.state == state, code) for state, code in STATE_CODE.items()))
    ),
    "architecture": filters.column(C.architecture),
    "availability-zone": filters.column(C.availability_zone),
    "boot-mode": filters.column(C.boot_mode),
    "client-token": filters.column(C.client_token),
    "current-instance-boot-mode": filters.column(C.current_boot_mode),
    "dns-name": filters.column(C.public_ip),
    "ebs-optimized": filters.boolean(C.ebs_optimized),
    "hypervisor": _always("xen"),
    "ip-address": filters.column(C.public_ip),
    "key-name": filters.column(C.key_name),
    "launch-index": filters.column(C.launch_index),
    "launch-time": filters.instant(C.launched_at),
    "metadata-options.http-tokens": _option("http_tokens"),
    "metadata-options.http-endpoint": _option("http_endpoint"),
    "metadata-options.http-put-response-hop-limit": _option("http_put_response_hop_limit"),
    "metadata-options.instance-metadata-tags": _option("instance_metadata_tags"),
    "monitoring-state": filters.column(case((C.monitoring, "enabled"), else_="disabled")),
    "owner-id": filters.column(C.owner),
    "platform-details": _always("Linux/UNIX"),
    "private-dns-name": _held(_PRIVATE_NAME),
    "private-ip-address": _held(C.private_ip),
    "reason": filters.column(C.state_transition_reason),
    "requester-id": _always(""),
    "reservation-id": filters.column(C.reservation_id),
    "root-device-name": filters.column(C.root_device_name),
    "root-device-type": _always("ebs"),
    "source-dest-check": filters.boolean(C.source_dest_check),
    "state-reason-code": _reason("code"),
    "state-reason-message": _reason("message"),
    "subnet-id": _held(C.subnet_id),
    "tenancy": _always("default"),
    "usage-operation": _always("RunInstances"),
    "virtualization-type": _always("hvm"),
    "vpc-id": _held(C.vpc_id),
    **{f"instance.{name}": condition for name, condition in _GROUPS.items()},
    **_DEVICES,
    **_INTERFACE,
}
"""A filter that the table lacks is refused, so what is here is what is answered truly."""
