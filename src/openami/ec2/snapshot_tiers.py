"""ModifySnapshotTier, RestoreSnapshotTier, DescribeSnapshotTierStatus."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions.snapshot import tiers as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import parse_snapshot_id
from openami.domain.snapshot import Move, Progress
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page, paged
from openami.services import Services


def modify_snapshot_tier(svc: Services, caller: Caller, request: Request) -> Result:
    if request.get("StorageTier", "archive") != "archive":
        raise InvalidParameterValue("The only value of storageTier is archive")
    snapshot_id = parse_snapshot_id(request["SnapshotId"])
    tiering = actions.archive_snapshot(svc, caller, snapshot_id)
    return {"SnapshotId": snapshot_id, "TieringStartTime": tiering.started_at}


def restore_snapshot_tier(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = parse_snapshot_id(request["SnapshotId"])
    days, permanent = request.get("TemporaryRestoreDays"), bool(request.get("PermanentRestore"))
    tiering = actions.restore_snapshot_tier(svc, caller, snapshot_id, days, permanent)
    told = {
        "SnapshotId": snapshot_id,
        "RestoreStartTime": tiering.started_at,
        "RestoreDuration": tiering.days,
        "IsPermanentRestore": tiering.move is Move.PERMANENT,
    }
    return {name: value for name, value in told.items() if value is not None}


def describe_snapshot_tier_status(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000)
    found = [
        each
        for each in actions.describe_snapshot_tier_status(svc, caller, filters(request))
        if asked.after is None or each.id > asked.after
    ]
    shown, token = paged(found, asked)
    return {"SnapshotTierStatuses": [_answer(each) for each in shown], **token}


def _answer(each: actions.TierStatus) -> dict[str, Any]:
    snapshot, tiering = each.snapshot, each.tiering
    answer = {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume_id,
        "Status": snapshot.state,
        "OwnerId": snapshot.owner,
        "Tags": [{"Key": key, "Value": value} for key, value in each.tags.items()],
        "StorageTier": snapshot.storage_tier,
        "LastTieringStartTime": tiering.started_at,
        "LastTieringProgress": 100 if tiering.progress is Progress.COMPLETED else 0,
        "LastTieringOperationStatus": tiering.status,
        "LastTieringOperationStatusDetail": tiering.detail,
        "ArchivalCompleteTime": tiering.archived_at,
        "RestoreExpiryTime": snapshot.restore_expires_at,
    }
    return {name: value for name, value in answer.items() if value is not None}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "ModifySnapshotTier": operation(modify_snapshot_tier, "SnapshotId", "StorageTier"),
    "RestoreSnapshotTier": operation(
        restore_snapshot_tier, "SnapshotId", "TemporaryRestoreDays", "PermanentRestore"
    ),
    "DescribeSnapshotTierStatus": operation(
        describe_snapshot_tier_status, "Filters", "MaxResults", "NextToken"
    ),
}
