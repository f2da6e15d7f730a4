"""Snapshots read and written block by block: the owner does, and whom they are shared with by name.

Nobody has a good block token here: who may read is told that by the refusal of a wrong one.
"""

import base64
import hashlib
from typing import Any, Final

from support.access.row import MAY, Access

NOT_YOURS: Final = "AccessDeniedException"
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


def _data(snapshot: str) -> dict[str, Any]:
    block = bytes(512 << 10)
    return {
        "SnapshotId": snapshot,
        "BlockIndex": 0,
        "BlockData": block,
        "DataLength": len(block),
        "Checksum": base64.b64encode(hashlib.sha256(block).digest()).decode(),
        "ChecksumAlgorithm": "SHA256",
    }


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
    _direct("StartSnapshot", MAY, MAY, ParentSnapshotId="{snapshot}", VolumeSize=16384),
    _direct("StartSnapshot", UNKNOWN, MAY, ParentSnapshotId="{free_snapshot}", VolumeSize=1),
    # They write to what StartSnapshot has begun: of others' they may not, of theirs they cannot.
    _direct("PutSnapshotBlock", NOT_YOURS, "ValidationException", **_data("{snapshot}")),
    _direct("PutSnapshotBlock", UNKNOWN, "ValidationException", **_data("{free_snapshot}")),
    *(
        _direct(
            "CompleteSnapshot",
            *(reader, "ValidationException"),
            SnapshotId=snapshot,
            ChangedBlocksCount=0,
        )
        for snapshot, reader in (("{snapshot}", NOT_YOURS), ("{free_snapshot}", UNKNOWN))
    ),
    _direct("GetSnapshotBlock", _WRONG_TOKEN, _WRONG_TOKEN, **_block("{snapshot}")),
    _direct("GetSnapshotBlock", UNKNOWN, _WRONG_TOKEN, **_block("{free_snapshot}")),
)
