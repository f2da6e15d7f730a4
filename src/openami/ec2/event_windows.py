"""Event windows: when, in each week, an owner would have which instances maintained."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from openami.actions.instance import event_windows as actions
from openami.actions.instance.event_windows import DescribedWindow
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.event_window import (
    EventWindow,
    Schedule,
    Targets,
    TimeRange,
    checked_name,
    checked_schedule,
)
from openami.domain.filter import selected
from openami.domain.ids import parse_event_window_id, parse_instance_id
from openami.domain.tag import KEY_CHARACTERS_MAX, VALUE_CHARACTERS_MAX
from openami.ec2 import instance_shapes
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page, paged, tag_specifications
from openami.services import Services

Shape = dict[str, Any]

_RANGE: Final[Mapping[str, str]] = {
    "StartWeekDay": "start_day",
    "StartHour": "start_hour",
    "EndWeekDay": "end_day",
    "EndHour": "end_hour",
}


def create(svc: Services, caller: Caller, request: Request) -> Result:
    schedule = _schedule(request)
    if schedule is None:
        raise MissingParameter("TimeRange or CronExpression")
    kind = actions.RESOURCE_TYPE
    pairs = tag_specifications(request, kind).get(kind, {})
    name = checked_name(request.get("Name", "")) or None
    return _answer(actions.create_window(svc, caller, name, schedule, pairs))


def modify(svc: Services, caller: Caller, request: Request) -> Result:
    window_id = parse_event_window_id(request["InstanceEventWindowId"])
    name, schedule = request.get("Name"), _schedule(request)
    if name is None and schedule is None:
        raise InvalidParameterCombination("Specify a name, time ranges or a cron expression.")
    if name is not None:
        checked_name(name)
    return _answer(actions.modify_window(svc, caller, window_id, name, schedule))


def _schedule(request: Request) -> Schedule | None:
    if not request.get("TimeRanges") and "CronExpression" not in request:
        return None
    ranges = tuple(map(_time_range, request.get("TimeRanges", ())))
    cron = request.get("CronExpression")
    return checked_schedule(Schedule(time_ranges=ranges, cron_expression=cron))


def _time_range(raw: Mapping[str, Any]) -> TimeRange:
    for name in _RANGE:
        if name not in raw:
            raise MissingParameter(f"TimeRange.{name}")
    return TimeRange(**{field: raw[name] for name, field in _RANGE.items()})


def delete(svc: Services, caller: Caller, request: Request) -> Result:
    window_id = parse_event_window_id(request["InstanceEventWindowId"])
    actions.delete_window(svc, caller, window_id, force=request.get("ForceDelete", False))
    state = {"InstanceEventWindowId": window_id, "State": "deleting"}
    return {"InstanceEventWindowState": state}


def associate(svc: Services, caller: Caller, request: Request) -> Result:
    window_id = parse_event_window_id(request["InstanceEventWindowId"])
    targets = _targets(request["AssociationTarget"])
    return _answer(actions.associate(svc, caller, window_id, targets))


def disassociate(svc: Services, caller: Caller, request: Request) -> Result:
    window_id = parse_event_window_id(request["InstanceEventWindowId"])
    targets = _targets(request["AssociationTarget"])
    return _answer(actions.disassociate(svc, caller, window_id, targets))


def _targets(raw: Mapping[str, Any]) -> Targets:
    """Raises InvalidParameterCombination unless there is exactly one kind of target."""
    given = [name for name in ("InstanceIds", "InstanceTags", "DedicatedHostIds") if raw.get(name)]
    if len(given) != 1:
        raise InvalidParameterCombination(
            "Specify one type of target: instance IDs, instance tags or Dedicated Host IDs."
        )
    if given == ["DedicatedHostIds"]:
        hosts: Sequence[str] = raw["DedicatedHostIds"]
        raise EC2Error.of(
            "InvalidHostID.NotFound", f"The host ID(s) '{', '.join(hosts)}' do not exist"
        )
    return Targets(
        instance_ids=tuple(map(parse_instance_id, raw.get("InstanceIds", ()))),
        instance_tags=tuple(map(_instance_tag, raw.get("InstanceTags", ()))),
    )


def _instance_tag(raw: Mapping[str, Any]) -> tuple[str, str]:
    """Also one of AWS's own (aws:…), which instances may have."""
    key, value = raw.get("Key", ""), raw.get("Value", "")
    if not 0 < len(key) <= KEY_CHARACTERS_MAX or len(value) > VALUE_CHARACTERS_MAX:
        raise InvalidParameterValue(
            f"An instance tag has a key of 1 to {KEY_CHARACTERS_MAX} characters and a value of at"
            f" most {VALUE_CHARACTERS_MAX}."
        )
    return key, value


