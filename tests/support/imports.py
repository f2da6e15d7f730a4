"""Disks in buckets, and their imports, for tests."""

import io
import tarfile
from pathlib import Path
from typing import Any, cast

from openami.actions import buckets
from openami.domain.ids import AccountId
from openami.services import Services
from support.asking import ask
from support.blocks import a_disk, qemu_img
from support.builders import ALICE, HERE, a_caller
from support.objects import MemoryObjects

BLOCK = 512 * 1024
CONTENT = {0: "a", 5: "b"}


def a_raw_disk(directory: Path, content: dict[int, str] | None = None) -> Path:
    """4 MiB, each block that is not a hole filled with one sign."""
    directory.mkdir(parents=True, exist_ok=True)
    signs = CONTENT if content is None else content
    blocks = {index: sign.encode() * BLOCK for index, sign in signs.items()}
    return a_disk(directory / "disk.raw", blocks, 8 * BLOCK)


def converted(raw: Path, disk_format: str, options: str = "") -> bytes:
    out = raw.with_suffix(f".{disk_format}")
    more = ("-o", options) if options else ()
    qemu_img("convert", "-f", "raw", "-O", disk_format, *more, raw, out)
    return out.read_bytes()


def the_objects(svc: Services) -> MemoryObjects:
    return cast("MemoryObjects", svc.objects)


def upload(
    svc: Services, key: str, data: bytes, bucket: str = "disks", owner: AccountId = ALICE
) -> None:
    buckets.claim_bucket(svc, a_caller(owner), bucket, HERE)
    the_objects(svc).buckets.add(bucket)
    the_objects(svc).held[bucket, key] = data


def bring(svc: Services, key: str, **more: Any) -> str:
    """The id of the task that imports an object of the bucket as a snapshot."""
    disk = {"UserBucket": {"S3Bucket": "disks", "S3Key": key}} | more.pop("disk", {})
    return str(ask(svc, "ImportSnapshot", DiskContainer=disk, **more)["ImportTaskId"])


def bring_image(svc: Services, *keys: str, **more: Any) -> str:
    disks = [{"Url": f"s3://disks/{key}"} for key in keys]
    return str(ask(svc, "ImportImage", DiskContainers=disks, **more)["ImportTaskId"])


def task(svc: Services, task_id: str) -> dict[str, Any]:
    """The detail of a snapshot's task, or an image's task."""
    if task_id.startswith("import-ami"):
        (found,) = ask(svc, "DescribeImportImageTasks", ImportTaskIds=[task_id])["ImportImageTasks"]
        return dict(found)
    (found,) = ask(svc, "DescribeImportSnapshotTasks", ImportTaskIds=[task_id])[
        "ImportSnapshotTasks"
    ]
    return dict(found["SnapshotTaskDetail"])


def an_ova(
    disk: bytes, *, name: str = "disk.vmdk", ovf: str | None = None, **members: bytes
) -> bytes:
    """An archive with a description of the one disk, the disk, and whatever else is given."""
    description = described(name, len(disk)) if ovf is None else ovf
    files = {"machine.ovf": description.encode(), name: disk} | members
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for each, data in files.items():
            member = tarfile.TarInfo(each)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def described(
    href: str,
    size: int,
    disk_format: str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References><File ovf:href="{href}" ovf:id="file1" ovf:size="{size}"/></References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="4194304" ovf:diskId="disk1" ovf:fileRef="file1" ovf:format="{disk_format}"/>
  </DiskSection>
</Envelope>
"""
