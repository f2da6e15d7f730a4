"""CreateSnapshot, DescribeSnapshots, DeleteSnapshot."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import snapshots as actions
from openami.domain.caller import Caller
from openami.domain.ids import AccountId, parse_account_id, parse_snapshot_id, parse_volume_id
from openami.domain.snapshot import Snapshot
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, one_more, page, paged, tag_specifications
from openami.services import Services


def create_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    tags = tag_specifications(request, "snapshot").get("snapshot", {})
    volume_id = parse_volume_id(request["VolumeId"])
    snapshot = actions.create_snapshot(
        svc, caller, volume_id, request.get("Description") or "", tags
    )
    return snapshot_answer(snapshot, tags)


def describe_snapshots(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 5, 1000, ids="SnapshotIds")
    scope = actions.Scope(
        ids=tuple(parse_snapshot_id(text) for text in request.get("SnapshotIds", ())),
        owners=_owners(request.get("OwnerIds", ()), caller),
        restorable_by=tuple(_user(text, caller) for text in request.get("RestorableByUserIds", ())),
    )
    found, tags = actions.describe_snapshots(svc, caller, scope, filters(request), one_more(asked))
    shown, token = paged(found, asked)
    answers = [snapshot_answer(snapshot, tags.get(snapshot.id, {})) for snapshot in shown]
    return {"Snapshots": answers, **token}


def _owners(names: Sequence[str], caller: Caller) -> tuple[AccountId, ...] | None:
    """None if anybody's. The alias "amazon" owns nothing here."""
    if not names:
        return None
    return tuple(_account(name, caller) for name in names if name != "amazon")


def _user(name: str, caller: Caller) -> str:
    return name if name == "all" else _account(name, caller)


def _account(name: str, caller: Caller) -> AccountId:
    return caller.account if name == "self" else parse_account_id(name)


def delete_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    actions.delete_snapshot(svc, caller, parse_snapshot_id(request["SnapshotId"]))
    return {}


def snapshot_answer(snapshot: Snapshot, tags: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume_id,
        "State": snapshot.state,
        "StateMessage": snapshot.state_message,
        "StartTime": snapshot.started_at,
        "CompletionTime": snapshot.completed_at,
        "Progress": f"{snapshot.progress_percent}%",
        "OwnerId": snapshot.owner,
        "Description": snapshot.description,
        "VolumeSize": snapshot.volume_size_gib,
        "Encrypted": False,
        "StorageTier": "standard",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return {name: value for name, value in answer.items() if value is not None}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateSnapshot": operation(
        create_snapshot, "VolumeId", "Description", "TagSpecifications", partly="no Location"
    ),
    "DescribeSnapshots": operation(
        describe_snapshots,
        *("SnapshotIds", "OwnerIds", "RestorableByUserIds", "Filters", "MaxResults", "NextToken"),
    ),
    "DeleteSnapshot": operation(delete_snapshot, "SnapshotId"),
}