_FILTERS: Final[Mapping[str, Callable[[DescribedWindow], Iterable[str]]]] = {
    "dedicated-host-id": lambda _: [],
    "event-window-name": lambda each: [each.window.name or ""],
    "instance-id": lambda each: each.window.instance_ids,
    "instance-tag": lambda each: ["=".join(pair) for pair in each.window.instance_tags],
    "instance-tag-key": lambda each: [key for key, _ in each.window.instance_tags],
    "instance-tag-value": lambda each: [value for _, value in each.window.instance_tags],
    "tag-value": lambda each: each.tags.values(),
}


def describe(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 20, 500, ids="InstanceEventWindowIds")
    ids = [parse_event_window_id(text) for text in request.get("InstanceEventWindowIds", ())]
    every = actions.describe_windows(svc, caller, ids)
    found = [
        each
        for each in selected(every, filters(request), _FILTERS, lambda each: each.tags)
        if asked.after is None or each.id > asked.after
    ]
    shown, token = paged(found, asked)
    return {"InstanceEventWindows": [_shape(each, "active") for each in shown], **token}


def _answer(described: DescribedWindow) -> Result:
    """EC2 says of a window that was just changed that it is being made; then it is active."""
    return {"InstanceEventWindow": _shape(described, "creating")}


def _shape(described: DescribedWindow, state: str) -> Shape:
    its = described.window
    return {
        "InstanceEventWindowId": its.id,
        "Name": its.name,
        "TimeRanges": [_range_shape(each) for each in its.time_ranges],
        "CronExpression": its.cron_expression,
        "AssociationTarget": _target_shape(its),
        "State": state,
        "Tags": instance_shapes.tag_list(described.tags),
    }


def _range_shape(each: TimeRange) -> Shape:
    return {name: getattr(each, field) for name, field in _RANGE.items()}


def _target_shape(its: EventWindow) -> Shape:
    return {
        "InstanceIds": its.instance_ids,
        "Tags": [{"Key": key, "Value": value} for key, value in its.instance_tags],
        "DedicatedHostIds": [],
    }


_PARTLY: Final = "openami schedules no maintenance"

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateInstanceEventWindow": operation(
        create, "Name", "TimeRanges", "CronExpression", "TagSpecifications", partly=_PARTLY
    ),
    "ModifyInstanceEventWindow": operation(
        modify, "InstanceEventWindowId", "Name", "TimeRanges", "CronExpression", partly=_PARTLY
    ),
    "DeleteInstanceEventWindow": operation(delete, "InstanceEventWindowId", "ForceDelete"),
    "DescribeInstanceEventWindows": operation(
        describe, "InstanceEventWindowIds", "Filters", "MaxResults", "NextToken"
    ),
    "AssociateInstanceEventWindow": operation(
        associate, "InstanceEventWindowId", "AssociationTarget", partly=_PARTLY
    ),
    "DisassociateInstanceEventWindow": operation(
        disassociate, "InstanceEventWindowId", "AssociationTarget"
    ),
}
