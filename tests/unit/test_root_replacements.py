"""CreateReplaceRootVolumeTask and DescribeReplaceRootVolumeTasks."""

from pathlib import Path
from typing import Any

import pytest

from openami.catalog import instances
from openami.compute.driver import MachineState
from openami.domain.block_device import BlockDeviceMapping
from openami.domain.ids import InstanceId
from openami.services import Services
from openami.settings import Settings
from support.asking import a_bootable_image, a_running_instance, ask, filtered, put, refused
from support.builders import BOB, IMAGE, SNAPSHOT, a_device, a_snapshot, an_image
from support.disk_contents import volume_blocks, write_volume
from support.fakes import services
from support.no_guest import BrokenHost, WatchedDriver

SOURCES: list[dict[str, Any]] = [{}, {"ImageId": IMAGE}]


def served(tmp_path: Path, driver: Any = None) -> Services:
    settings = Settings(state_dir=tmp_path, compute_driver="record", stop_timeout_s=0.2)
    svc = services(tmp_path, compute=driver, settings=settings)
    a_bootable_image(svc)
    return svc


def instance(svc: Services, instance_id: str) -> dict[str, Any]:
    answer = ask(svc, "DescribeInstances", InstanceIds=[instance_id])
    found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
    return found


def root_of(svc: Services, instance_id: str) -> str:
    (root,) = (
        each["Ebs"]["VolumeId"]
        for each in instance(svc, instance_id)["BlockDeviceMappings"]
        if each["DeviceName"] == "/dev/xvda"
    )
    return str(root)


def volume(svc: Services, volume_id: str) -> dict[str, Any]:
    (found,) = ask(svc, "DescribeVolumes", VolumeIds=[volume_id])["Volumes"]
    return dict(found)


def replace_root(svc: Services, instance_id: str, **request: Any) -> dict[str, Any]:
    """The task as it is when the call has been answered; what was answered was pending."""
    answer = ask(svc, "CreateReplaceRootVolumeTask", InstanceId=instance_id, **request)
    told = answer["ReplaceRootVolumeTask"]
    assert told["TaskState"] == "pending"
    found = ask(
        svc,
        "DescribeReplaceRootVolumeTasks",
        ReplaceRootVolumeTaskIds=[told["ReplaceRootVolumeTaskId"]],
    )
    (task,) = found["ReplaceRootVolumeTasks"]
    return dict(task)


def a_changed_image(svc: Services, sign: str = "n", **but: Any) -> str:
    """The id of another image of the account, with a block of its own, made as a user makes it."""
    helper = a_running_instance(svc)
    write_volume(svc, root_of(svc, helper), 2, sign)
    image_id = ask(svc, "CreateImage", InstanceId=helper, Name=f"with {sign}")["ImageId"]
    ask(svc, "TerminateInstances", InstanceIds=[helper])
    return str(image_id)


@pytest.mark.parametrize("source", SOURCES, ids=["launch state", "image"])
def test_the_machine_runs_again_from_a_pristine_root(
    tmp_path: Path, source: dict[str, Any]
) -> None:
    driver = WatchedDriver(tmp_path / "instances")
    svc = served(tmp_path, driver)
    data = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}]
    instance_id = a_running_instance(svc, BlockDeviceMappings=data)
    before, old = instance(svc, instance_id), root_of(svc, instance_id)
    write_volume(svc, old, 5, "x")
    task = replace_root(svc, instance_id, **source)
    assert task["TaskState"] == "succeeded"
    assert task["SnapshotId"] == SNAPSHOT
    assert task["DeleteReplacedRootVolume"] is False
    assert task["CompleteTime"] == task["StartTime"] == "2024-01-01T00:00:00Z"
    after, new = instance(svc, instance_id), root_of(svc, instance_id)
    assert new != old
    assert volume_blocks(svc, new) == {}
    assert volume_blocks(svc, old) == {5: "x"}
    assert volume(svc, old)["State"] == "available"
    assert volume(svc, new)["Attachments"][0]["DeleteOnTermination"] is True
    same = ("State", "PrivateIpAddress", "PublicIpAddress", "LaunchTime", "ImageId", "BootMode")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["BlockDeviceMappings"][0] == before["BlockDeviceMappings"][0]
    assert driver.presses == 1, "the guest was asked to shut down"
    assert driver.state(InstanceId(instance_id)) is MachineState.RUNNING
    with svc.catalog.read() as tx:
        row = instances.fetch_any(tx, InstanceId(instance_id))
    assert row is not None
    assert row.rebooting_for is None


