"""Images and disks go into a bucket and come back, with the real aws CLI."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.diskimage import qemu_img
from openami.diskimage.formats import DiskFormat
from support import api
from support.server import Server, until

ACCOUNT, BUCKET = "transfers", "transfers-a"
GIB = 1 << 30


@pytest.fixture(scope="module")
def ec2(record_server: Server) -> Any:
    record_server.client("s3", account=ACCOUNT).create_bucket(Bucket=BUCKET)
    return record_server.client(account=ACCOUNT)


@pytest.fixture(scope="module")
def image_id(ec2: Any, small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of(ACCOUNT)


def aws(server: Server, *words: str) -> Any:
    return server.aws("ec2", *words, account=ACCOUNT)


def fetched(server: Server, key: str, target: Path) -> Path:
    server.client("s3", account=ACCOUNT).download_file(BUCKET, key, str(target))
    return target


def holds(raw: Path, disk: Path) -> bool:
    """Whether the raw file begins with the disk and has nothing after it."""
    with raw.open("rb") as file:
        begins = file.read(disk.stat().st_size) == disk.read_bytes()
        return begins and not any(any(block) for block in iter(lambda: file.read(1 << 20), b""))


def as_raw(file: Path, disk_format: str) -> Path:
    raw = file.with_suffix(".back")
    info = qemu_img.convert_to_raw(file, DiskFormat(disk_format), raw)
    assert info.virtual_size_bytes == GIB
    return raw


def exported(server: Server, ec2: Any, image_id: str, disk_format: str) -> str:
    """The key of the file, when the task has completed."""
    place = {"S3Bucket": BUCKET, "S3Prefix": "exports/"}
    task = aws(
        *(server, "export-image", "--image-id", image_id, "--disk-image-format", disk_format),
        *("--s3-export-location", json.dumps(place)),
    )
    task_id = task["ExportImageTaskId"]

    def ended() -> Any:
        (told,) = ec2.describe_export_image_tasks(ExportImageTaskIds=[task_id])["ExportImageTasks"]
        return told if told["Status"] != "active" else None

    told = until(ended, 120, "the export's end")
    assert told["Status"] == "completed", told
    return f"exports/{task_id}.{disk_format.lower()}"


def test_an_image_is_stored_deregistered_and_restored_as_it_was(
    record_server: Server, ec2: Any, image_id: str, small_disk: Path, tmp_path: Path
) -> None:
    own = ec2.copy_image(Name="to-store", SourceImageId=image_id, SourceRegion="us-east-1")
    api.await_state(ec2, "image_available", ImageIds=[own["ImageId"]])
    before = api.image(ec2, own["ImageId"])
    stored = aws(
        *(record_server, "create-store-image-task", "--image-id", own["ImageId"]),
        *("--bucket", BUCKET, "--s3-object-tags", "Key=Team,Value=os"),
    )
    assert stored == {"ObjectKey": f"{own['ImageId']}.bin"}
    aws(record_server, "wait", "store-image-task-complete", "--image-ids", own["ImageId"])
    s3 = record_server.client("s3", account=ACCOUNT)
    tags = s3.get_object_tagging(Bucket=BUCKET, Key=stored["ObjectKey"])["TagSet"]
    assert tags == [{"Key": "Team", "Value": "os"}]
    ec2.deregister_image(ImageId=own["ImageId"], DeleteAssociatedSnapshots=True)
    restored = aws(
        *(record_server, "create-restore-image-task", "--bucket", BUCKET),
        *("--object-key", stored["ObjectKey"]),
    )["ImageId"]
    api.await_state(ec2, "image_available", ImageIds=[restored])
    after = api.image(ec2, restored)
    same = ("Name", "Architecture", "RootDeviceName", "BootMode", "EnaSupport")
    assert {name: after.get(name) for name in same} == {name: before.get(name) for name in same}
    file = fetched(record_server, exported(record_server, ec2, restored, "VHD"), tmp_path / "d")
    assert holds(as_raw(file, "vhd"), small_disk), "the bytes are those of the first image"
    assert api.launch(ec2, restored)["State"]["Name"] == "running"


def test_a_damaged_object_is_refused_or_makes_a_failed_image(
    record_server: Server, ec2: Any, image_id: str
) -> None:
    s3 = record_server.client("s3", account=ACCOUNT)
    key = ec2.create_store_image_task(ImageId=image_id, Bucket=BUCKET)["ObjectKey"]
    api.await_state(ec2, "store_image_task_complete", ImageIds=[image_id])
    whole = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.put_object(Bucket=BUCKET, Key="cut", Body=whole[:-1])
    s3.put_object(Bucket=BUCKET, Key="other", Body=b"not an image")
    asked = {"Bucket": BUCKET, "Name": "damaged"}
    assert api.refusal(ec2.create_restore_image_task, ObjectKey="other", **asked) == (
        "InvalidParameterValue"
    )
    made = ec2.create_restore_image_task(ObjectKey="cut", **asked)["ImageId"]
    until(lambda: api.image(ec2, made)["State"] == "failed", 60, "the image's failure")
    failed = api.image(ec2, made)
    assert "ends too early" in failed["StateReason"]["Message"]
    ec2.deregister_image(ImageId=made)


def test_an_image_exported_as_a_vmdk_is_the_same_byte_for_byte(
    record_server: Server, ec2: Any, image_id: str, small_disk: Path, tmp_path: Path
) -> None:
    key = exported(record_server, ec2, image_id, "VMDK")
    file = fetched(record_server, key, tmp_path / "disk.vmdk")
    assert holds(as_raw(file, "vmdk"), small_disk)


def test_a_stopped_instance_is_exported_as_an_ova(
    record_server: Server, ec2: Any, image_id: str, small_disk: Path, tmp_path: Path
) -> None:
    instance_id = api.launch(ec2, image_id)["InstanceId"]
    api.stop(ec2, instance_id)
    place = {"S3Bucket": BUCKET, "S3Prefix": "vm/", "ContainerFormat": "ova"}
    task = aws(
        *(record_server, "create-instance-export-task", "--instance-id", instance_id),
        *("--target-environment", "vmware", "--export-to-s3-task", json.dumps(place)),
    )["ExportTask"]
    aws(record_server, "wait", "export-task-completed", "--export-task-ids", task["ExportTaskId"])
    key = task["ExportToS3Task"]["S3Key"]
    with tarfile.open(fetched(record_server, key, tmp_path / "vm.ova")) as archive:
        archive.extractall(tmp_path, filter="data")
    (disk,) = tmp_path.glob("*.vmdk")
    assert holds(as_raw(disk, "vmdk"), small_disk)
    refused = api.refusal(ec2.cancel_export_task, ExportTaskId=task["ExportTaskId"])
    assert refused == "InvalidParameterValue"
