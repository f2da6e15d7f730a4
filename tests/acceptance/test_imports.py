"""Disks from outside by the real aws CLI: S-14, over S3 on the same port."""

import subprocess
from pathlib import Path
from typing import Any

from support import api
from support.server import Server

ACCOUNT = "imports"
BUCKET = "imports-disks"


def test_s14_a_disk_that_was_made_elsewhere_becomes_an_image(
    record_server: Server, tmp_path: Path
) -> None:
    ec2: Any = record_server.client(account=ACCOUNT)
    record_server.client("s3", ACCOUNT).create_bucket(Bucket=BUCKET)
    url = f"s3://{BUCKET}/disk.vmdk"
    file = str(_disk(tmp_path))
    record_server.aws("s3", "cp", "--quiet", file, url, account=ACCOUNT)
    disk = f"Format=VMDK,UserBucket={{S3Bucket={BUCKET},S3Key=disk.vmdk}}"
    begun = record_server.aws(
        *("ec2", "import-snapshot", "--description", "brought along", "--disk-container", disk),
        account=ACCOUNT,
    )
    task_id = begun["ImportTaskId"]
    assert begun["SnapshotTaskDetail"]["Status"] == "active"
    api.await_state(ec2, "snapshot_imported", ImportTaskIds=[task_id])
    told = record_server.aws(
        *("ec2", "describe-import-snapshot-tasks", "--import-task-ids", task_id), account=ACCOUNT
    )
    (task,) = told["ImportSnapshotTasks"]
    detail = task["SnapshotTaskDetail"]
    assert (detail["Status"], detail["Progress"], detail["Format"]) == ("completed", "100", "VMDK")
    assert detail["DiskImageSize"] == float(Path(file).stat().st_size)
    root = f"DeviceName=/dev/xvda,Ebs={{SnapshotId={detail['SnapshotId']}}}"
    registered = record_server.aws(
        *("ec2", "register-image", "--name", "mine", "--architecture", "x86_64"),
        *("--virtualization-type", "hvm", "--root-device-name", "/dev/xvda"),
        *("--block-device-mappings", root),
        account=ACCOUNT,
    )
    assert api.image(ec2, registered["ImageId"])["State"] == "available"
    begun = record_server.aws(
        *("ec2", "import-image", "--disk-containers", f"Url={url}"), account=ACCOUNT
    )
    image_task = begun["ImportTaskId"]
    api.await_state(ec2, "image_exists", Filters=[_named(image_task)])
    (image,) = ec2.describe_images(Owners=["self"], Filters=[_named(image_task)])["Images"]
    assert (image["State"], image["BootMode"]) == ("available", "legacy-bios")
    told = record_server.aws(
        *("ec2", "describe-import-image-tasks", "--filters", "Name=task-state,Values=completed"),
        account=ACCOUNT,
    )
    assert [each["ImageId"] for each in told["ImportImageTasks"]] == [image["ImageId"]]


def _named(name: str) -> dict[str, Any]:
    return {"Name": "name", "Values": [name]}


def _disk(directory: Path) -> Path:
    """Of a partition that the BIOS would boot."""
    raw, packed = directory / "disk.raw", directory / "disk.vmdk"
    record = bytearray(1 << 20)
    record[0], record[450], record[510:512] = 0xEB, 0x83, b"\x55\xaa"
    raw.write_bytes(record)
    command = ("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized")
    subprocess.run([*command, str(raw), str(packed)], check=True)
    return packed
