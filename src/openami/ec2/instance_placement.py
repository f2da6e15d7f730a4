"""Where an instance runs, and what may be done to it for the sake of the place."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from openami.actions import instances
from openami.actions.instance import options as instance_options
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from openami.domain.filter import Page, selected
from openami.domain.ids import parse_instance_id
from openami.domain.instance import Instance
from openami.domain.zone import zone_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page, paged
from openami.services import Services

Shape = dict[str, Any]

_OF_A_STOPPED_INSTANCE: Final = ("Tenancy", "GroupName")


def modify_placement(svc: Services, caller: Caller, request: Request) -> Result:
    """What is asked for must be what there is: default tenancy and affinity, no group."""
    instance_id = parse_instance_id(request["InstanceId"])
    given = request.keys() - {"InstanceId"}
    if not given:
        raise InvalidParameterCombination(
            "At least one of affinity, host ID, tenancy and placement group must be specified."
        )
    for name in ("Tenancy", "Affinity"):
        if request.get(name, "default") != "default":
            raise UnsupportedOperation(f"{name} '{request[name]}' is not supported by openami")
    if request.get("GroupName"):
        raise EC2Error.of(
            "InvalidPlacementGroup.Unknown",
            f"The Placement Group '{request['GroupName']}' is unknown.",
        )
    stopped = not given.isdisjoint(_OF_A_STOPPED_INSTANCE)
    instance_options.check_placement(svc, caller, instance_id, stopped=stopped)
    return {"Return": True}


def modify_maintenance(svc: Services, caller: Caller, request: Request) -> Result:
    instance_id = parse_instance_id(request["InstanceId"])
    given = {name: request.get(name) for name in ("AutoRecovery", "RebootMigration")}
    if not any(given.values()):
        raise MissingParameter("AutoRecovery or RebootMigration")
    for name, value in given.items():
        if value not in (None, "default", "disabled"):
            raise InvalidParameterValue(
                f"Value ({value}) for parameter {name} is invalid. It must be default or disabled."
            )
    its = instance_options.set_maintenance(
        svc, caller, instance_id, given["AutoRecovery"], given["RebootMigration"]
    )
    return {
        "InstanceId": its.id,
        "AutoRecovery": its.auto_recovery,
        "RebootMigration": its.reboot_migration,
    }


_TOPOLOGY_IDS_MAX: Final = 100
_TOPOLOGY_PAGE: Final = 20
_TOPOLOGY_FILTERS: Final[Mapping[str, Callable[[Instance], Iterable[str]]]] = {
    "availability-zone": lambda its: [its.availability_zone],
    "instance-type": lambda its: [its.instance_type],
    "zone-id": lambda its: [zone_id(its.availability_zone)],
}


def describe_topology(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 100, ids="InstanceIds")
    ids = [parse_instance_id(text) for text in request.get("InstanceIds", ())]
    if len(ids) > _TOPOLOGY_IDS_MAX:
        raise InvalidParameterValue(f"At most {_TOPOLOGY_IDS_MAX} instances may be named.")
    if not ids:
        asked = Page(limit=asked.limit or _TOPOLOGY_PAGE, after=asked.after)
    described = instances.describe_instances(svc, caller, ids, (), Page(after=asked.after))
    found = selected([each.instance for each in described], filters(request), _TOPOLOGY_FILTERS)
    shown, token = paged(found, asked)
    return {"Instances": [_topology(each) for each in shown], **token}


def _topology(its: Instance) -> Shape:
    """Network nodes are told of types that are made for it on EC2, of which there is none here."""
    return {
        "InstanceId": its.id,
        "InstanceType": its.instance_type,
        "NetworkNodes": [],
        "AvailabilityZone": its.availability_zone,
        "ZoneId": zone_id(its.availability_zone),
    }


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ModifyInstancePlacement": operation(
        modify_placement,
        *("InstanceId", "Tenancy", "Affinity", "GroupName"),
        partly="no dedicated hosts, no placement groups",
    ),
    "ModifyInstanceMaintenanceOptions": operation(
        modify_maintenance,
        *("InstanceId", "AutoRecovery", "RebootMigration"),
        partly="kept and told; there is no scheduled maintenance",
    ),
    "DescribeInstanceTopology": operation(
        describe_topology,
        *("InstanceIds", "Filters", "MaxResults", "NextToken"),
        partly="no network nodes",
    ),
}
