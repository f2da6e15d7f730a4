"""Snapshots read block by block."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from openami.actions.direct import reads as actions
from openami.actions.direct.reads import Listing, Span
from openami.domain.block import BLOCK_BYTES
from openami.domain.caller import Caller
from openami.domain.direct.refusals import invalid
from openami.domain.ids import SnapshotId
from openami.doors.operation import Operation, Request, Result, operation
from openami.doors.paging import place_of, token_after
from openami.services import Services

PAGE_MAX: Final = 10_000


def checksum_of(block: bytes) -> str:
    return base64.b64encode(hashlib.sha256(block).digest()).decode()


def list_snapshot_blocks(svc: Services, caller: Caller, request: Request) -> Result:
    snapshot_id = SnapshotId(request["SnapshotId"])
    span = _span(request, snapshot_id)
    listing = actions.list_snapshot_blocks(svc, caller, snapshot_id, span)
    blocks = [{"BlockIndex": each.index, "BlockToken": each.token} for each in listing.blocks]
    return {"Blocks": blocks, **_about(listing, snapshot_id)}


def list_changed_blocks(svc: Services, caller: Caller, request: Request) -> Result:
    if "FirstSnapshotId" not in request:
        raise invalid("INVALID_PARAMETER_VALUE", "FirstSnapshotId must be specified.")
    first, second = SnapshotId(request["FirstSnapshotId"]), SnapshotId(request["SecondSnapshotId"])
    span = _span(request, f"{first}:{second}")
    listing = actions.list_changed_blocks(svc, caller, first, second, span)
    blocks: list[dict[str, Any]] = []
    for each in listing.blocks:
        block = {"BlockIndex": each.index, "SecondBlockToken": each.token}
        if each.first_token is not None:
            block["FirstBlockToken"] = each.first_token
        blocks.append(block)
    return {"ChangedBlocks": blocks, **_about(listing, f"{first}:{second}")}


def _span(request: Request, listed: str) -> Span:
    """Which part is asked for. A token of another listing is none of this one."""
    start: int = request.get("StartingBlockIndex", 0)
    token: str | None = request.get("NextToken")
    if token is not None:
        of, _, index = (place_of(token) or "").rpartition(":")
        if of != listed or not (index.isascii() and index.isdecimal()):
            raise invalid("INVALID_PAGE_TOKEN", f"The token '{token[:60]}' is invalid.")
        start = int(index)
    return Span(start=start, limit=request.get("MaxResults", PAGE_MAX))


def _about(listing: Listing, listed: str) -> dict[str, Any]:
    about: dict[str, Any] = {
        "ExpiryTime": listing.expires_at,
        "VolumeSize": listing.volume_size_gib,
        "BlockSize": BLOCK_BYTES,
    }
    if listing.next_start is not None:
        about["NextToken"] = token_after(f"{listed}:{listing.next_start}")
    return about


def get_snapshot_block(svc: Services, caller: Caller, request: Request) -> Result:
    block = actions.get_snapshot_block(
        svc,
        caller,
        SnapshotId(request["SnapshotId"]),
        request["BlockIndex"],
        request["BlockToken"],
    )
    return {
        "DataLength": len(block),
        "BlockData": block,
        "Checksum": checksum_of(block),
        "ChecksumAlgorithm": "SHA256",
    }


_PAGE: Final = ("NextToken", "MaxResults", "StartingBlockIndex")
OPERATIONS: Final[Mapping[str, Operation]] = {
    "ListSnapshotBlocks": operation(list_snapshot_blocks, "SnapshotId", *_PAGE),
    "ListChangedBlocks": operation(
        list_changed_blocks, "FirstSnapshotId", "SecondSnapshotId", *_PAGE
    ),
    "GetSnapshotBlock": operation(get_snapshot_block, "SnapshotId", "BlockIndex", "BlockToken"),
}
