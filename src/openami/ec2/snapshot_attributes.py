"""DescribeSnapshotAttribute, ModifySnapshotAttribute, ResetSnapshotAttribute."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import snapshot_attributes as actions
from openami.actions.snapshot_attributes import VolumePermissions
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidRequest,
    MissingParameter,
)
from openami.domain.ids import AccountId, parse_account_id, parse_snapshot_id
from openami.domain.snapshot import Snapshot
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.services import Services

CHANGES_MAX: Final = 500
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifySnapshotAttribute.html"""

_PERMISSION: Final = "createVolumePermission"
_LISTS: Final = {"UserIds": "UserId", "GroupNames": "Group"}


def describe_snapshot_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    attribute = request["Attribute"]
    if attribute not in (_PERMISSION, "productCodes"):
        raise InvalidRequest("The request received was invalid")
    snapshot = actions.fetch_own_snapshot(svc, caller, parse_snapshot_id(request["SnapshotId"]))
    if attribute == "productCodes":
        return {"SnapshotId": snapshot.id, "ProductCodes": []}
    return {"SnapshotId": snapshot.id, "CreateVolumePermissions": _permissions(snapshot)}


def _permissions(snapshot: Snapshot) -> Sequence[Mapping[str, str]]:
    given: list[dict[str, str]] = [{"Group": "all"}] if snapshot.public else []
    given.extend({"UserId": account} for account in sorted(snapshot.shared_with))
    return given


def modify_snapshot_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = parse_snapshot_id(request["SnapshotId"])
    if request.get("Attribute", _PERMISSION) != _PERMISSION:
        raise InvalidParameterValue("Only createVolumePermission of a snapshot can be modified.")
    kind, items = _change(request)
    if not items:
        raise MissingParameter("createVolumePermission")
    if len(items) > CHANGES_MAX:
        raise InvalidParameterValue(
            f"At most {CHANGES_MAX} modifications can be made to a snapshot at once."
        )
    change = {"add": actions.add_volume_permission, "remove": actions.remove_volume_permission}
    change[kind](svc, caller, snapshot_id, _parsed(items))
    return {}


def _change(request: Request) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """Whether to add or to remove, and what, in whichever of EC2's two shapes it is said."""
    if "CreateVolumePermission" not in request:
        kind = request.get("OperationType")
        if kind is None:
            raise MissingParameter("operationType")
        if kind not in ("add", "remove"):
            raise InvalidParameterValue(
                f"Value ({kind}) for parameter operationType is invalid. It is add or remove."
            )
        return kind, [
            {item: value} for field, item in _LISTS.items() for value in request.get(field, ())
        ]
    wanted = request["CreateVolumePermission"]
    only(wanted, "CreateVolumePermission.", {"Add", "Remove"})
    repeated = request.get("OperationType", "").capitalize() in ("", *wanted)
    if not repeated or any(name in request for name in _LISTS):
        raise InvalidParameterCombination("CreateVolumePermission names all that it changes itself")
    if wanted.get("Add") and wanted.get("Remove"):
        raise InvalidParameterCombination(
            "Permissions can be added or removed in one operation, not both."
        )
    kind = "add" if wanted.get("Add") else "remove"
    return kind, wanted.get(kind.capitalize(), ())


def _parsed(items: Sequence[Mapping[str, Any]]) -> VolumePermissions:
    users: set[AccountId] = set()
    for item in items:
        only(item, "CreateVolumePermission.", {"UserId", "Group"})
        if not item:
            raise InvalidParameterCombination("A permission names nobody")
        if item.get("Group", "all") != "all":
            raise InvalidParameterValue(
                f"Value ({item['Group']}) for parameter group is invalid. It must be all."
            )
        if "UserId" in item:
            users.add(parse_account_id(item["UserId"]))
    return VolumePermissions(
        accounts=frozenset(users), everybody=any("Group" in item for item in items)
    )


def reset_snapshot_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = parse_snapshot_id(request["SnapshotId"])
    if request["Attribute"] != _PERMISSION:
        raise InvalidRequest("The request received was invalid")
    actions.reset_volume_permission(svc, caller, snapshot_id)
    return {}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeSnapshotAttribute": operation(describe_snapshot_attribute, "SnapshotId", "Attribute"),
    "ModifySnapshotAttribute": operation(
        modify_snapshot_attribute,
        *("SnapshotId", "Attribute", "CreateVolumePermission"),
        *("OperationType", *_LISTS),
    ),
    "ResetSnapshotAttribute": operation(reset_snapshot_attribute, "SnapshotId", "Attribute"),
}
