"""Disks that go into buckets as files: of images and of instances."""

import io
import tarfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore import codec
from openami.catalog import buckets, ingests
from openami.catalog.catalog import Transaction
from openami.catalog.transfers import left_uploads
from openami.diskimage import qemu_img
from openami.diskimage.formats import DiskFormat
from openami.domain.bucket import Bucket
from openami.domain.ids import ExportTaskId, SnapshotId
from openami.domain.transfers.left_upload import LeftUpload
from openami.jobs.engine import GiveUp, NotRunning
from openami.objects.store import ObjectStoreError
from openami.services import Services
from openami.settings import Settings
from openami.workflows import export_disk, registry, scratch, uploads
from support.asking import a_bootable_image, a_running_instance, ask, filtered, put, refused
from support.builders import ALICE, BOB, EMPTY_GIB, HERE, IMAGE, a_device, a_snapshot, an_image
from support.disk_contents import write_volume
from support.fakes import services
from support.stored import (
    ELSEWHERE,
    MINE,
    ROOT,
    THEIRS,
    a_bucket,
    objects,
    with_an_image_and_buckets,
)

BLOCK_BYTES = 512 * 1024
GIB = 1 << 30
NEVER = "export-ami-0123456789abcdef0"
ONE_DISK = {"block_device_mappings": (a_device(),)}


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    svc = services(tmp_path)
    with_an_image_and_buckets(svc, **ONE_DISK)
    return svc


def exported(svc: Services, disk_format: str = "RAW", **more: Any) -> dict[str, Any]:
    """The task, as it is told when the call answers."""
    place = {"S3Bucket": MINE, "S3Prefix": "exports/"}
    asked = {"ImageId": IMAGE, "DiskImageFormat": disk_format, "S3ExportLocation": place} | more
    return ask(svc, "ExportImage", **asked)


def tasks(svc: Services, **asked: Any) -> list[dict[str, Any]]:
    return ask(svc, "DescribeExportImageTasks", **asked)["ExportImageTasks"]


