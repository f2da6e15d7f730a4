"""A real server that is killed while disks and images go in and out: files, buckets, tasks.

Each burst asks for some transfers at once, some of which are cancelled. Whatever the moment, a
transfer that was begun comes to its end when the server is back, whole or not at all.
"""

import random  # noqa: TID251 (seeded: a failure names its seed)
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from openami.cli.main import main
from openami.diskimage import qemu_img
from openami.diskimage.formats import DiskFormat
from support.server import CUT_OFF, Server
from support.waiting import until

KILLED_WITHIN_S: Final = 1.5
AT_ONCE: Final = 4
DISK_BYTES: Final = 8 << 20
FORMATS: Final = ("raw", "qcow2", "vmdk")
UPLOADED: Final = "disks"
EXPORTED: Final = "exported"
STORED: Final = ("stored-a", "stored-b", "stored-c")
ENDED: Final = ("completed", "deleted")


@dataclass(kw_only=True)
class Transfers:
    """`content` is what every disk holds, wherever it is and whatever its format."""

    server: Server
    random: random.Random
    offered: Path
    content: bytes = b""
    image_id: str = ""
    told: list[str] = field(default_factory=list[str])

    @property
    def ec2(self) -> Any:
        return self.server.client()

    @property
    def s3(self) -> Any:
        return self.server.client("s3")

    def prepare(self) -> None:
        """The disk as files and objects, an image of it, and that image in a bucket."""
        record = bytearray(self.random.randbytes(512))
        record[446:512] = b"\0" * 4 + b"\x83" + b"\0" * 59 + b"\x55\xaa"  # one Linux partition
        self.content = bytes(record) + self.random.randbytes(DISK_BYTES - 512)
        raw = self.offered / "disk.raw"
        raw.write_bytes(self.content)
        for bucket in (UPLOADED, EXPORTED, *STORED):
            self.s3.create_bucket(Bucket=bucket)
        for name in FORMATS:
            file = self.offered / f"disk.{name}"
            if name != "raw":
                told = ["qemu-img", "convert", "-f", "raw", "-O", name, str(raw), str(file)]
                subprocess.run(told, check=True)
            self.s3.put_object(Bucket=UPLOADED, Key=file.name, Body=file.read_bytes())
        made = self.server.openami("image", "import", str(raw), "--name", "first")
        self.image_id = made.stdout.strip()
        self.ec2.create_store_image_task(ImageId=self.image_id, Bucket=STORED[0])
        self._until_ended()

    # A burst and a kill

    def kill_in_a_burst(self) -> None:
        acts = [self._act() for _ in range(AT_ONCE)]
        delay_s = self.random.uniform(0, KILLED_WITHIN_S)
        self.told.append(f"killed after {delay_s:.3f} s of {[name for name, _ in acts]}")
        with ThreadPoolExecutor(max_workers=len(acts)) as pool:
            began = time.monotonic()
            for _, act in acts:
                pool.submit(self._quietly, act)
            until(lambda: time.monotonic() - began >= delay_s, what="the moment comes")
            assert self.server.process is not None
            self.server.process.kill()
            self.server.process.wait(30)
        self.server.close_connections()
        self.server.process = None

    def _quietly(self, act: Callable[[], object]) -> None:
        """What is refused, or cut off, was not done: the checks tell whether that is so."""
        with suppress(*CUT_OFF):
            act()

    def _act(self) -> tuple[str, Callable[[], object]]:
        ec2, disk, exported = self.ec2, self._disk(), self._export()
        stored = {"ImageId": self.image_id, "Bucket": self.random.choice(STORED)}
        restored = {"Bucket": STORED[0], "ObjectKey": f"{self.image_id}.bin"}
        name = f"restored-{self.random.randbytes(4).hex()}"
        acts: dict[str, Callable[[], object]] = {
            "a snapshot": lambda: ec2.import_snapshot(DiskContainer=disk),
            "an image": lambda: ec2.import_image(DiskContainers=[disk]),
            "a cancelled import": lambda: ec2.cancel_import_task(
                ImportTaskId=ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"]
            ),
            "an export": lambda: ec2.export_image(**exported),
            "a cancelled export": lambda: ec2.cancel_export_task(
                ExportTaskId=ec2.export_image(**exported)["ExportImageTaskId"]
            ),
            "a stored image": lambda: ec2.create_store_image_task(**stored),
            "a restored image": lambda: ec2.create_restore_image_task(Name=name, **restored),
        }
        return self.random.choice(sorted(acts.items(), key=lambda each: each[0]))

    def _disk(self) -> dict[str, Any]:
        name = self.random.choice(FORMATS)
        places = (f"file://{self.offered}/disk.{name}", f"s3://{UPLOADED}/disk.{name}")
        return {"Format": name.upper(), "Url": self.random.choice(places)}

    def _export(self) -> dict[str, Any]:
        return {
            "ImageId": self.image_id,
            "DiskImageFormat": self.random.choice(["VMDK", "VHD"]),
            "S3ExportLocation": {"S3Bucket": EXPORTED},
        }

    # What must be true after

    def check(self) -> None:
        """Every transfer has ended; what it made is there, and nothing else is."""
        self._until_ended()
        imports = self._imports()
        assert {each["Status"] for each in imports} <= set(ENDED)
        images = self.ec2.describe_images(Owners=["self"])["Images"]
        assert {each["State"] for each in images} == {"available"}
        made = {each["SnapshotId"] for each in imports if each["Status"] == "completed"}
        made |= {each["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] for each in images}
        found = self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        assert {each["SnapshotId"] for each in found} == made
        assert {each["State"] for each in found} == {"completed"}
        self._check_buckets()
        assert self._store("verify") == 0
        scratch = self.server.state_dir / "scratch"
        until(lambda: not any(scratch.glob("*")), 120, "the sweep has removed what is left")
        assert list((self.server.state_dir / "chunks" / "stage").iterdir()) == []

    def _check_buckets(self) -> None:
        """The objects are those of the tasks that have completed, and no upload is half done."""
        exports = self.ec2.describe_export_image_tasks()["ExportImageTasks"]
        done = {each["ExportImageTaskId"] for each in exports if each["Status"] == "completed"}
        assert {Path(key).stem for key in self._keys(EXPORTED)} == done
        assert {each["StoreTaskState"] for each in self._stores()} == {"Completed"}
        for bucket in STORED:
            keys = {each["S3objectKey"] for each in self._stores() if each["Bucket"] == bucket}
            assert self._keys(bucket) == keys
        for bucket in (EXPORTED, *STORED):
            assert self.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []

    def _keys(self, bucket: str) -> set[str]:
        return {each["Key"] for each in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])}

    def _until_ended(self) -> None:
        until(lambda: not list(self._active()), 120, "every transfer has ended")

    def _active(self) -> Iterator[str]:
        exports = self.ec2.describe_export_image_tasks()["ExportImageTasks"]
        for each in (*self._imports(), *exports):
            if each["Status"] not in ENDED:
                yield str(each)
        for each in self._stores():
            if each["StoreTaskState"] == "InProgress":
                yield str(each)
        for each in self.ec2.describe_images(Owners=["self"])["Images"]:
            if each["State"] == "pending":
                yield str(each)

    def _imports(self) -> list[dict[str, Any]]:
        """Status and snapshot of each, of both kinds."""
        found = self.ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"]
        brought = self.ec2.describe_import_image_tasks()["ImportImageTasks"]
        return [
            *(each["SnapshotTaskDetail"] for each in found),
            *({**each, **each.get("SnapshotDetails", [{}])[0]} for each in brought),
        ]

    def _stores(self) -> list[dict[str, Any]]:
        return list(self.ec2.describe_store_image_tasks()["StoreImageTaskResults"])

    def check_contents(self, directory: Path) -> None:
        for bucket in STORED:
            for key in self._keys(bucket):
                asked = {"Bucket": bucket, "ObjectKey": key, "Name": f"back from {bucket}"}
                self.ec2.create_restore_image_task(**asked)
        self._until_ended()
        target = directory / "disk"
        for each in self.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
            assert self._store("export", each["SnapshotId"], str(target)) == 0
            self._check_content(target)
        for key in self._keys(EXPORTED):
            packed = directory / key
            self.s3.download_file(EXPORTED, key, str(packed))
            qemu_img.convert_to_raw(packed, DiskFormat(packed.suffix[1:]), target)
            self._check_content(target)

    def _check_content(self, raw: Path) -> None:
        with raw.open("rb") as file:
            assert file.read(DISK_BYTES) == self.content
        raw.unlink()

    def _store(self, *arguments: str) -> int:
        """A verb of the store, in this process: starting one takes a second."""
        return main(["--state-dir", str(self.server.state_dir), "store", *arguments])
