"""The EBS direct APIs in tests, called without HTTP."""

from collections.abc import Iterator
from typing import Any

from openami.domain.ids import AccountId, Region
from openami.ebs.operations import OPERATIONS
from openami.services import Services
from support.builders import ALICE, HERE, a_caller
from support.model_check import held


def ask_ebs(
    svc: Services, operation: str, account: AccountId = ALICE, region: Region = HERE, **request: Any
) -> dict[str, Any]:
    """The answer of an operation of the service ebs. Raises EC2Error."""
    return held("ebs", operation, OPERATIONS[operation](svc, a_caller(account, region), request))


def blocks_read(svc: Services, snapshot_id: str, **more: Any) -> dict[int, str]:
    """Block index → the sign it is filled with, of a snapshot that is read as clients read it."""
    return {
        index: read_block(svc, snapshot_id, index, token, **more)
        for index, token in tokens(svc, snapshot_id, **more)
    }


def tokens(svc: Services, snapshot_id: str, **more: Any) -> Iterator[tuple[int, str]]:
    asked = {"SnapshotId": snapshot_id, **more}
    while True:
        page = ask_ebs(svc, "ListSnapshotBlocks", **asked)
        yield from ((each["BlockIndex"], each["BlockToken"]) for each in page["Blocks"])
        if "NextToken" not in page:
            return
        asked["NextToken"] = page["NextToken"]


def read_block(svc: Services, snapshot_id: str, index: int, token: str, **more: Any) -> str:
    """The sign that the block is filled with."""
    asked = {"SnapshotId": snapshot_id, "BlockIndex": index, "BlockToken": token, **more}
    data: bytes = ask_ebs(svc, "GetSnapshotBlock", **asked)["BlockData"]
    assert data == data[:1] * (512 << 10)
    return data[:1].decode()