def raw_of(data: bytes, disk_format: str, tmp_path: Path) -> dict[int, str]:
    """What a disk's file holds: block → sign."""
    file, raw = tmp_path / "exported", tmp_path / "exported.raw"
    file.write_bytes(data)
    info = qemu_img.convert_to_raw(file, DiskFormat(disk_format), raw)
    assert info.virtual_size_bytes == GIB
    found: dict[int, str] = {}
    with raw.open("rb") as disk:
        for index in range(GIB // BLOCK_BYTES):
            block = disk.read(BLOCK_BYTES)
            if any(block[:: BLOCK_BYTES // 4]):
                assert block == block[:1] * BLOCK_BYTES
                found[index] = block[:1].decode()
    return found


@pytest.mark.parametrize("disk_format", ["RAW", "VMDK", "VHD"])
def test_an_image_s_disk_is_exported_in_the_format_asked_for(
    svc: Services, tmp_path: Path, disk_format: str
) -> None:
    task = exported(svc, disk_format)
    assert (task["Status"], task["StatusMessage"], task["RoleName"]) == (
        *("active", "validating"),
        "vmimport",
    )
    key = f"exports/{task['ExportImageTaskId']}.{disk_format.lower()}"
    data = objects(svc).held[MINE, key]
    assert raw_of(data, disk_format.lower(), tmp_path) == ROOT
    (told,) = tasks(svc)
    assert (told["Status"], told["Progress"]) == ("completed", "100")
    assert told["S3ExportLocation"] == {"S3Bucket": MINE, "S3Prefix": "exports/"}
    assert not scratch.home(svc, task["ExportImageTaskId"]).exists()
    assert objects(svc).uploads == set()


def an_instance(svc: Services, **more: Any) -> str:
    a_bucket(svc, MINE)
    a_bootable_image(svc)
    made = a_running_instance(svc, **more)
    (volume,) = ask(svc, "DescribeVolumes")["Volumes"][:1]
    write_volume(svc, volume["VolumeId"], 3, "x")
    return made


def of_instance(svc: Services, instance_id: str, environment: str, **more: Any) -> dict[str, Any]:
    place = {"S3Bucket": MINE, "S3Prefix": "vm-"} | more
    asked = {"InstanceId": instance_id, "TargetEnvironment": environment, "ExportToS3Task": place}
    return ask(svc, "CreateInstanceExportTask", **asked)["ExportTask"]


@pytest.mark.parametrize(("environment", "kind"), [("vmware", "vmdk"), ("microsoft", "vhd")])
def test_an_instance_s_root_is_exported_as_its_environment_reads_it(
    tmp_path: Path, environment: str, kind: str
) -> None:
    svc = services(tmp_path)
    made = an_instance(svc)
    ask(svc, "StopInstances", InstanceIds=[made])
    task = of_instance(svc, made, environment)
    assert task["ExportToS3Task"]["S3Key"] == f"vm-{task['ExportTaskId']}.{kind}"
    data = objects(svc).held[MINE, task["ExportToS3Task"]["S3Key"]]
    assert raw_of(data, kind, tmp_path) == {3: "x"}
    (told,) = ask(svc, "DescribeExportTasks", ExportTaskIds=[task["ExportTaskId"]])["ExportTasks"]
    assert told["State"] == "completed"
    assert told["InstanceExportDetails"] == {
        "InstanceId": made,
        "TargetEnvironment": environment,
    }
    assert tasks(svc) == [], "of images are others"


def test_an_export_that_waits_for_its_turn_holds_no_collection_up(tmp_path: Path) -> None:
    svc = services(tmp_path)
    instance_id = an_instance(svc)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        of_instance(svc, instance_id, "vmware")
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []
    svc.jobs.launch()
    registry.sweep(svc)
    (task,) = ask(svc, "DescribeExportTasks")["ExportTasks"]
    assert task["State"] == "completed"
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


def test_an_ova_holds_a_description_and_the_disk_it_names(tmp_path: Path) -> None:
    svc = services(tmp_path)
    made = an_instance(svc)
    task = of_instance(svc, made, "vmware", ContainerFormat="ova", DiskImageFormat="VMDK")
    key = task["ExportToS3Task"]["S3Key"]
    assert key.endswith(".ova")
    data = objects(svc).held[MINE, key]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        ovf, disk = archive.getmembers()
        described = archive.extractfile(ovf)
        content = archive.extractfile(disk)
        assert described is not None
        assert content is not None
        text = described.read().decode()
        assert f'ovf:href="{disk.name}" ovf:size="{disk.size}"' in text
        assert f'ovf:capacity="{GIB}"' in text
        assert raw_of(content.read(), "vmdk", tmp_path) == {3: "x"}
    assert len(data) % 10240 == 0


def test_an_instance_with_two_disks_is_not_exported(tmp_path: Path) -> None:
    svc = services(tmp_path)
    data = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    made = an_instance(svc, BlockDeviceMappings=data)
    with refused("NotExportable", "2 volumes"):
        of_instance(svc, made, "vmware")


def test_an_instance_that_is_gone_is_not_exported(tmp_path: Path) -> None:
    svc = services(tmp_path)
    made = an_instance(svc)
    ask(svc, "TerminateInstances", InstanceIds=[made])
    with refused("IncorrectInstanceState"):
        of_instance(svc, made, "vmware")


@pytest.mark.parametrize(
    ("environment", "more", "code"),
    [
        ("xbox", {}, "InvalidParameterValue"),
        ("vmware", {"DiskImageFormat": "VHD"}, "InvalidParameterCombination"),
        ("citrix", {"DiskImageFormat": "RAW"}, "InvalidParameterCombination"),
        ("citrix", {"ContainerFormat": "ova"}, "InvalidParameterCombination"),
        ("vmware", {"ContainerFormat": "zip"}, "InvalidParameterValue"),
        ("vmware", {"S3Bucket": THEIRS}, "InvalidParameter"),
        ("vmware", {"S3Bucket": None}, "MissingParameter"),
        ("vmware", {"S3Prefix": "a/../b"}, "InvalidParameterValue"),
    ],
)
def test_an_instance_is_exported_only_as_its_environment_can_read_it(
    tmp_path: Path, environment: str, more: dict[str, Any], code: str
) -> None:
    svc = services(tmp_path)
    made = an_instance(svc)
    a_bucket(svc, THEIRS, BOB)
    with refused(code):
        of_instance(svc, made, environment, **more)


def test_an_image_of_several_disks_is_not_exported(tmp_path: Path) -> None:
    svc = services(tmp_path)
    with_an_image_and_buckets(svc)
    with refused("NotExportable"):
        exported(svc)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"account": BOB}, "InvalidAMIID.NotFound"),
        ({"DiskImageFormat": "QCOW2"}, "InvalidParameterValue"),
        ({"S3ExportLocation": {}}, "MissingParameter"),
        ({"S3ExportLocation": {"S3Bucket": "none-such"}}, "InvalidParameter"),
        ({"S3ExportLocation": {"S3Bucket": ELSEWHERE}}, "InvalidParameterValue"),
        ({"S3ExportLocation": {"S3Bucket": MINE, "S3Prefix": "/a"}}, "InvalidParameterValue"),
        ({"S3ExportLocation": {"S3Bucket": MINE, "S3Prefix": "x" * 1024}}, "InvalidParameterValue"),
        ({"Description": "x" * 256}, "InvalidParameterValue"),
        ({"RoleName": "x" * 65}, "InvalidParameterValue"),
    ],
)
def test_what_cannot_be_exported_is_refused(svc: Services, more: dict[str, Any], code: str) -> None:
    with refused(code):
        exported(svc, **more)
    assert tasks(svc) == []


