"""ImportImage: disks from outside become an image that says what it can tell of itself."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore.store import Kind
from openami.catalog import snapshots
from openami.catalog.catalog import Transaction
from openami.diskimage import gpt
from openami.domain.ids import SnapshotId
from openami.domain.transfers.import_task import ImportTask
from openami.services import Services
from openami.settings import Settings
from openami.workflows import imported
from support.asking import ask, put, put_accounts, refused
from support.builders import ALICE, BOB, HERE, a_snapshot
from support.crash import Made, assert_survives
from support.disk_contents import snapshot_blocks
from support.fakes import services
from support.imports import (
    CONTENT,
    a_raw_disk,
    an_ova,
    bring,
    bring_image,
    converted,
    task,
    upload,
)
from support.power import in_buckets, on_its_disk

MIB = 1 << 20
ESP, BIOS = gpt.EFI_SYSTEM, gpt.BIOS_BOOT
LINUX = gpt.LINUX_ROOT_X86_64
MICROSOFT = uuid.UUID("e3c9e316-0b5c-4db8-817d-f92df00215ae")


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    made = services(tmp_path / "state")
    put_accounts(made, ALICE, BOB)
    return made


def with_partitions(directory: Path, *types: uuid.UUID, boot_code: bool = False) -> Path:
    disk = a_raw_disk(directory, {})
    parts = [
        gpt.Partition(
            number=number,
            type=kind,
            guid=uuid.UUID(int=number),
            name="part",
            first_lba=2048 + number,
            last_lba=2048 + number,
        )
        for number, kind in enumerate(types, start=1)
    ]
    with disk.open("r+b") as file:
        sectors = disk.stat().st_size // gpt.SECTOR
        for offset, data in gpt.tables(sectors, uuid.UUID(int=99), parts).items():
            file.seek(offset)
            file.write(data)
        if boot_code:
            file.seek(0)
            file.write(b"\xeb\x63\x90")
    return disk


def with_record(directory: Path, kind: int, *, boot_code: bool = True) -> Path:
    disk = a_raw_disk(directory, {})
    with disk.open("r+b") as file:
        file.write(b"\xeb" if boot_code else b"\0")
        file.seek(450)
        file.write(bytes([kind]))
        file.seek(510)
        file.write(b"\x55\xaa")
    return disk


def the_image(svc: Services, image_id: str) -> dict[str, Any]:
    (image,) = ask(svc, "DescribeImages", ImageIds=[image_id])["Images"]
    return dict(image)


def test_a_disk_becomes_an_image_that_is_named_after_its_task(
    svc: Services, tmp_path: Path
) -> None:
    upload(svc, "disk.raw", with_partitions(tmp_path, ESP, LINUX).read_bytes())
    task_id = bring_image(svc, "disk.raw", Description="brought along")
    done = task(svc, task_id)
    assert (done["Status"], done["Progress"], done["Platform"]) == ("completed", "100", "Linux")
    assert (done["BootMode"], done["Architecture"]) == ("uefi", "x86_64")
    image = the_image(svc, done["ImageId"])
    assert (image["Name"], image["State"]) == (task_id, "available")
    assert (image["BootMode"], image["Architecture"]) == ("uefi", "x86_64")
    assert (image["OwnerId"], image["Description"]) == (ALICE, "brought along")
    assert image["EnaSupport"] is True
    assert image["RootDeviceName"] == "/dev/sda1"
    (device,) = image["BlockDeviceMappings"]
    (detail,) = done["SnapshotDetails"]
    assert device["Ebs"]["SnapshotId"] == detail["SnapshotId"]
    assert device["Ebs"]["DeleteOnTermination"] is True
    (snapshot,) = ask(svc, "DescribeSnapshots")["Snapshots"]
    assert snapshot["SnapshotId"] == detail["SnapshotId"]


@pytest.mark.parametrize(
    ("types", "boot_code", "boot_mode"),
    [
        ((ESP, LINUX), False, "uefi"),
        ((BIOS, LINUX), True, "legacy-bios"),
        ((BIOS, ESP, LINUX), True, "legacy-bios"),
        ((BIOS, ESP, LINUX), False, "uefi"),
        ((LINUX,), True, "legacy-bios"),
    ],
)
def test_how_a_disk_boots_is_told_by_its_partitions(
    svc: Services,
    tmp_path: Path,
    types: tuple[uuid.UUID, ...],
    boot_code: bool,
    boot_mode: str,
) -> None:
    disk = with_partitions(tmp_path, *types, boot_code=boot_code)
    upload(svc, "disk.raw", disk.read_bytes())
    assert task(svc, bring_image(svc, "disk.raw"))["BootMode"] == boot_mode


@pytest.mark.parametrize(("kind", "boot_mode"), [(0x83, "legacy-bios"), (0xEF, "uefi")])
def test_a_master_boot_record_tells_it_too(
    svc: Services, tmp_path: Path, kind: int, boot_mode: str
) -> None:
    disk = with_record(tmp_path, kind, boot_code=kind != 0xEF)
    upload(svc, "disk.raw", disk.read_bytes())
    assert task(svc, bring_image(svc, "disk.raw"))["BootMode"] == boot_mode


def test_the_requests_boot_mode_wins_where_the_disk_has_both(svc: Services, tmp_path: Path) -> None:
    disk = with_partitions(tmp_path, BIOS, ESP, LINUX, boot_code=True)
    upload(svc, "disk.raw", disk.read_bytes())
    done = task(svc, bring_image(svc, "disk.raw", BootMode="uefi"))
    assert the_image(svc, done["ImageId"])["BootMode"] == "uefi"


def fails(svc: Services, *keys: str, **more: Any) -> str:
    failed = task(svc, bring_image(svc, *keys, **more))
    assert failed["Status"] == "deleted"
    assert ask(svc, "DescribeImages")["Images"] == []
    assert ask(svc, "DescribeSnapshots")["Snapshots"] == []
    return str(failed["StatusMessage"])


def test_a_disk_that_cannot_boot_makes_no_image(svc: Services, tmp_path: Path) -> None:
    upload(svc, "data.raw", a_raw_disk(tmp_path / "data").read_bytes())
    told = fails(svc, "data.raw")
    assert told.startswith("ClientError: No valid partitions. Not a valid volume. [s3://disks/data")
    upload(svc, "bios.raw", with_record(tmp_path / "bios", 0x83).read_bytes())
    assert "no EFI system partition" in fails(svc, "bios.raw", BootMode="uefi")
    upload(svc, "windows.raw", with_partitions(tmp_path / "w", ESP, MICROSOFT).read_bytes())
    assert "partitions of Windows" in fails(svc, "windows.raw")
    assert task(svc, bring_image(svc, "windows.raw", Platform="Linux"))["Status"] == "completed"


def test_the_first_disk_is_the_root_and_others_are_data(svc: Services, tmp_path: Path) -> None:
    upload(svc, "root.raw", with_record(tmp_path / "root", 0x83).read_bytes())
    upload(svc, "data.qcow2", converted(a_raw_disk(tmp_path / "data"), "qcow2"))
    done = task(svc, bring_image(svc, "root.raw", "data.qcow2", "data.qcow2"))
    image = the_image(svc, done["ImageId"])
    devices = image["BlockDeviceMappings"]
    assert [each["DeviceName"] for each in devices] == ["/dev/sda1", "/dev/sdb", "/dev/sdc"]
    assert [each["Ebs"]["DeleteOnTermination"] for each in devices] == [True, False, False]
    assert snapshot_blocks(svc, devices[1]["Ebs"]["SnapshotId"]) == CONTENT
    assert [each["Format"] for each in done["SnapshotDetails"]] == ["RAW", "QCOW2", "QCOW2"]


def test_a_device_is_named_as_asked_and_not_twice(svc: Services, tmp_path: Path) -> None:
    upload(svc, "root.raw", with_record(tmp_path / "root", 0x83).read_bytes())
    disks = [
        {"Url": "s3://disks/root.raw", "DeviceName": "/dev/xvda"},
        {"Url": "s3://disks/root.raw"},
        {"Url": "s3://disks/root.raw", "DeviceName": "/dev/sdb"},
    ]
    task_id = ask(svc, "ImportImage", DiskContainers=disks)["ImportTaskId"]
    image = the_image(svc, task(svc, task_id)["ImageId"])
    names = [each["DeviceName"] for each in image["BlockDeviceMappings"]]
    assert (image["RootDeviceName"], names) == ("/dev/xvda", ["/dev/xvda", "/dev/sdc", "/dev/sdb"])
    with refused("InvalidBlockDeviceMapping"):
        ask(svc, "ImportImage", DiskContainers=[disks[2], disks[2]])


def test_a_snapshot_that_is_there_may_be_the_disk(svc: Services, tmp_path: Path) -> None:
    upload(svc, "root.raw", with_record(tmp_path / "root", 0x83).read_bytes())
    snapshot_id = task(svc, bring(svc, "root.raw"))["SnapshotId"]
    disks = [{"SnapshotId": snapshot_id}]
    task_id = ask(svc, "ImportImage", DiskContainers=disks)["ImportTaskId"]
    image = the_image(svc, task(svc, task_id)["ImageId"])
    assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot_id
    assert len(ask(svc, "DescribeSnapshots")["Snapshots"]) == 1
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "ImportImage", account=BOB, DiskContainers=disks)


def test_a_snapshot_that_is_not_complete_is_no_disk(svc: Services) -> None:
    pending = a_snapshot(id="snap-00000000000000009", state="pending", root=None)
    put(svc, pending)
    with refused("IncorrectState"):
        ask(svc, "ImportImage", DiskContainers=[{"SnapshotId": pending.id}])


def imported_of_a_snapshot(svc: Services, tmp_path: Path) -> str:
    """A snapshot that boots."""
    upload(svc, "root.raw", with_record(tmp_path / "root", 0x83).read_bytes())
    return str(task(svc, bring(svc, "root.raw"))["SnapshotId"])


def test_an_archived_snapshot_is_no_disk(svc: Services, tmp_path: Path) -> None:
    snapshot_id = imported_of_a_snapshot(svc, tmp_path)
    ask(svc, "ModifySnapshotTier", SnapshotId=snapshot_id, StorageTier="archive")
    with refused("IncorrectState", snapshot_id, "archived"):
        ask(svc, "ImportImage", DiskContainers=[{"SnapshotId": snapshot_id}])


def test_a_snapshot_that_is_archived_before_the_image_is_made_fails_the_task(
    svc: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot_id = imported_of_a_snapshot(svc, tmp_path)
    complete = imported.complete

    def archived_first(svc: Services, tx: Transaction, task: ImportTask) -> None:
        snapshot = snapshots.fetch_any(tx, SnapshotId(snapshot_id))
        assert snapshot is not None
        snapshots.save(tx, snapshot.archived())
        complete(svc, tx, task)

    monkeypatch.setattr(imported, "complete", archived_first)
    task_id = ask(svc, "ImportImage", DiskContainers=[{"SnapshotId": snapshot_id}])["ImportTaskId"]
    message = task(svc, task_id)["StatusMessage"]
    assert message.startswith(f"ClientError: Snapshot '{snapshot_id}' is archived")
    assert ask(svc, "DescribeImages")["Images"] == []


def test_a_root_disk_that_is_lost_fails_the_task(svc: Services, tmp_path: Path) -> None:
    snapshot_id = imported_of_a_snapshot(svc, tmp_path)
    store = svc.stores[HERE]
    for digest in list(store.digests(Kind.CHUNK)):
        store.delete(digest)
    task_id = ask(svc, "ImportImage", DiskContainers=[{"SnapshotId": snapshot_id}])["ImportTaskId"]
    failed = task(svc, task_id)
    assert failed["StatusMessage"] == f"ServerError: The content of {snapshot_id} cannot be read."


@pytest.mark.parametrize(
    ("quota", "code"),
    [("images=1", "ResourceLimitExceeded"), ("snapshots=3", "SnapshotLimitExceeded")],
)
def test_an_image_is_imported_only_where_it_and_its_snapshots_have_room(
    tmp_path: Path, quota: str, code: str
) -> None:
    state = tmp_path / "state"
    svc = services(
        state, settings=Settings(state_dir=state, compute_driver="record", quotas=(quota,))
    )
    put_accounts(svc, ALICE)
    upload(svc, "root.raw", with_record(tmp_path / "root", 0x83).read_bytes())
    first = task(svc, bring_image(svc, "root.raw", "root.raw"))
    with refused(code):
        bring_image(svc, "root.raw", "root.raw")
    if quota.startswith("images"):
        return
    given = [{"SnapshotId": each["SnapshotId"]} for each in first["SnapshotDetails"]]
    task_id = ask(svc, "ImportImage", DiskContainers=given)["ImportTaskId"]
    assert task(svc, task_id)["Status"] == "completed"
    bring_image(svc, "root.raw")


def test_an_ova_brings_the_disk_that_its_description_names(svc: Services, tmp_path: Path) -> None:
    disk = converted(with_record(tmp_path, 0x83), "vmdk", "subformat=streamOptimized")
    upload(svc, "machine.ova", an_ova(disk))
    done = task(svc, bring_image(svc, "machine.ova"))
    assert (done["Status"], done["SnapshotDetails"][0]["Format"]) == ("completed", "VMDK"), done
    assert the_image(svc, done["ImageId"])["State"] == "available"


def test_an_ova_is_the_only_disk_of_an_image_though_no_format_is_told(
    svc: Services, tmp_path: Path
) -> None:
    root = with_record(tmp_path, 0x83)
    upload(svc, "root.raw", root.read_bytes())
    upload(svc, "machine.ova", an_ova(converted(root, "vmdk", "subformat=streamOptimized")))
    words = "[s3://disks/machine.ova: The file is an ova: import it as an image"
    assert words in fails(svc, "root.raw", "machine.ova")
    failed = task(svc, bring(svc, "machine.ova"))
    assert failed["Status"] == "deleted"
    assert "machine.ova: The file is an ova: import it as an image" in failed["StatusMessage"]


def test_an_ova_that_is_not_one_is_told_by_its_name(svc: Services, tmp_path: Path) -> None:
    upload(svc, "machine.ova", an_ova(b"x" * 1024))
    assert "[s3://disks/machine.ova: The file is not a vmdk disk" in fails(svc, "machine.ova")
    upload(svc, "raw.ova", with_record(tmp_path, 0x83).read_bytes())
    disks = [{"Url": "s3://disks/raw.ova", "Format": "ova"}]
    task_id = ask(svc, "ImportImage", DiskContainers=disks)["ImportTaskId"]
    assert "not an ova" in task(svc, task_id)["StatusMessage"]


@pytest.mark.parametrize("host", [on_its_disk, in_buckets])
def test_an_import_of_an_image_survives_a_power_cut_at_any_moment(
    tmp_path: Path, host: Made
) -> None:
    root = with_record(tmp_path / "root", 0x83).read_bytes()
    data = a_raw_disk(tmp_path / "data").read_bytes()

    def begin(svc: Services) -> Callable[[], object]:
        put_accounts(svc, ALICE)
        upload(svc, "root.raw", root)
        upload(svc, "data.raw", data)
        return lambda: bring_image(svc, "root.raw", "data.raw")

    def whole(svc: Services) -> None:
        """Nothing is there before all of it is."""
        images, snapshots = ask(svc, "DescribeImages"), ask(svc, "DescribeSnapshots")
        assert len(snapshots["Snapshots"]) == 2 * len(images["Images"])
        for image in images["Images"]:
            assert image["State"] == "available"
            data_device = image["BlockDeviceMappings"][1]
            assert snapshot_blocks(svc, data_device["Ebs"]["SnapshotId"]) == CONTENT

    def ended(svc: Services) -> None:
        whole(svc)
        tasks = ask(svc, "DescribeImportImageTasks")["ImportImageTasks"]
        assert {each["Status"] for each in tasks} <= {"completed"}
        assert len(tasks) == len(ask(svc, "DescribeImages")["Images"])

    assert assert_survives(tmp_path / "states", begin, whole, ended, made=host) > 20