def test_an_image_brings_its_content_its_size_and_its_id(tmp_path: Path) -> None:
    svc = served(tmp_path)
    newer = a_changed_image(svc)
    instance_id = a_running_instance(
        svc, BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3"}}]
    )
    assert replace_root(svc, instance_id, ImageId=newer)["ImageId"] == newer
    assert instance(svc, instance_id)["ImageId"] == newer
    assert volume_blocks(svc, root_of(svc, instance_id)) == {2: "n"}
    assert volume(svc, root_of(svc, instance_id))["VolumeType"] == "gp3", "as the original"
    assert replace_root(svc, instance_id, ImageId=IMAGE)["TaskState"] == "succeeded"
    assert volume_blocks(svc, root_of(svc, instance_id)) == {}, "and back again"


def test_the_larger_of_root_and_image_is_the_size(tmp_path: Path) -> None:
    svc = served(tmp_path)
    put(
        svc,
        an_image(
            id="ami-0000000a",
            name="large",
            boot_mode="uefi",
            ena_support=True,
            block_device_mappings=(a_device(volume_size_gib=3), a_device("/dev/sdz")),
        ),
    )
    instance_id = a_running_instance(svc)
    replace_root(svc, instance_id, ImageId="ami-0000000a")
    assert volume(svc, root_of(svc, instance_id))["Size"] == 3
    found = instance(svc, instance_id)
    assert len(found["BlockDeviceMappings"]) == 1, "the image's other disks are left"
    assert (found["BootMode"], found["CurrentInstanceBootMode"]) == ("uefi", "uefi")
    assert found["EnaSupport"] is True
    with refused("InvalidParameterValue", "ENA"):
        replace_root(svc, instance_id, ImageId=IMAGE)
    replace_root(svc, instance_id)
    assert volume(svc, root_of(svc, instance_id))["Size"] == 3


def test_snapshots_of_every_root_that_the_instance_had_may_be_restored(tmp_path: Path) -> None:
    svc = served(tmp_path)
    instance_id = a_running_instance(svc)
    write_volume(svc, root_of(svc, instance_id), 4, "a")
    first = ask(svc, "CreateSnapshot", VolumeId=root_of(svc, instance_id))["SnapshotId"]
    write_volume(svc, root_of(svc, instance_id), 4, "b")
    assert replace_root(svc, instance_id, SnapshotId=first)["SnapshotId"] == first
    assert volume_blocks(svc, root_of(svc, instance_id)) == {4: "a"}
    replace_root(svc, instance_id)
    replace_root(svc, instance_id, SnapshotId=first)
    assert volume_blocks(svc, root_of(svc, instance_id)) == {4: "a"}
    other = a_running_instance(svc)
    with refused("InvalidParameterValue", "lineage"):
        replace_root(svc, other, SnapshotId=first)
    with refused("InvalidParameterValue", "lineage"):
        replace_root(svc, instance_id, SnapshotId=SNAPSHOT)


def test_a_volume_of_the_zone_may_become_the_root(tmp_path: Path) -> None:
    svc = served(tmp_path)
    instance_id = a_running_instance(svc)
    zone = instance(svc, instance_id)["Placement"]["AvailabilityZone"]
    made = ask(svc, "CreateVolume", AvailabilityZone=zone, SnapshotId=SNAPSHOT)["VolumeId"]
    write_volume(svc, made, 1, "v")
    task = replace_root(svc, instance_id, VolumeId=made)
    assert task["TaskState"] == "succeeded"
    assert root_of(svc, instance_id) == made
    elsewhere = "us-east-1b" if zone.endswith("a") else "us-east-1a"
    far = ask(svc, "CreateVolume", AvailabilityZone=elsewhere, Size=1)["VolumeId"]
    with refused("InvalidVolume.ZoneMismatch"):
        replace_root(svc, instance_id, VolumeId=far)
    with refused("VolumeInUse"):
        replace_root(svc, instance_id, VolumeId=made)


