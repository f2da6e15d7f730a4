"""Images stored in buckets and restored out of them: who may, what of, and what is refused."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from openami.blockstore import archive, codec
from openami.blockstore.store import StoreFull
from openami.catalog import images, ingests
from openami.catalog.transfers import image_restores
from openami.jobs.engine import NotRunning
from openami.objects.store import ObjectChanged, ObjectStoreError
from openami.services import Services
from openami.settings import Settings
from openami.workflows import registry
from support.asking import ask, filtered, put, refused
from support.builders import (
    ALICE,
    BOB,
    CAROL,
    HERE,
    IMAGE,
    SNAPSHOT,
    a_device,
    a_pending_snapshot,
    an_image,
)
from support.disk_contents import snapshot_blocks
from support.fakes import StoppedClock, services
from support.stored import (
    DATA,
    ELSEWHERE,
    MINE,
    ROOT,
    SECOND,
    THEIRS,
    a_bucket,
    objects,
    told_in,
    told_otherwise,
    with_an_image_and_buckets,
)

KEY = f"{IMAGE}.bin"


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    svc = services(tmp_path)
    with_an_image_and_buckets(svc)
    return svc


def store(svc: Services, **more: Any) -> str:
    return ask(svc, "CreateStoreImageTask", **({"ImageId": IMAGE, "Bucket": MINE} | more))[
        "ObjectKey"
    ]


def tasks(svc: Services, **asked: Any) -> list[dict[str, Any]]:
    return ask(svc, "DescribeStoreImageTasks", **asked)["StoreImageTaskResults"]


def restore(svc: Services, **more: Any) -> dict[str, Any]:
    asked = {"Bucket": MINE, "ObjectKey": KEY, "Name": "restored"} | more
    image_id = ask(svc, "CreateRestoreImageTask", **asked)["ImageId"]
    (image,) = ask(svc, "DescribeImages", ImageIds=[image_id])["Images"]
    return image


def tags_of(described: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in described["Tags"]}


def tagged(**kinds: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in its_tags.items()]}
        for kind, its_tags in kinds.items()
    ]


def test_a_stored_image_is_one_object_with_the_tags_asked_for(svc: Services) -> None:
    key = store(svc, S3ObjectTags=[{"Key": "Team", "Value": "os"}])
    assert key == KEY
    assert objects(svc).tags[MINE, KEY] == {"Team": "os"}
    (task,) = tasks(svc)
    assert task == {
        "AmiId": IMAGE,
        "TaskStartTime": svc.clock.now(),
        "Bucket": MINE,
        "S3objectKey": KEY,
        "ProgressPercentage": 100,
        "StoreTaskState": "Completed",
    }


def test_a_restored_image_is_the_stored_one_under_ids_of_its_own(svc: Services) -> None:
    store(svc)
    before = ask(svc, "DescribeImages", ImageIds=[IMAGE])["Images"][0]
    image = restore(svc)
    assert image["State"] == "available"
    assert (image["Name"], image["BootMode"]) == ("restored", "uefi")
    kept = ("Architecture", "RootDeviceName", "EnaSupport", "VirtualizationType")
    assert {name: image[name] for name in kept} == {name: before[name] for name in kept}
    devices = image["BlockDeviceMappings"]
    ids = [each["Ebs"].pop("SnapshotId") for each in devices]
    for each in before["BlockDeviceMappings"]:
        del each["Ebs"]["SnapshotId"]
    assert devices == before["BlockDeviceMappings"]
    assert not {SNAPSHOT, SECOND} & set(ids)
    assert [snapshot_blocks(svc, each) for each in ids] == [ROOT, DATA]


def test_an_image_comes_back_under_its_own_name_when_it_is_gone(svc: Services) -> None:
    store(svc)
    with refused("InvalidAMIName.Duplicate"):
        restore(svc, Name=None)
    ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    assert restore(svc, Name=None)["Name"] == "debian-12"


def test_tags_come_back_and_those_given_win(svc: Services) -> None:
    ask(svc, "CreateTags", Resources=[IMAGE], Tags=tagged(image={"A": "1", "B": "1"})[0]["Tags"])
    ask(svc, "CreateTags", Resources=[SECOND], Tags=tagged(image={"C": "1"})[0]["Tags"])
    store(svc)
    image = restore(svc, TagSpecifications=tagged(image={"B": "2"}, snapshot={"D": "2"}))
    assert tags_of(image) == {"A": "1", "B": "2"}
    ids = [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]]
    found = ask(svc, "DescribeSnapshots", SnapshotIds=ids)["Snapshots"]
    by_id = {each["SnapshotId"]: tags_of(each) for each in found}
    assert [by_id[each] for each in ids] == [{"D": "2"}, {"C": "1", "D": "2"}]


def test_what_its_owner_decided_about_an_image_is_not_stored(tmp_path: Path) -> None:
    svc = services(tmp_path)
    with_an_image_and_buckets(svc, public=True, shared_with=frozenset({BOB}))
    store(svc)
    image = restore(svc)
    assert image["Public"] is False
    told = ask(
        svc, "DescribeImageAttribute", ImageId=image["ImageId"], Attribute="launchPermission"
    )
    assert told["LaunchPermissions"] == []


def test_who_an_image_and_its_snapshots_are_shared_with_may_store_it(svc: Services) -> None:
    a_bucket(svc, "of-carol", CAROL)
    asked = {"account": CAROL, "Bucket": "of-carol"}
    with refused("InvalidAMIID.NotFound"):
        store(svc, **asked)
    permission = {"Add": [{"UserId": CAROL}]}
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=permission)
    with refused("InvalidRequest", "permission to access the storage"):
        store(svc, **asked)
    for each in (SNAPSHOT, SECOND):
        ask(svc, "ModifySnapshotAttribute", SnapshotId=each, CreateVolumePermission=permission)
    store(svc, **asked)
    assert tasks(svc) == []
    assert [each["Bucket"] for each in tasks(svc, account=CAROL)] == ["of-carol"]
    image_id = ask(*(svc, "CreateRestoreImageTask", CAROL), Bucket="of-carol", ObjectKey=KEY)[
        "ImageId"
    ]
    (image,) = ask(svc, "DescribeImages", CAROL, ImageIds=[image_id])["Images"]
    assert image["OwnerId"] == CAROL


def test_an_image_that_is_only_public_is_not_stored(tmp_path: Path) -> None:
    svc = services(tmp_path)
    with_an_image_and_buckets(svc, public=True)
    with refused("InvalidRequest", "only publicly shared"):
        store(svc, account=BOB, Bucket=THEIRS)


@pytest.mark.parametrize(
    ("bucket", "code"),
    [
        ("none-such", "InvalidParameter"),
        (THEIRS, "InvalidParameter"),
        (ELSEWHERE, "InvalidParameterValue"),
    ],
)
def test_a_bucket_is_the_caller_s_and_in_the_region(svc: Services, bucket: str, code: str) -> None:
    with refused(code):
        store(svc, Bucket=bucket)
    with refused(code):
        restore(svc, Bucket=bucket)


def test_an_image_is_stored_once_in_a_bucket(svc: Services) -> None:
    store(svc)
    with refused("InvalidRequest", "already stored"):
        store(svc)


def test_images_that_have_nothing_to_store_are_refused(svc: Services) -> None:
    ids = {}
    for number, but in enumerate(
        ({"virtualization_type": "paravirtual"}, {"block_device_mappings": ()}), start=2
    ):
        ids[number] = f"ami-{number:017x}"
        put(svc, an_image(id=ids[number], name=f"image {number}", **but))
        with refused("UnsupportedOperation"):
            store(svc, ImageId=ids[number])


def test_a_snapshot_in_the_making_is_not_stored(svc: Services) -> None:
    pending = "snap-00000000000000003"
    image_id = "ami-00000000000000003"
    put(
        svc,
        a_pending_snapshot(id=pending),
        an_image(id=image_id, name="early", block_device_mappings=(a_device(snapshot_id=pending),)),
    )
    with refused("IncorrectState"):
        store(svc, ImageId=image_id)


def limited(tmp_path: Path, **limits: int) -> Services:
    settings = Settings(state_dir=tmp_path, compute_driver="record", **limits)
    svc = services(tmp_path, settings=settings)
    with_an_image_and_buckets(svc)
    return svc


def test_no_more_is_stored_or_restored_at_once_than_the_settings_say(tmp_path: Path) -> None:
    svc = limited(tmp_path, store_image_gib_max=0)
    with refused("ResourceLimitExceeded"):
        store(svc)
    svc = limited(tmp_path / "second", restore_image_gib_max=0)
    store(svc)
    with refused("ResourceLimitExceeded"):
        restore(svc)


def test_an_image_that_is_larger_than_what_may_be_restored_at_once_is_refused(
    tmp_path: Path,
) -> None:
    svc = limited(tmp_path)
    store(svc)
    size_gib = sum(disk["size_gib"] for disk in told_in(objects(svc).held[MINE, KEY])["disks"])
    svc = limited(tmp_path / "less", restore_image_gib_max=size_gib - 1)
    store(svc)
    with refused("ResourceLimitExceeded", f"has {size_gib} GB"):
        restore(svc)
    svc = limited(tmp_path / "enough", restore_image_gib_max=size_gib)
    store(svc)
    restore(svc)


def test_tasks_are_told_the_latest_first_in_pages_for_31_days(svc: Services) -> None:
    clock = svc.clock
    assert isinstance(clock, StoppedClock)
    for name in ("one-bucket", "two-bucket", "three-bucket"):
        a_bucket(svc, name)
        store(svc, Bucket=name)
        clock.advance(timedelta(days=1))
    first = ask(svc, "DescribeStoreImageTasks", MaxResults=2)
    assert [each["Bucket"] for each in first["StoreImageTaskResults"]] == [
        "three-bucket",
        "two-bucket",
    ]
    (last,) = tasks(svc, MaxResults=2, NextToken=first["NextToken"])
    assert last["Bucket"] == "one-bucket"
    with refused("InvalidNextToken"):
        tasks(svc, NextToken="MTp4eHg=")
    clock.advance(timedelta(days=29))
    assert [each["Bucket"] for each in tasks(svc)] == ["three-bucket", "two-bucket"]
    registry.sweep(svc)
    clock.advance(timedelta(days=-20))
    assert len(tasks(svc)) == 2


def test_tasks_are_found_by_state_and_bucket_and_filters_yield_to_ids(svc: Services) -> None:
    store(svc)
    for name, good, bad in (("task-state", "Completed", "Failed"), ("bucket", "mine-*", "x")):
        assert len(tasks(svc, Filters=filtered(name, good))) == 1
        assert tasks(svc, Filters=filtered(name, bad)) == []
    assert len(tasks(svc, ImageIds=[IMAGE], Filters=filtered("bucket", "x"))) == 1
    with refused("InvalidParameterValue"):
        tasks(svc, Filters=filtered("colour", "red"))
    with refused("InvalidParameterCombination"):
        tasks(svc, ImageIds=[IMAGE], MaxResults=5)


def test_a_task_fails_with_a_reason_and_leaves_no_object(svc: Services) -> None:
    lost = codec.digest_of(b"d" * (512 * 1024))
    svc.stores[HERE].delete(lost)
    store(svc)
    (task,) = tasks(svc)
    assert task["StoreTaskState"] == "Failed"
    assert task["StoreTaskFailureReason"] == "The image's content cannot be read"
    assert objects(svc).held == {}
    assert objects(svc).uploads == set()


def test_a_task_whose_bucket_is_gone_fails(svc: Services) -> None:
    objects(svc).buckets.discard(MINE)
    store(svc)
    (task,) = tasks(svc)
    assert task["StoreTaskFailureReason"] == f"The bucket {MINE} does not exist"


def test_an_s3_that_does_not_answer_is_told(svc: Services) -> None:
    store(svc)
    objects(svc).down = True
    with refused("Unavailable"):
        store(svc, Bucket=MINE)
    with refused("Unavailable"):
        restore(svc)


def begun(svc: Services, operation: str, **request: Any) -> None:
    """It waits for its turn, for ever."""
    svc.jobs.close()
    with pytest.raises(NotRunning):
        ask(svc, operation, **request)


def test_a_restore_whose_image_is_forgotten_before_its_turn_ends(svc: Services) -> None:
    store(svc)
    begun(svc, "CreateRestoreImageTask", Bucket=MINE, ObjectKey=KEY, Name="restored")
    with svc.catalog.begin() as tx:
        (waiting,) = image_restores.every(tx)
        assert ingests.all_active(tx) == []
        images.remove(tx, waiting.image_id)
    svc.jobs.launch()
    registry.sweep(svc)
    with svc.catalog.read() as tx:
        assert image_restores.every(tx) == []
        assert ingests.all_active(tx) == []


def test_an_object_that_is_not_there_is_not_restored(svc: Services) -> None:
    with refused("NoSuchKey"):
        restore(svc, ObjectKey="never")


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"oamiAMI1" + bytes(40)])
def test_an_object_of_another_kind_is_not_restored(svc: Services, data: bytes) -> None:
    objects(svc).held[MINE, KEY] = data
    with refused("InvalidParameterValue", "is not an AMI that CreateStoreImageTask stored"):
        restore(svc)
    assert [each["ImageId"] for each in ask(svc, "DescribeImages")["Images"]] == [IMAGE]


def changed(document: Any, path: str, value: Any) -> Any:
    """The document with what is at the path replaced; None takes it away."""
    steps = [int(step) if step.isdecimal() else step for step in path.split("/")]
    at = document
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = value
    return document


NO_IMAGE: Final = (
    ("version", 2),
    ("image", []),
    ("image/id", "i-1"),
    ("image/owner", "root"),
    ("image/name", "x"),
    ("image/name", None),
    ("image/architecture", "vax"),
    ("image/boot_mode", {"a": 1}),
    ("image/root_device_name", "/dev/sdz"),
    ("image/tags", {"a": 1}),
    ("image/tags", {"aws:x": "y"}),
    ("image/tags", {str(n): "" for n in range(51)}),
    ("image/description", 5),
    ("image/devices", {}),
    ("image/devices/0/device_name", "../../etc"),
    ("image/devices/1/device_name", "/dev/xvda"),
    ("image/devices/0/ebs", "x"),
    ("image/devices/0/ebs/snapshot_id", "snap-00000000000000009"),
    ("image/devices/0/ebs/volume_size_gib", -1),
    ("image/devices/0/ebs/volume_size_gib", True),
    ("image/devices/0/ebs/volume_size_gib", None),
    ("image/devices/0/ebs/volume_type", "floppy"),
    ("image/devices/1/ebs/snapshot_id", SNAPSHOT),
    ("disks", None),
    ("disks/0", None),
    ("disks/0/snapshot_id", "x"),
    ("disks/0/snapshot_id", SECOND),
    ("disks/0/root", "b3:zz:1"),
    ("disks/0/root", f"b3:{'0' * 64}:999999999999"),
    ("disks/0/size_gib", 0),
    ("disks/0/size_gib", 1 << 60),
    ("disks/0/description", None),
    ("disks/0/tags", None),
)


def test_a_head_that_no_image_has_is_refused(svc: Services) -> None:
    store(svc)
    data = objects(svc).held[MINE, KEY]
    for path, value in NO_IMAGE:
        objects(svc).held[MINE, KEY] = told_otherwise(data, changed(told_in(data), path, value))
        with refused("InvalidParameterValue", "is not an AMI"):
            pytest.fail(f"{path} {value}: {restore(svc)}")


def cut(data: bytes) -> bytes:
    return data[:-1]


def longer(data: bytes) -> bytes:
    return data + b"x"


def spoiled(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def of_other_disks(data: bytes) -> bytes:
    document = told_in(data)
    first, second = document["disks"]
    first["root"], second["root"] = second["root"], first["root"].replace(":2048", ":2047")
    return told_otherwise(data, document)


@pytest.mark.parametrize("make", [cut, longer, spoiled, of_other_disks])
def test_a_body_that_is_not_whole_makes_a_failed_image_and_no_snapshot_with_content(
    svc: Services, make: Callable[[bytes], bytes]
) -> None:
    store(svc)
    objects(svc).held[MINE, KEY] = make(objects(svc).held[MINE, KEY])
    image = restore(svc)
    assert image["State"] == "failed"
    assert image["StateReason"]["Code"] == "Client.InvalidObject"
    assert "is not a whole stored image" in image["StateReason"]["Message"]
    ids = [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"]]
    found = ask(svc, "DescribeSnapshots", SnapshotIds=ids)["Snapshots"]
    assert [each["State"] for each in found] == ["error", "error"]


def full(*_: object, **__: object) -> None:
    raise StoreFull("/var/lib/openami/chunks has no room left")


def away(*_: object, **__: object) -> None:
    raise ObjectStoreError("http://127.0.0.1:8333 does not answer")


def replaced(*_: object, **__: object) -> None:
    raise ObjectChanged(KEY)


@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (full, "Server.InternalError"),
        (away, "Server.InternalError"),
        (replaced, "Client.InvalidObject"),
    ],
)
def test_the_state_reason_says_whose_fault_a_failed_restore_is(
    svc: Services, monkeypatch: pytest.MonkeyPatch, happens: Callable[..., None], code: str
) -> None:
    store(svc)
    monkeypatch.setattr(archive, "restore", happens)
    reason = restore(svc)["StateReason"]
    assert reason["Code"] == code
    assert reason["Message"].startswith(f"{code}: ")
    assert "/var" not in reason["Message"]


def test_more_tags_than_s3_takes_are_refused(svc: Services) -> None:
    many = [{"Key": str(n), "Value": ""} for n in range(11)]
    with refused("InvalidParameterValue"):
        store(svc, S3ObjectTags=many)


def test_an_account_does_not_see_another_s_tasks(svc: Services) -> None:
    store(svc)
    assert tasks(svc, account=BOB) == []
    assert tasks(svc, account=ALICE, region="us-west-2") == []
