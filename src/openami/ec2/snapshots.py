"""CreateSnapshot, DescribeSnapshots, DeleteSnapshot."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import snapshot_sets
from openami.actions import snapshots as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue, MissingParameter
from openami.domain.ids import (
    AccountId,
    parse_account_id,
    parse_instance_id,
    parse_snapshot_id,
    parse_volume_id,
)
from openami.domain.snapshot import Snapshot
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import filters, one_more, page, paged, tag_specifications
from openami.services import Services

EXCLUDED_MAX: Final = 40


def create_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    tags = tag_specifications(request, "snapshot").get("snapshot", {})
    volume_id = parse_volume_id(request["VolumeId"])
    snapshot = actions.create_snapshot(
        svc, caller, volume_id, request.get("Description") or "", tags
    )
    return snapshot_answer(snapshot, tags)


def create_snapshots(svc: Services, caller: Caller, request: Request) -> Result:
    spec = request["InstanceSpecification"]
    only(
        spec,
        "InstanceSpecification.",
        {"InstanceId", "ExcludeBootVolume", "ExcludeDataVolumeIds"},
    )
    if not spec.get("InstanceId"):
        raise MissingParameter("InstanceSpecification.InstanceId")
    excluded = spec.get("ExcludeDataVolumeIds", ())
    if len(excluded) > EXCLUDED_MAX:
        raise InvalidParameterValue(f"At most {EXCLUDED_MAX} data volumes can be excluded.")
    source = request.get("CopyTagsFromSource")
    if source not in (None, "volume"):
        raise InvalidParameterValue(
            f"Value ({source}) for parameter copyTagsFromSource is invalid. It must be volume."
        )
    asked = snapshot_sets.SnapshotSet(
        instance_id=parse_instance_id(spec["InstanceId"]),
        description=request.get("Description") or "",
        exclude_root=spec.get("ExcludeBootVolume", False),
        excluded=frozenset(map(parse_volume_id, excluded)),
        copies_tags=source == "volume",
        tags=tag_specifications(request, "snapshot").get("snapshot", {}),
    )
    made = snapshot_sets.create_snapshots(svc, caller, asked)
    return {"Snapshots": [_info(snapshot, tags) for snapshot, tags in made]}


def _info(snapshot: Snapshot, tags: Mapping[str, str]) -> dict[str, Any]:
    """As CreateSnapshots tells a snapshot: fewer members, and no tier."""
    told = snapshot_answer(snapshot, tags)
    shared = ("SnapshotId", "VolumeId", "State", "StartTime", "Progress", "OwnerId")
    more = ("Description", "VolumeSize", "Encrypted", "Tags")
    return {name: told[name] for name in (*shared, *more)}


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
        "TransferType": snapshot.transfer_type,
        "StorageTier": snapshot.storage_tier,
        "RestoreExpiryTime": snapshot.restore_expires_at,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return {name: value for name, value in answer.items() if value is not None}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateSnapshot": operation(
        create_snapshot, "VolumeId", "Description", "TagSpecifications", partly="no Location"
    ),
    "CreateSnapshots": operation(
        create_snapshots,
        *("InstanceSpecification", "Description", "TagSpecifications", "CopyTagsFromSource"),
        partly="no Location, no Outposts",
    ),
    "DescribeSnapshots": operation(
        describe_snapshots,
        *("SnapshotIds", "OwnerIds", "RestorableByUserIds", "Filters", "MaxResults", "NextToken"),
    ),
    "DeleteSnapshot": operation(delete_snapshot, "SnapshotId"),
}
