"""Monitoring, reports, passwords, and what is the same for every account."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions import network
from openami.actions.instance import attributes as instance_attributes
from openami.actions.instance import options as instance_options
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterCombination, InvalidParameterValue
from openami.domain.ids import (
    parse_instance_id,
    parse_network_interface_id,
    parse_security_group_id,
)
from openami.domain.instance import Instance
from openami.ec2 import instance_shapes
from openami.ec2.operation import Operation, Request, Result, operation
from openami.services import Services

Shape = dict[str, Any]


def _monitored(svc: Services, caller: Caller, request: Request, *, enabled: bool) -> Result:
    ids = [parse_instance_id(text) for text in request["InstanceIds"]]
    changed = instance_options.set_monitoring(svc, caller, ids, enabled=enabled)
    return {"InstanceMonitorings": [_monitoring(each) for each in changed]}


def monitor_instances(svc: Services, caller: Caller, request: Request) -> Result:
    return _monitored(svc, caller, request, enabled=True)


def unmonitor_instances(svc: Services, caller: Caller, request: Request) -> Result:
    return _monitored(svc, caller, request, enabled=False)


def _monitoring(its: Instance) -> Shape:
    state = "enabled" if its.monitoring else "disabled"
    return {"InstanceId": its.id, "Monitoring": {"State": state}}


def report_instance_status(svc: Services, caller: Caller, request: Request) -> Result:
    status = request["Status"]
    if status not in ("ok", "impaired"):
        raise InvalidParameterValue(f"Value ({status}) for parameter status is invalid.")
    ids = [parse_instance_id(text) for text in request["Instances"]]
    words = f"{', '.join(request['ReasonCodes'])} {request.get('Description', '')}".strip()
    printable = "".join(sign if sign.isprintable() else " " for sign in words)
    instance_options.report_status(svc, caller, ids, status, printable[:1000])
    return {}


def get_password_data(svc: Services, caller: Caller, request: Request) -> Result:
    its = instance_options.fetch_instance(svc, caller, parse_instance_id(request["InstanceId"]))
    return {"InstanceId": its.id, "PasswordData": "", "Timestamp": svc.clock.now()}


def reset_instance_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    if request["Attribute"] != "sourceDestCheck":
        raise InvalidParameterValue(f"The attribute '{request['Attribute']}' cannot be reset.")
    instance_options.reset_source_dest_check(svc, caller, instance_id)
    return {}


def _interface(svc: Services, caller: Caller, request: Request) -> network.Interface:
    interface_id = parse_network_interface_id(request["NetworkInterfaceId"])
    return network.network_interfaces(svc, caller, [interface_id])[0]


def describe_interface_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    each = _interface(svc, caller, request)
    its = each.instance
    known: Mapping[str, Shape] = {
        "description": {"Description": {"Value": ""}},
        "groupSet": {"Groups": instance_shapes.groups(its, each.group_names)},
        "sourceDestCheck": {"SourceDestCheck": {"Value": its.source_dest_check}},
        "attachment": {
            "Attachment": {
                "AttachTime": its.first_launched_at,
                "AttachmentId": instance_shapes.attachment_id(its),
                "DeleteOnTermination": True,
                "DeviceIndex": 0,
                "NetworkCardIndex": 0,
                "InstanceId": its.id,
                "InstanceOwnerId": its.owner,
                "Status": "attached",
            }
        },
        "associatePublicIpAddress": {"AssociatePublicIpAddress": its.associates_public_ip},
    }
    name = request.get("Attribute", "")
    if name not in known:
        raise InvalidParameterValue(f"Value ({name}) for parameter attribute is invalid.")
    return {"NetworkInterfaceId": its.network_interface_id, **known[name]}


def modify_interface_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    given = [name for name in ("Groups", "SourceDestCheck") if name in request]
    if len(given) != 1:
        raise InvalidParameterCombination("Specify exactly one attribute to modify.")
    its = _interface(svc, caller, request).instance
    groups = request.get("Groups")
    change = instance_attributes.AttributeChange(
        security_group_ids=None if groups is None else tuple(map(parse_security_group_id, groups)),
        source_dest_check=request.get("SourceDestCheck", {}).get("Value"),
    )
    instance_attributes.modify_instance_attribute(svc, caller, its.id, change)
    return {}


def encryption_by_default(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller, request
    return {"EbsEncryptionByDefault": False}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "MonitorInstances": operation(monitor_instances, "InstanceIds", partly="no metrics are kept"),
    "UnmonitorInstances": operation(unmonitor_instances, "InstanceIds"),
    "ReportInstanceStatus": operation(
        report_instance_status, "Instances", "Status", "ReasonCodes", "Description"
    ),
    "GetPasswordData": operation(get_password_data, "InstanceId", partly="no Windows guests"),
    "ResetInstanceAttribute": operation(
        reset_instance_attribute, "InstanceId", "Attribute", partly="sourceDestCheck only"
    ),
    "DescribeNetworkInterfaceAttribute": operation(
        describe_interface_attribute, "NetworkInterfaceId", "Attribute"
    ),
    "ModifyNetworkInterfaceAttribute": operation(
        modify_interface_attribute,
        *("NetworkInterfaceId", "Groups", "SourceDestCheck"),
        partly="security groups and sourceDestCheck",
    ),
    "GetEbsEncryptionByDefault": operation(encryption_by_default),
}
