"""Instances: describe, start, stop, reboot, terminate, and their status."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from openami.actions import instances
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page, selected
from openami.domain.ids import InstanceId, parse_instance_id
from openami.domain.instance import STATE_CODE, Instance, InstanceState
from openami.domain.zone import zone_id
from openami.ec2 import instance_shapes
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, one_more, page, paged
from openami.services import Services

IMPAIRED_AFTER: Final = timedelta(minutes=10)
"""A guest that has not answered for so long after its start did not come up."""


def instance_ids(request: Request) -> list[InstanceId]:
    return [parse_instance_id(text) for text in request.get("InstanceIds", ())]


def describe_instances(svc: Services, caller: Caller, request: Request) -> Result:
    ids = instance_ids(request)
    asked = page(request, 5, 1000, ids="InstanceIds")
    found = instances.describe_instances(svc, caller, ids, filters(request), one_more(asked))
    shown, token = paged(found, asked)
    return {"Reservations": instance_shapes.reservations(shown), **token}


def start_instances(svc: Services, caller: Caller, request: Request) -> Result:
    changes = instances.start_instances(svc, caller, instance_ids(request))
    return {"StartingInstances": [instance_shapes.state_change(each) for each in changes]}


def stop_instances(svc: Services, caller: Caller, request: Request) -> Result:
    force = request.get("Force", False) or request.get("SkipOsShutdown", False)
    changes = instances.stop_instances(svc, caller, instance_ids(request), force=force)
    return {"StoppingInstances": [instance_shapes.state_change(each) for each in changes]}


def terminate_instances(svc: Services, caller: Caller, request: Request) -> Result:
    changes = instances.terminate_instances(svc, caller, instance_ids(request))
    return {"TerminatingInstances": [instance_shapes.state_change(each) for each in changes]}


def reboot_instances(svc: Services, caller: Caller, request: Request) -> Result:
    instances.reboot_instances(svc, caller, instance_ids(request))
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Whether the host runs the instance's machine, and whether its guest came up."""

    instance: Instance
    system: str
    guest: str

    @property
    def id(self) -> InstanceId:
        return self.instance.id


_DETAIL: Final = {
    "ok": "passed",
    "initializing": "initializing",
    "impaired": "failed",
    "not-applicable": "",
}

_STATUS_FILTERS: Final[Mapping[str, Callable[[Status], Iterable[str]]]] = {
    "availability-zone": lambda each: [each.instance.availability_zone],
    "availability-zone-id": lambda each: [zone_id(each.instance.availability_zone)],
    "instance-state-name": lambda each: [each.instance.state],
    "instance-state-code": lambda each: [str(STATE_CODE[each.instance.state])],
    "instance-status.status": lambda each: [each.guest],
    "instance-status.reachability": lambda each: [_DETAIL[each.guest]],
    "system-status.status": lambda each: [each.system],
    "system-status.reachability": lambda each: [_DETAIL[each.system]],
}


def describe_instance_status(svc: Services, caller: Caller, request: Request) -> Result:
    ids = instance_ids(request)
    asked = page(request, 5, 1000, ids="InstanceIds")
    conditions: tuple[Filter, ...] = ()
    if not request.get("IncludeAllInstances", False):
        conditions = (Filter(name="instance-state-name", values=(InstanceState.RUNNING,)),)
    found = [
        each.instance for each in instances.describe_instances(svc, caller, ids, conditions, Page())
    ]
    running = [each.id for each in found if each.state is InstanceState.RUNNING]
    up = instances.reachable(svc, running)
    stalled = instances.stalled(svc)
    statuses = [_status(each, each.id in up, each.id in stalled, svc.clock.now()) for each in found]
    matching = selected(statuses, filters(request), _STATUS_FILTERS)
    if asked.after is not None:
        matching = [each for each in matching if each.id > asked.after]
    shown, token = paged(matching, asked)
    return {"InstanceStatuses": [_status_shape(each) for each in shown], **token}


def _status(instance: Instance, is_up: bool, is_stalled: bool, now: datetime) -> Status:
    if instance.state is not InstanceState.RUNNING:
        return Status(instance=instance, system="not-applicable", guest="not-applicable")
    if is_up and not is_stalled:
        return Status(instance=instance, system="ok", guest="ok")
    ill = is_stalled or now - instance.launched_at > IMPAIRED_AFTER
    return Status(instance=instance, system="ok", guest="impaired" if ill else "initializing")


def _status_shape(status: Status) -> dict[str, object]:
    its = status.instance
    return {
        "InstanceId": its.id,
        "AvailabilityZone": its.availability_zone,
        "AvailabilityZoneId": zone_id(its.availability_zone),
        "InstanceState": instance_shapes.state(its.state),
        "InstanceStatus": _summary(status.guest),
        "SystemStatus": _summary(status.system),
    }


def _summary(status: str) -> dict[str, object]:
    if status == "not-applicable":
        return {"Status": status}
    return {
        "Status": status,
        "Details": [{"Name": "reachability", "Status": _DETAIL[status]}],
    }


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeInstances": operation(
        describe_instances, "InstanceIds", "Filters", "MaxResults", "NextToken"
    ),
    "StartInstances": operation(start_instances, "InstanceIds"),
    "StopInstances": operation(stop_instances, "InstanceIds", "Force", "SkipOsShutdown"),
    "RebootInstances": operation(reboot_instances, "InstanceIds"),
    "TerminateInstances": operation(terminate_instances, "InstanceIds"),
    "DescribeInstanceStatus": operation(
        describe_instance_status,
        *("InstanceIds", "Filters", "IncludeAllInstances", "MaxResults", "NextToken"),
    ),
}
