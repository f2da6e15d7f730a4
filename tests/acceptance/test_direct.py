"""The EBS direct APIs as their clients use them: boto3 writes a snapshot, dsnap downloads it."""

import base64
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support import api, programs
from support.server import Server

REQUIREMENTS = ("dsnap[cli]==1.0.1",)
ACCOUNT = "direct"
BLOCK = 512 << 10
BLOCKS = {0: b"first", 7: b"\xff\x00", 2047: b"last"}


def block(text: bytes) -> bytes:
    return (text * BLOCK)[:BLOCK]


def written(ebs: Any, **more: Any) -> str:
    """A snapshot of a disk of 1 GiB, put by hand."""
    snapshot_id: str = ebs.start_snapshot(VolumeSize=1, **more)["SnapshotId"]
    checksums: dict[int, bytes] = {}
    for index in reversed(BLOCKS):
        data = block(BLOCKS[index])
        checksums[index] = hashlib.sha256(data).digest()
        ebs.put_snapshot_block(
            SnapshotId=snapshot_id,
            BlockIndex=index,
            BlockData=data,
            DataLength=BLOCK,
            Checksum=base64.b64encode(checksums[index]).decode(),
            ChecksumAlgorithm="SHA256",
        )
    linear = hashlib.sha256(b"".join(checksums[index] for index in sorted(checksums))).digest()
    ebs.complete_snapshot(
        SnapshotId=snapshot_id,
        ChangedBlocksCount=len(BLOCKS),
        Checksum=base64.b64encode(linear).decode(),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    return snapshot_id


@pytest.mark.timeout(600)
def test_dsnap_downloads_the_disk_that_was_written(record_server: Server, tmp_path: Path) -> None:
    ebs = record_server.client("ebs", ACCOUNT)
    ec2: Any = record_server.client(account=ACCOUNT)
    snapshot_id = written(ebs, Description="by hand")
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    bin_dir = programs.python_programs("dsnap", *REQUIREMENTS)
    command: list[str | Path] = [bin_dir / "dsnap", "get", snapshot_id]
    programs.run(command, env=record_server.client_environment(ACCOUNT), where=tmp_path)
    (image,) = tmp_path.glob("*.img")
    expected = tmp_path / "expected.raw"
    with expected.open("wb") as file:
        file.truncate(1 << 30)
        for index, text in BLOCKS.items():
            file.seek(index * BLOCK)
            file.write(block(text))
    compared = subprocess.run(["cmp", image, expected], check=False, capture_output=True, text=True)
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_a_disk_of_16_tib_is_made_snapshotted_compared_and_deleted(record_server: Server) -> None:
    ebs = record_server.client("ebs", ACCOUNT)
    ec2: Any = record_server.client(account=ACCOUNT)
    before = written(ebs)
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[before])
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=before, Size=16384)[
        "VolumeId"
    ]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    after = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[after])
    asked = {"FirstSnapshotId": before, "SecondSnapshotId": after}
    told = ebs.list_changed_blocks(**asked)
    assert (told["ChangedBlocks"], told["VolumeSize"]) == ([], 16384)
    listed = ebs.list_snapshot_blocks(SnapshotId=after)["Blocks"]
    assert [each["BlockIndex"] for each in listed] == sorted(BLOCKS)
    ec2.delete_volume(VolumeId=volume_id)
    for each in (before, after):
        ec2.delete_snapshot(SnapshotId=each)
    refused = ebs.exceptions.ResourceNotFoundException
    with pytest.raises(refused):
        ebs.list_snapshot_blocks(SnapshotId=after)