def test_the_replaced_root_goes_if_asked_and_snapshots_of_it_stay(tmp_path: Path) -> None:
    svc = served(tmp_path)
    instance_id = a_running_instance(svc)
    old = root_of(svc, instance_id)
    snapshot_id = ask(svc, "CreateSnapshot", VolumeId=old)["SnapshotId"]
    assert replace_root(svc, instance_id, DeleteReplacedRootVolume=True)["TaskState"] == "succeeded"
    with refused("InvalidVolume.NotFound"):
        volume(svc, old)
    task = replace_root(svc, instance_id, SnapshotId=snapshot_id)
    assert task["TaskState"] == "succeeded"


def test_a_machine_that_does_not_start_from_the_new_root_gets_the_old_one_back(
    tmp_path: Path,
) -> None:
    driver = NewRootsFail(tmp_path / "instances")
    svc = served(tmp_path, driver)
    instance_id = a_running_instance(svc)
    newer = a_changed_image(svc)
    old = root_of(svc, instance_id)
    driver.fails = 1
    assert replace_root(svc, instance_id, ImageId=newer)["TaskState"] == "failed"
    found = instance(svc, instance_id)
    assert (found["State"]["Name"], found["ImageId"]) == ("running", IMAGE)
    assert root_of(svc, instance_id) == old
    assert driver.state(InstanceId(instance_id)) is MachineState.RUNNING
    (left,) = ask(svc, "DescribeVolumes")["Volumes"]
    assert left["VolumeId"] == old, "what was made for the task is gone"
    assert replace_root(svc, instance_id, ImageId=newer)["TaskState"] == "succeeded"


class NewRootsFail(BrokenHost):
    """Fails to start machines a number of times."""

    fails = 0

    def start(self, machine: Any) -> None:
        self.broken, self.fails = self.fails > 0, self.fails - 1
        super().start(machine)


def test_a_machine_that_does_not_start_at_all_is_stopped_with_its_old_root(tmp_path: Path) -> None:
    driver = BrokenHost(tmp_path / "instances")
    svc = served(tmp_path, driver)
    instance_id = a_running_instance(svc)
    old = root_of(svc, instance_id)
    driver.broken = True
    assert replace_root(svc, instance_id)["TaskState"] == "failed"
    found = instance(svc, instance_id)
    assert found["State"]["Name"] == "stopped"
    assert found["StateReason"]["Code"] == "Server.InternalError"
    assert root_of(svc, instance_id) == old


@pytest.mark.parametrize("operation", ["StopInstances", "TerminateInstances"])
def test_who_stops_the_instance_meanwhile_keeps_its_root(tmp_path: Path, operation: str) -> None:
    driver = WatchedDriver(tmp_path / "instances")
    svc = served(tmp_path, driver)
    instance_id = a_running_instance(svc)
    old = root_of(svc, instance_id)
    driver.on_press = lambda: ask(svc, operation, InstanceIds=[instance_id])
    assert replace_root(svc, instance_id)["TaskState"] == "failed"
    left = [each["VolumeId"] for each in ask(svc, "DescribeVolumes")["Volumes"]]
    assert left == ([old] if operation == "StopInstances" else [])


def test_a_replacement_that_is_taken_away_meanwhile_fails_the_task(tmp_path: Path) -> None:
    driver = WatchedDriver(tmp_path / "instances")
    svc = served(tmp_path, driver)
    instance_id = a_running_instance(svc)
    zone = instance(svc, instance_id)["Placement"]["AvailabilityZone"]
    made = ask(svc, "CreateVolume", AvailabilityZone=zone, Size=1)["VolumeId"]
    driver.on_press = lambda: ask(svc, "DeleteVolume", VolumeId=made)
    assert replace_root(svc, instance_id, VolumeId=made)["TaskState"] == "failed"
    assert instance(svc, instance_id)["State"]["Name"] == "running"