def test_an_image_that_is_only_shared_is_not_exported(svc: Services) -> None:
    permission = {"Add": [{"UserId": BOB}]}
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=permission)
    with refused("AuthFailure"):
        exported(svc, account=BOB)


def test_over_a_snapshot_that_is_shared_no_longer_nothing_is_exported(svc: Services) -> None:
    """An image that its owner registered while the snapshot was shared gives no bytes away."""
    foreign = SnapshotId("snap-0000000f")
    disk = a_device(snapshot_id=foreign)
    put(
        svc,
        a_snapshot(id=foreign, owner=BOB, root=EMPTY_GIB),
        an_image(id="ami-0000000f", name="over it", block_device_mappings=(disk,)),
    )
    with refused("InvalidRequest", "permission"):
        exported(svc, ImageId="ami-0000000f")


def test_a_token_makes_one_task(svc: Services) -> None:
    first = exported(svc, ClientToken="t")
    second = exported(svc, ClientToken="t")
    assert first["ExportImageTaskId"] == second["ExportImageTaskId"]
    assert len(tasks(svc)) == 1
    with refused("IdempotentParameterMismatch"):
        exported(svc, "VHD", ClientToken="t")


def test_tasks_are_found_by_id_state_and_tag_and_told_in_pages(svc: Services) -> None:
    tags = [{"ResourceType": "export-image-task", "Tags": [{"Key": "a", "Value": "b"}]}]
    ids = [exported(svc, TagSpecifications=tags)["ExportImageTaskId"] for _ in range(2)]
    assert [each["ExportImageTaskId"] for each in tasks(svc, ExportImageTaskIds=ids[1:])] == ids[1:]
    assert len(tasks(svc, Filters=filtered("task-state", "completed"))) == 2
    assert tasks(svc, Filters=filtered("task-state", "active")) == []
    assert len(tasks(svc, Filters=filtered("tag:a", "b"))) == 2
    assert tasks(svc)[0]["Tags"] == [{"Key": "a", "Value": "b"}]
    first = ask(svc, "DescribeExportImageTasks", MaxResults=1)
    second = ask(svc, "DescribeExportImageTasks", MaxResults=1, NextToken=first["NextToken"])
    found = [*first["ExportImageTasks"], *second["ExportImageTasks"]]
    assert [each["ExportImageTaskId"] for each in found] == ids
    ask(svc, "CreateTags", Resources=ids, Tags=[{"Key": "c", "Value": "d"}])
    assert tasks(svc, account=BOB) == []
    with refused("InvalidExportTaskID.NotFound"):
        tasks(svc, account=BOB, ExportImageTaskIds=ids)
    with refused("InvalidExportTaskID.Malformed"):
        tasks(svc, ExportImageTaskIds=["export-x"])


