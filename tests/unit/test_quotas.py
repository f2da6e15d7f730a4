"""What an account may have, and what it is told when it wants one more."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from openami.actions.quotas import Quota, check_room
from openami.catalog import import_tasks, key_pairs
from openami.catalog.catalog import Catalog
from openami.catalog.schema import metadata
from openami.domain.errors import EC2Error
from openami.domain.ids import KeyPairId
from openami.domain.key_pair import KeyPair
from openami.domain.limits.quota import RULES
from openami.domain.transfers.import_task import (
    ImportedDisk,
    ImportEvent,
    ImportState,
    ImportTask,
    ImportTaskId,
)
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.settings import Settings, SettingsError
from openami.workflows import registry
from support.builders import ALICE, BOB, EPOCH, HERE, IMAGE, a_caller, a_snapshot
from support.calls import add_image, call, launch, launched, refused
from support.fakes import services


def limited(tmp_path: Path, *quotas: str) -> Services:
    svc = services(
        tmp_path,
        settings=Settings(state_dir=tmp_path, compute_driver="record", quotas=quotas),
    )
    add_image(svc)
    return svc


def a_registration(name: str) -> dict[str, Any]:
    device = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": a_snapshot().id}}
    return {"Name": name, "BlockDeviceMappings": [device]}


def a_volume(size: int) -> dict[str, Any]:
    return {"AvailabilityZone": f"{HERE}a", "Size": size}


def a_volume_id(svc: Services) -> str:
    return str(call(svc, "CreateVolume", **a_volume(1))["VolumeId"])


Request = Callable[[Services], dict[str, Any]]

ONE_MORE: dict[str, tuple[str, str, Request]] = {
    # the quota: the operation that it stops, the code, and the request
    "images=2": ("RegisterImage", "ResourceLimitExceeded", lambda svc: a_registration(_new(svc))),
    "snapshots=2": (
        "CreateSnapshot",
        "SnapshotLimitExceeded",
        lambda svc: {"VolumeId": a_volume_id(svc)},
    ),
    "storage-gib=3": ("CreateVolume", "VolumeLimitExceeded", lambda _svc: a_volume(2)),
    "launch-templates=1": (
        "CreateLaunchTemplate",
        "LaunchTemplateLimitExceeded",
        lambda svc: {"LaunchTemplateName": _new(svc), "LaunchTemplateData": {"ImageId": IMAGE}},
    ),
    "key-pairs=1": ("CreateKeyPair", "ResourceLimitExceeded", lambda svc: {"KeyName": _new(svc)}),
    "event-windows=1": (
        "CreateInstanceEventWindow",
        "ResourceLimitExceeded",
        lambda svc: {"Name": _new(svc), "CronExpression": "* 0-4 * * 1,5"},
    ),
}


def _new(svc: Services) -> str:
    return svc.ids.new("name")


@pytest.mark.parametrize("quota", ONE_MORE)
def test_one_too_many_is_refused_in_ec2s_words(tmp_path: Path, quota: str) -> None:
    operation, code, request = ONE_MORE[quota]
    svc = limited(tmp_path, quota)
    call(svc, operation, **request(svc))
    assert refused(svc, operation, **request(svc)) == code


@pytest.mark.parametrize("quota", ONE_MORE)
def test_zero_is_no_limit(tmp_path: Path, quota: str) -> None:
    operation, _, request = ONE_MORE[quota]
    svc = limited(tmp_path, f"{quota.partition('=')[0]}=0")
    for _ in range(3):
        call(svc, operation, **request(svc))


@pytest.mark.parametrize(
    ("quota", "code"),
    [
        ("instances=2", "InstanceLimitExceeded"),
        ("vcpus=4", "VcpuLimitExceeded"),
        ("storage-gib=22", "VolumeLimitExceeded"),
    ],
)
def test_a_launch_that_fits_in_part_only_is_refused_whole(
    tmp_path: Path, quota: str, code: str
) -> None:
    svc = limited(tmp_path, quota)
    sized = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 10}}]
    more = {"InstanceType": "t3.micro", "BlockDeviceMappings": sized}
    launched(svc, **more)
    asked = {"ImageId": IMAGE, "MinCount": 2, "MaxCount": 2, **more}
    assert refused(svc, "RunInstances", **asked) == code
    launch(svc, **more)


def test_a_stopped_instance_needs_room_to_start(tmp_path: Path) -> None:
    svc = limited(tmp_path, "vcpus=2")
    first = launched(svc)
    call(svc, "StopInstances", InstanceIds=[first])
    second = launched(svc)
    assert refused(svc, "StartInstances", InstanceIds=[first]) == "VcpuLimitExceeded"
    call(svc, "TerminateInstances", InstanceIds=[second])
    call(svc, "StartInstances", InstanceIds=[first])


def test_a_deregistered_image_makes_room(tmp_path: Path) -> None:
    svc = limited(tmp_path, "images=1")
    assert refused(svc, "RegisterImage", **a_registration("one")) == "ResourceLimitExceeded"
    call(svc, "DeregisterImage", ImageId=IMAGE)
    call(svc, "RegisterImage", **a_registration("one"))


def test_an_import_under_way_has_the_room_that_it_will_need(tmp_path: Path) -> None:
    svc = limited(tmp_path, "images=2", "snapshots=2")
    task = ImportTask(
        id=ImportTaskId("import-ami-0123456789abcdef0"),
        region=HERE,
        owner=ALICE,
        state=ImportState.ACTIVE,
        created_at=EPOCH,
        disks=(ImportedDisk(url="s3://disks/root"),),
    )
    with svc.catalog.begin() as tx:
        import_tasks.add(tx, task)
    volume_id = a_volume_id(svc)
    assert refused(svc, "RegisterImage", **a_registration("one")) == "ResourceLimitExceeded"
    assert refused(svc, "CreateSnapshot", VolumeId=volume_id) == "SnapshotLimitExceeded"
    with svc.catalog.begin() as tx:
        import_tasks.save(tx, task.after(ImportEvent.CANCEL, "cancelled"))
    call(svc, "RegisterImage", **a_registration("one"))
    call(svc, "CreateSnapshot", VolumeId=volume_id)


def test_a_volume_grows_within_its_accounts_storage(tmp_path: Path) -> None:
    svc = limited(tmp_path, "storage-gib=3")
    volume_id = a_volume_id(svc)
    assert refused(svc, "ModifyVolume", VolumeId=volume_id, Size=4) == "VolumeLimitExceeded"
    call(svc, "ModifyVolume", VolumeId=volume_id, Size=3)


def test_an_image_is_shared_with_so_many(tmp_path: Path) -> None:
    svc = limited(tmp_path, "image-shares=0", "public-images=1")
    share = {"ImageId": IMAGE, "LaunchPermission": {"Add": [{"Group": "all"}]}}
    call(svc, "DisableImageBlockPublicAccess")
    call(svc, "ModifyImageAttribute", **share)
    call(svc, "ModifyImageAttribute", **share)  # it is public already
    call(svc, "RegisterImage", **a_registration("second"))
    second = call(svc, "DescribeImages", Filters=[{"Name": "name", "Values": ["second"]}])
    share["ImageId"] = second["Images"][0]["ImageId"]
    assert refused(svc, "ModifyImageAttribute", **share) == "ResourceLimitExceeded"


def test_quotas_are_each_accounts_in_each_region(tmp_path: Path) -> None:
    svc = limited(tmp_path, "key-pairs=1")
    for caller in (a_caller(), a_caller(account=BOB), a_caller(region=svc_region(svc))):
        call(svc, "CreateKeyPair", caller, KeyName="mine")
        assert refused(svc, "CreateKeyPair", caller, KeyName="two") == "ResourceLimitExceeded"


def svc_region(svc: Services) -> Any:
    return next(name for name in svc.settings.regions if name != HERE)


def test_callers_at_once_cannot_exceed_a_quota(tmp_path: Path) -> None:
    file = Catalog.open(tmp_path / "catalog.sqlite")
    metadata.create_all(file.engine)
    settings = Settings(state_dir=tmp_path, compute_driver="record", quotas=("key-pairs=3",))
    svc = services(tmp_path, settings=settings)

    def add(number: int) -> str:
        pair = KeyPair(
            id=KeyPairId(f"key-{number}"),
            region=HERE,
            owner=ALICE,
            name=f"name-{number}",
            key_type="rsa",
            fingerprint="",
            public_key="",
            created_at=svc.clock.now(),
        )
        try:
            with file.begin() as tx:
                check_room(svc, tx, Quota.KEY_PAIRS, ALICE, HERE)
                key_pairs.add(tx, pair)
        except EC2Error as refusal:
            return refusal.code
        return "added"

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(add, range(24)))
    file.close()
    svc.catalog.close()
    assert outcomes.count("added") == 3


@pytest.mark.parametrize("wrong", ["image=1", "images", "images=many"])
def test_a_quota_that_is_none_is_an_error_of_the_settings(wrong: str) -> None:
    with pytest.raises(SettingsError, match="quotas"):
        Settings(quotas=(wrong,))


def test_each_quota_has_its_row_in_the_settings_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    for quota, rule in RULES.items():
        assert f"| `{quota}` | {rule.default}" in page
        assert rule.code in page


def pending_snapshots(svc: Services, volume_id: str, count: int) -> None:
    svc.jobs.close()
    for _ in range(count):
        with pytest.raises(NotRunning):
            call(svc, "CreateSnapshot", VolumeId=volume_id)


@pytest.mark.parametrize(("volume_type", "limit"), [("gp3", 5), ("gp2", 5), ("st1", 1), ("sc1", 1)])
def test_a_volume_has_so_many_pending_snapshots_as_its_type_allows(
    tmp_path: Path, volume_type: str, limit: int
) -> None:
    svc = limited(tmp_path)
    request = a_volume(125) | {"VolumeType": volume_type}
    volume_id = str(call(svc, "CreateVolume", **request)["VolumeId"])
    other = a_volume_id(svc)
    pending_snapshots(svc, volume_id, limit)
    with pytest.raises(
        EC2Error, match="Maximum allowed in-progress snapshots for a single"
    ) as told:
        call(svc, "CreateSnapshot", VolumeId=volume_id)
    assert told.value.code == "ConcurrentSnapshotLimitExceeded"
    pending_snapshots(svc, other, 1)
    svc.jobs.launch()
    registry.sweep(svc)
    call(svc, "CreateSnapshot", VolumeId=volume_id)


def test_pending_snapshots_have_limits_by_setting(tmp_path: Path) -> None:
    svc = limited(tmp_path, "pending-snapshots=1")
    volume_id = a_volume_id(svc)
    pending_snapshots(svc, volume_id, 1)
    code = refused(svc, "CreateSnapshot", VolumeId=volume_id)
    assert code == "ConcurrentSnapshotLimitExceeded"


def test_an_instance_with_a_volume_that_has_its_snapshots_gets_no_image_and_no_set(
    tmp_path: Path,
) -> None:
    svc = limited(tmp_path)
    instance_id = launched(svc)
    (volume,) = call(svc, "DescribeVolumes")["Volumes"]
    pending_snapshots(svc, volume["VolumeId"], 5)
    svc.jobs.launch()
    of_image = refused(svc, "CreateImage", InstanceId=instance_id, Name="web")
    instance = {"InstanceId": instance_id}
    of_set = refused(svc, "CreateSnapshots", InstanceSpecification=instance)
    assert of_image == of_set == "ConcurrentSnapshotLimitExceeded"
