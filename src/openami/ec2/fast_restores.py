"""EnableFastSnapshotRestores, DisableFastSnapshotRestores, DescribeFastSnapshotRestores."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from openami.actions.snapshot import fast_restores as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterCombination, MissingParameter
from openami.domain.fast_restore import FastRestore
from openami.domain.ids import SnapshotId, parse_snapshot_id
from openami.domain.zone import zone_id, zone_of_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page, paged
from openami.services import Services

_Action = Callable[[Services, Caller, Sequence[SnapshotId], Sequence[str]], actions.Outcome]


def enable(svc: Services, caller: Caller, request: Request) -> Result:
    return _changed(svc, caller, request, actions.enable_fast_snapshot_restores)


def disable(svc: Services, caller: Caller, request: Request) -> Result:
    return _changed(svc, caller, request, actions.disable_fast_snapshot_restores)


def _changed(svc: Services, caller: Caller, request: Request, act: _Action) -> Result:
    snapshot_ids = [parse_snapshot_id(text) for text in request["SourceSnapshotIds"]]
    changed, refused = act(svc, caller, snapshot_ids, _zones(request, caller))
    return {
        "Successful": [_answer(each) for each in changed],
        "Unsuccessful": [
            {"SnapshotId": snapshot_id, "FastSnapshotRestoreStateErrors": [_error(e) for e in each]}
            for snapshot_id, each in groupby(refused, lambda refusal: refusal.snapshot_id)
        ],
    }


def _zones(request: Request, caller: Caller) -> list[str]:
    names, numbers = request.get("AvailabilityZones"), request.get("AvailabilityZoneIds")
    if names and numbers:
        raise InvalidParameterCombination(
            "Specify either AvailabilityZone or AvailabilityZoneId, not both"
        )
    if not names and not numbers:
        raise MissingParameter("AvailabilityZone")
    return list(names or ()) or [zone_of_id(each, caller.region) for each in numbers or ()]


def _error(refusal: actions.Refusal) -> dict[str, Any]:
    return {
        **_zone(refusal.zone),
        "Error": {"Code": refusal.why.code, "Message": str(refusal.why)},
    }


def _zone(zone: str) -> dict[str, str]:
    return {"AvailabilityZone": zone, "AvailabilityZoneId": zone_id(zone)}


def _answer(each: FastRestore) -> dict[str, Any]:
    answer = {
        "SnapshotId": each.snapshot_id,
        **_zone(each.zone),
        "State": each.state,
        "StateTransitionReason": each.reason,
        "OwnerId": each.owner,
        "EnablingTime": each.enabling_at,
        "OptimizingTime": each.optimizing_at,
        "EnabledTime": each.enabled_at,
        "DisablingTime": each.disabling_at,
        "DisabledTime": each.disabled_at,
    }
    return {name: value for name, value in answer.items() if value is not None}


def describe(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 200)
    found = [
        each
        for each in actions.describe_fast_snapshot_restores(svc, caller, filters(request))
        if asked.after is None or each.id > asked.after
    ]
    shown, token = paged(found, asked)
    return {"FastSnapshotRestores": [_answer(each) for each in shown], **token}


_HEEDED: Final = ("SourceSnapshotIds", "AvailabilityZones", "AvailabilityZoneIds")

OPERATIONS: Final[Mapping[str, Operation]] = {
    "EnableFastSnapshotRestores": operation(enable, *_HEEDED),
    "DisableFastSnapshotRestores": operation(disable, *_HEEDED),
    "DescribeFastSnapshotRestores": operation(describe, "Filters", "MaxResults", "NextToken"),
}