def test_no_more_is_exported_at_once_than_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, compute_driver="record", export_tasks_max=0)
    svc = services(tmp_path, settings=settings)
    with_an_image_and_buckets(svc, **ONE_DISK)
    with refused("ResourceLimitExceeded"):
        exported(svc)


def cancelled_at(svc: Services, moment: int) -> Callable[[], None]:
    """Cancels the first task when the upload is at this part."""
    seen = -1

    def cancel() -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            objects(svc).moment = lambda: None
            (task,) = tasks(svc)
            ask(svc, "CancelExportTask", ExportTaskId=task["ExportImageTaskId"])
            (task,) = tasks(svc)
            assert task["Status"] == "deleting"

    return cancel


# The last moment of an upload is when the object is there and nobody has been told.
@pytest.mark.parametrize("moment", [0, 5, 2048])
def test_a_task_that_is_cancelled_leaves_nothing(svc: Services, moment: int) -> None:
    objects(svc).moment = cancelled_at(svc, moment)
    task_id = exported(svc)["ExportImageTaskId"]
    (task,) = tasks(svc)
    assert (task["Status"], task["StatusMessage"]) == ("deleted", "Cancelled")
    assert objects(svc).held == {}
    assert objects(svc).uploads == set()
    assert not scratch.home(svc, task_id).exists()


def test_a_task_that_has_ended_is_not_cancelled(svc: Services) -> None:
    task_id = exported(svc)["ExportImageTaskId"]
    with refused("InvalidParameterValue", "not active"):
        ask(svc, "CancelExportTask", ExportTaskId=task_id)
    with refused("InvalidExportTaskID.NotFound"):
        ask(svc, "CancelExportTask", ExportTaskId=NEVER)
    with refused("InvalidExportTaskID.NotFound"):
        ask(svc, "CancelExportTask", BOB, ExportTaskId=task_id)


@pytest.mark.parametrize("disk_format", ["RAW", "VHD"])
def test_a_disk_that_is_lost_is_told_and_leaves_nothing(svc: Services, disk_format: str) -> None:
    svc.stores[HERE].delete(codec.digest_of(b"c" * BLOCK_BYTES))
    task_id = exported(svc, disk_format)["ExportImageTaskId"]
    (task,) = tasks(svc)
    assert task["Status"] == "deleted"
    assert "cannot be read" in task["StatusMessage"]
    assert objects(svc).held == {}
    assert not scratch.home(svc, task_id).exists()


def test_a_cancelled_task_touches_nothing_in_a_bucket_that_is_another_s_by_now(
    svc: Services,
) -> None:
    kept: list[tuple[str, str]] = []

    def handed_over() -> None:
        if kept:
            return
        (task,) = tasks(svc)
        kept.append((MINE, f"exports/{task['ExportImageTaskId']}.raw"))
        with svc.catalog.begin() as tx:
            buckets.remove(tx, fetched(tx, MINE))
        a_bucket(svc, MINE, BOB)
        objects(svc).held[kept[0]] = b"another's"
        ask(svc, "CancelExportTask", ExportTaskId=task["ExportImageTaskId"])

    objects(svc).moment = handed_over
    exported(svc)
    assert objects(svc).held == {kept[0]: b"another's"}
    assert tasks(svc)[0]["Status"] == "deleted"


def fetched(tx: Transaction, name: str) -> Bucket:
    found = buckets.find(tx, name)
    assert found is not None
    return found


def test_a_disk_is_converted_only_where_there_is_room(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svc.room, "_free", lambda _directory: 512 << 20)
    exported(svc, "VMDK")
    (task,) = tasks(svc)
    assert task["StatusMessage"].startswith(
        f"There is no room on the server to convert the disk of {IMAGE}: "
    )


