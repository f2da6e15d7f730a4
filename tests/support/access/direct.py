"""Snapshots read block by block: the owner does, and whom they are shared with by name.

Nobody has a good block token here: who may read is told that by the refusal of a wrong one.
"""

from typing import Any, Final

from support.access.row import MAY, Access

UNKNOWN: Final = "ResourceNotFoundException"
_WRONG_TOKEN: Final = "ValidationException"


def _direct(operation: str, reader: str, owner: str, **request: Any) -> Access:
    return Access(
        service="ebs",
        operation=operation,
        request=request,
        stranger=UNKNOWN,
        reader=reader,
        owner=owner,
    )


def _block(snapshot: str) -> dict[str, Any]:
    return {"SnapshotId": snapshot, "BlockIndex": 0, "BlockToken": "AAAA"}


ROWS: Final[tuple[Access, ...]] = (
    _direct("ListSnapshotBlocks", MAY, MAY, SnapshotId="{snapshot}"),
    _direct("ListSnapshotBlocks", UNKNOWN, MAY, SnapshotId="{free_snapshot}"),
    _direct(
        "ListChangedBlocks",
        *(MAY, MAY),
        FirstSnapshotId="{snapshot}",
        SecondSnapshotId="{snapshot}",
    ),
    _direct(
        "ListChangedBlocks",
        *(UNKNOWN, "ValidationException"),  # they are not of one lineage
        FirstSnapshotId="{snapshot}",
        SecondSnapshotId="{free_snapshot}",
    ),
    _direct("GetSnapshotBlock", _WRONG_TOKEN, _WRONG_TOKEN, **_block("{snapshot}")),
    _direct("GetSnapshotBlock", UNKNOWN, _WRONG_TOKEN, **_block("{free_snapshot}")),
)
