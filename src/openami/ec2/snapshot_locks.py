"""LockSnapshot, UnlockSnapshot, DescribeLockedSnapshots."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions.snapshot import locks as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import parse_snapshot_id
from openami.domain.snapshot_lock import LockMode, LockRequest, SnapshotLock
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page, paged
from openami.services import Services


def lock_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = parse_snapshot_id(request["SnapshotId"])
    asked = LockRequest(
        mode=_mode(request["LockMode"]),
        days=request.get("LockDuration"),
        expires_at=request.get("ExpirationDate"),
        cool_off_hours=request.get("CoolOffPeriod"),
    )
    return lock_answer(svc, actions.lock_snapshot(svc, caller, snapshot_id, asked))


def _mode(text: str) -> LockMode:
    try:
        return LockMode(text)
    except ValueError:
        raise InvalidParameterValue(
            f"Value ({text}) for parameter lockMode is invalid. It is governance or compliance."
        ) from None


def lock_answer(svc: Services, lock: SnapshotLock) -> dict[str, Any]:
    answer = {
        "SnapshotId": lock.snapshot_id,
        "LockState": lock.state(svc.clock.now()),
        "LockDuration": lock.days,
        "CoolOffPeriod": lock.cool_off_hours,
        "CoolOffPeriodExpiresOn": lock.cool_off_ends_at,
        "LockCreatedOn": lock.created_at,
        "LockExpiresOn": lock.ends_at,
        "LockDurationStartTime": lock.starts_at,
    }
    return {name: value for name, value in answer.items() if value is not None}


def unlock_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = parse_snapshot_id(request["SnapshotId"])
    actions.unlock_snapshot(svc, caller, snapshot_id)
    return {"SnapshotId": snapshot_id}


def describe_locked_snapshots(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="SnapshotIds")
    ids = tuple(parse_snapshot_id(text) for text in request.get("SnapshotIds", ()))
    found: Sequence[SnapshotLock] = [
        lock
        for lock in actions.describe_locked_snapshots(svc, caller, ids, filters(request))
        if asked.after is None or lock.snapshot_id > asked.after
    ]
    shown, token = paged(found, asked, "snapshot_id")
    answers = [{**lock_answer(svc, lock), "OwnerId": lock.owner} for lock in shown]
    return {"Snapshots": answers, **token}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "LockSnapshot": operation(
        lock_snapshot,
        *("SnapshotId", "LockMode", "LockDuration", "ExpirationDate", "CoolOffPeriod"),
    ),
    "UnlockSnapshot": operation(unlock_snapshot, "SnapshotId"),
    "DescribeLockedSnapshots": operation(
        describe_locked_snapshots, "SnapshotIds", "Filters", "MaxResults", "NextToken"
    ),
}