def test_a_bucket_that_went_to_another_account_gets_nothing(svc: Services) -> None:
    with pytest.raises(GiveUp):
        export_disk.job(svc).steps[0][1]({"task_id": ExportTaskId(NEVER)})
    objects(svc).buckets.discard(MINE)
    exported(svc)
    (task,) = tasks(svc)
    assert task["StatusMessage"] == f"The bucket {MINE} does not exist"


def with_patience(tmp_path: Path, patience_s: float) -> Services:
    settings = Settings(state_dir=tmp_path, compute_driver="record", s3_patience_s=patience_s)
    svc = services(tmp_path, settings=settings)
    with_an_image_and_buckets(svc, **ONE_DISK)
    return svc


def test_an_upload_that_an_outage_broke_off_begins_anew(tmp_path: Path) -> None:
    svc = with_patience(tmp_path, 60)
    moments = count()

    def breaks_off() -> None:
        if next(moments) in (1, 3):
            raise ObjectStoreError("connection reset")

    objects(svc).moment = breaks_off
    exported(svc)
    (task,) = tasks(svc)
    assert task["Status"] == "completed"
    assert {len(data) for data in objects(svc).held.values()} == {GIB}
    assert objects(svc).uploads == set()


def test_an_upload_that_breaks_off_each_time_fails_with_a_sentence(tmp_path: Path) -> None:
    svc = with_patience(tmp_path, 1)

    def breaks_off() -> None:
        raise ObjectStoreError("connection reset")

    objects(svc).moment = breaks_off
    exported(svc)
    (task,) = tasks(svc)
    assert task["StatusMessage"] == (
        f"The S3 store did not answer for 1 seconds while the object was written to the bucket"
        f" {MINE}. Ask for it again when it answers."
    )
    assert objects(svc).held == {}


def test_what_an_outage_left_in_the_store_goes_when_it_answers_again(svc: Services) -> None:
    def goes_down() -> None:
        objects(svc).down = True
        raise ObjectStoreError("connection reset")

    objects(svc).moment = goes_down
    exported(svc)
    assert len(objects(svc).uploads) == 1
    registry.sweep(svc)
    assert len(objects(svc).uploads) == 1
    objects(svc).down = False
    registry.sweep(svc)
    assert objects(svc).uploads == set()
    with svc.catalog.read() as tx:
        assert left_uploads.every(tx) == []


def test_an_object_that_was_whole_before_the_outage_goes_too(svc: Services) -> None:
    def goes_down() -> None:
        if objects(svc).held:
            objects(svc).down = True
            (task,) = tasks(svc)
            ask(svc, "CancelExportTask", ExportTaskId=task["ExportImageTaskId"])

    objects(svc).moment = goes_down
    exported(svc)
    assert len(objects(svc).held) == 1
    objects(svc).down = False
    registry.sweep(svc)
    assert objects(svc).held == {}


def test_what_was_left_in_a_bucket_that_is_another_s_by_now_is_not_touched(svc: Services) -> None:
    place = (MINE, "exports/left")
    with svc.catalog.begin() as tx:
        left = LeftUpload(bucket=place[0], key=place[1], owner=BOB, is_object=True)
        left_uploads.add(tx, left)
    objects(svc).held[place] = b"mine"
    registry.sweep(svc)
    assert objects(svc).held == {place: b"mine"}
    with svc.catalog.read() as tx:
        assert left_uploads.every(tx) == []


def test_an_upload_to_the_same_place_is_not_taken_for_what_was_left_there(svc: Services) -> None:
    with svc.catalog.begin() as tx:
        key = f"{IMAGE}.bin"
        left_uploads.add(tx, LeftUpload(bucket=MINE, key=key, owner=ALICE, is_object=False))
    objects(svc).moment = lambda: uploads.resume(svc)
    ask(svc, "CreateStoreImageTask", ImageId=IMAGE, Bucket=MINE)
    assert list(objects(svc).held) == [(MINE, key)]
    with svc.catalog.read() as tx:
        assert left_uploads.every(tx) == []
