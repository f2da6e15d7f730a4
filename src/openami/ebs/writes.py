"""Snapshots written block by block."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from openami.actions.direct import writes as actions
from openami.domain.block import BLOCK_BYTES
from openami.domain.caller import Caller
from openami.domain.direct.refusals import invalid
from openami.domain.direct.writing import TIMEOUT_MINUTES
from openami.domain.errors import UnsupportedOperation
from openami.domain.ids import SnapshotId
from openami.domain.tag import checked_tags
from openami.doors.client_token import fingerprinted
from openami.doors.operation import Operation, Request, Result, operation
from openami.services import Services


def start_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    if request.get("Encrypted"):
        raise UnsupportedOperation("Encrypted snapshots are not supported by openami")
    parent: str | None = request.get("ParentSnapshotId")
    pairs = [(each.get("Key", ""), each.get("Value", "")) for each in request.get("Tags", ())]
    asked = actions.SnapshotRequest(
        volume_size_gib=request["VolumeSize"],
        parent_id=None if parent is None else SnapshotId(parent),
        description=request.get("Description", ""),
        tags=checked_tags(pairs),
        timeout_minutes=request.get("Timeout", TIMEOUT_MINUTES),
    )
    token = fingerprinted("StartSnapshot", request)
    snapshot = actions.start_snapshot(svc, caller, asked, token)
    answer: dict[str, Any] = {
        "SnapshotId": snapshot.id,
        "OwnerId": snapshot.owner,
        "Status": snapshot.state,
        "StartTime": snapshot.started_at,
        "VolumeSize": snapshot.volume_size_gib,
        "BlockSize": BLOCK_BYTES,
        "Tags": [{"Key": key, "Value": value} for key, value in asked.tags.items()],
    }
    told = {"Description": snapshot.description, "ParentSnapshotId": parent}
    return answer | {name: value for name, value in told.items() if value}


def put_snapshot_block(svc: Services, caller: Caller, request: Request) -> Result:
    block: bytes = request["BlockData"]
    if not len(block) == request["DataLength"] == BLOCK_BYTES:
        raise _wrong(f"A block has {BLOCK_BYTES} bytes, in its body and by x-amz-Data-Length.")
    checksum = hashlib.sha256(block).digest()
    if not hmac.compare_digest(checksum, _checksum(request)):
        raise _wrong("The checksum is not that of the block's data.")
    actions.put_snapshot_block(
        svc,
        caller,
        SnapshotId(request["SnapshotId"]),
        request["BlockIndex"],
        block,
        checksum,
        request.get("Progress"),
    )
    return {"Checksum": base64.b64encode(checksum).decode(), "ChecksumAlgorithm": "SHA256"}


def _checksum(request: Request) -> bytes:
    try:
        return base64.b64decode(request["Checksum"], validate=True)
    except (ValueError, binascii.Error) as bad:
        raise _wrong("The checksum is not Base64.") from bad


def complete_snapshot(svc: Services, caller: Caller, request: Request) -> Result:
    beside = {"ChecksumAlgorithm", "ChecksumAggregationMethod"} & set(request)
    if "Checksum" not in request and beside:
        raise _wrong("There is no checksum for the algorithm or the method that are given.")
    state = actions.complete_snapshot(
        svc,
        caller,
        SnapshotId(request["SnapshotId"]),
        request["ChangedBlocksCount"],
        _checksum(request) if "Checksum" in request else None,
    )
    return {"Status": state}


def _wrong(sentence: str) -> Exception:
    return invalid("INVALID_PARAMETER_VALUE", sentence)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "StartSnapshot": operation(
        start_snapshot,
        *("VolumeSize", "ParentSnapshotId", "Tags", "Description", "ClientToken"),
        *("Encrypted", "Timeout"),
    ),
    "PutSnapshotBlock": operation(
        put_snapshot_block,
        *("SnapshotId", "BlockIndex", "BlockData", "DataLength", "Progress"),
        *("Checksum", "ChecksumAlgorithm"),
    ),
    "CompleteSnapshot": operation(
        complete_snapshot,
        *("SnapshotId", "ChangedBlocksCount", "Checksum"),
        *("ChecksumAlgorithm", "ChecksumAggregationMethod"),
    ),
}