def test_a_token_makes_one_task_and_tags_are_the_tasks(tmp_path: Path) -> None:
    svc = served(tmp_path)
    instance_id = a_running_instance(svc)
    tags = [{"ResourceType": "replace-root-volume-task", "Tags": [{"Key": "why", "Value": "x"}]}]
    given = {"ClientToken": "t", "TagSpecifications": tags}
    task = ask(svc, "CreateReplaceRootVolumeTask", InstanceId=instance_id, **given)
    again = ask(svc, "CreateReplaceRootVolumeTask", InstanceId=instance_id, **given)
    first, second = task["ReplaceRootVolumeTask"], again["ReplaceRootVolumeTask"]
    assert first["ReplaceRootVolumeTaskId"] == second["ReplaceRootVolumeTaskId"]
    assert second["Tags"] == [{"Key": "why", "Value": "x"}]
    with refused("IdempotentParameterMismatch"):
        ask(svc, "CreateReplaceRootVolumeTask", InstanceId=instance_id, ClientToken="t")
    found = ask(svc, "DescribeReplaceRootVolumeTasks", Filters=filtered("tag:why", "x"))
    assert len(found["ReplaceRootVolumeTasks"]) == 1
    ask(svc, "CreateTags", Resources=[first["ReplaceRootVolumeTaskId"]], Tags=[{"Key": "b"}])


def test_tasks_are_listed_by_instance_and_page_and_are_their_owners_alone(tmp_path: Path) -> None:
    svc = served(tmp_path)
    one, two = a_running_instance(svc), a_running_instance(svc)
    ids = [replace_root(svc, each)["ReplaceRootVolumeTaskId"] for each in (one, one, two)]
    told = ask(svc, "DescribeReplaceRootVolumeTasks", Filters=filtered("instance-id", one))
    assert [each["ReplaceRootVolumeTaskId"] for each in told["ReplaceRootVolumeTasks"]] == ids[:2]
    first = ask(svc, "DescribeReplaceRootVolumeTasks", MaxResults=2)
    rest = ask(svc, "DescribeReplaceRootVolumeTasks", MaxResults=2, NextToken=first["NextToken"])
    assert [each["ReplaceRootVolumeTaskId"] for each in rest["ReplaceRootVolumeTasks"]] == ids[2:]
    assert ask(svc, "DescribeReplaceRootVolumeTasks", BOB)["ReplaceRootVolumeTasks"] == []
    with refused("InvalidReplaceRootVolumeTaskId.NotFound"):
        ask(svc, "DescribeReplaceRootVolumeTasks", BOB, ReplaceRootVolumeTaskIds=ids[:1])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"SnapshotId": SNAPSHOT, "ImageId": IMAGE}, "InvalidParameterCombination"),
        ({"ImageId": "ami-00000000"}, "InvalidAMIID.NotFound"),
        ({"SnapshotId": "snap-00000000"}, "InvalidSnapshot.NotFound"),
        ({"VolumeId": "vol-00000000"}, "InvalidVolume.NotFound"),
        ({"ImageId": "ami-0000000b"}, "Unsupported"),
        ({"ImageId": "ami-0000000c"}, "Unsupported"),
        ({"VolumeInitializationRate": 100}, "UnsupportedOperation"),
    ],
)
def test_a_replacement_is_refused_and_changes_nothing(
    tmp_path: Path, request_: dict[str, Any], code: str
) -> None:
    driver = WatchedDriver(tmp_path / "instances")
    svc = served(tmp_path, driver)
    put(svc, an_image(id="ami-0000000b", name="old", architecture="i386"))
    put(svc, an_image(id="ami-0000000c", name="new", boot_mode="uefi"))
    instance_id = a_running_instance(svc, InstanceType="t2.micro")
    with refused(code):
        replace_root(svc, instance_id, **request_)
    assert driver.presses == 0
    assert len(ask(svc, "DescribeVolumes")["Volumes"]) == 1


def test_only_a_running_instance_gets_another_root(tmp_path: Path) -> None:
    svc = served(tmp_path)
    instance_id = a_running_instance(svc)
    ask(svc, "StopInstances", InstanceIds=[instance_id])
    with refused("IncorrectInstanceState", "stopped"):
        replace_root(svc, instance_id)


def test_an_instance_store_disk_is_kept(tmp_path: Path) -> None:
    svc = services(tmp_path)
    disk = BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0")
    put(svc, a_snapshot(), an_image(block_device_mappings=(a_device(), disk)))
    instance_id = a_running_instance(svc, InstanceType="m5d.large")
    file = tmp_path / "ephemeral" / instance_id / "ephemeral0.qcow2"
    inode = file.stat().st_ino
    replace_root(svc, instance_id)
    assert file.stat().st_ino == inode
