"""The EBS direct APIs in tests, called without HTTP."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
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


def begun(svc: Services, **more: Any) -> str:
    return str(ask_ebs(svc, "StartSnapshot", **({"VolumeSize": 1} | more))["SnapshotId"])


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def data(sign: str) -> bytes:
    return sign.encode() * (512 << 10)


def putting(snapshot_id: str, index: int, sign: str) -> dict[str, Any]:
    return {
        "SnapshotId": snapshot_id,
        "BlockIndex": index,
        "BlockData": data(sign),
        "DataLength": 512 << 10,
        "Checksum": text(sha256(data(sign))),
        "ChecksumAlgorithm": "SHA256",
    }


def write(svc: Services, snapshot_id: str, signs: Mapping[int, str]) -> None:
    for index, sign in signs.items():
        asked = putting(snapshot_id, index, sign)
        assert ask_ebs(svc, "PutSnapshotBlock", **asked)["Checksum"] == asked["Checksum"]


def complete(svc: Services, snapshot_id: str, count: int, **more: Any) -> str:
    asked = {"SnapshotId": snapshot_id, "ChangedBlocksCount": count, **more}
    return str(ask_ebs(svc, "CompleteSnapshot", **asked)["Status"])


def written(svc: Services, signs: Mapping[int, str], **more: Any) -> str:
    snapshot_id = begun(svc, **more)
    write(svc, snapshot_id, signs)
    assert complete(svc, snapshot_id, len(signs)) == "completed"
    return snapshot_id
