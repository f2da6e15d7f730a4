"""CreateImage."""

from pathlib import Path
from typing import Any

import pytest

from openami.catalog import ingests, instances
from openami.compute.driver import MachineState
from openami.domain.block_device import BlockDeviceMapping
from openami.domain.ids import InstanceId
from openami.domain.image import ImageState
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.settings import Settings
from openami.workflows import create_image
from support.asking import a_bootable_image, a_running_instance, ask, put, refused
from support.builders import IMAGE, SNAPSHOT, a_device, a_snapshot, an_image
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services
from support.no_guest import BrokenHost, WatchedDriver

NAMED = [{"Name": "name", "Values": ["web-2"]}]


def with_instance(tmp_path: Path, **request: Any) -> tuple[Services, WatchedDriver, str]:
    driver = WatchedDriver(tmp_path / "instances")
    # Nothing takes long here, but for a stop in the middle of an image, in the image's own thread.
    settings = Settings(state_dir=tmp_path, compute_driver="record", stop_timeout_s=0.2)
    svc = services(tmp_path, compute=driver, settings=settings)
    a_bootable_image(svc)
    return svc, driver, a_running_instance(svc, **request)


def create(svc: Services, instance_id: str, **request: Any) -> dict[str, Any]:
    """The image as it is when the call has been answered."""
    given = {"InstanceId": instance_id, "Name": "web-2"} | request
    image_id = ask(svc, "CreateImage", **given)["ImageId"]
    (image,) = ask(svc, "DescribeImages", ImageIds=[image_id])["Images"]
    return image


def instance(svc: Services, instance_id: str) -> dict[str, Any]:
    answer = ask(svc, "DescribeInstances", InstanceIds=[instance_id])
    found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
    return found


def volume_at(svc: Services, instance_id: str, device: str) -> str:
    for volume in ask(svc, "DescribeVolumes")["Volumes"]:
        for each in volume["Attachments"]:
            if (each["InstanceId"], each["Device"]) == (instance_id, device):
                return str(volume["VolumeId"])
    raise AssertionError(f"nothing at {device}")


def devices(image: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["DeviceName"]: each for each in image["BlockDeviceMappings"]}


def test_an_image_of_a_running_instance_holds_its_disks_and_its_lineage(tmp_path: Path) -> None:
    svc, driver, instance_id = with_instance(
        tmp_path, BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}]
    )
    write_volume(svc, volume_at(svc, instance_id, "/dev/xvda"), 5, "r")
    write_volume(svc, volume_at(svc, instance_id, "/dev/sdf"), 3000, "d")
    tags = [
        {"ResourceType": "image", "Tags": [{"Key": "Version", "Value": "2"}]},
        {"ResourceType": "snapshot", "Tags": [{"Key": "of", "Value": "web"}]},
    ]
    image = create(svc, instance_id, NoReboot=True, Description="nice", TagSpecifications=tags)
    assert image["State"] == "available"
    assert image["SourceInstanceId"] == instance_id
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (IMAGE, "us-east-1")
    assert (image["Architecture"], image["VirtualizationType"]) == ("x86_64", "hvm")
    assert image["BootMode"] == "legacy-bios"
    assert image["Description"] == "nice"
    assert image["Tags"] == [{"Key": "Version", "Value": "2"}]
    root, data = (devices(image)[name]["Ebs"] for name in ("/dev/xvda", "/dev/sdf"))
    assert (root["VolumeSize"], data["VolumeSize"]) == (1, 2)
    assert (root["DeleteOnTermination"], data["DeleteOnTermination"]) == (True, False)
    assert snapshot_blocks(svc, root["SnapshotId"]) == {5: "r"}
    assert snapshot_blocks(svc, data["SnapshotId"]) == {3000: "d"}
    told = ask(svc, "DescribeSnapshots", SnapshotIds=[root["SnapshotId"]])["Snapshots"][0]
    assert told["Description"] == f"Created by CreateImage({instance_id}) for {image['ImageId']}"
    assert told["Tags"] == [{"Key": "of", "Value": "web"}]
    assert len(driver.copied) == 1, "all disks at one moment"
    assert driver.presses == 0


def test_the_guest_is_shut_down_and_runs_again_unless_told_otherwise(tmp_path: Path) -> None:
    svc, driver, instance_id = with_instance(tmp_path)
    write_volume(svc, volume_at(svc, instance_id, "/dev/xvda"), 5, "r")
    before = instance(svc, instance_id)
    image = create(svc, instance_id)
    assert image["State"] == "available"
    assert snapshot_blocks(svc, devices(image)["/dev/xvda"]["Ebs"]["SnapshotId"]) == {5: "r"}
    assert driver.presses == 1
    assert driver.copied == [], "the disks were read while nothing wrote to them"
    assert driver.state(InstanceId(instance_id)) is MachineState.RUNNING
    after = instance(svc, instance_id)
    assert after["State"]["Name"] == "running"
    assert after["PublicIpAddress"] == before["PublicIpAddress"]
    with svc.catalog.read() as tx:
        row = instances.fetch_any(tx, InstanceId(instance_id))
        assert row is not None
        assert row.rebooting_for is None
        assert ingests.all_active(tx) == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_stopped_instance_stays_stopped(tmp_path: Path) -> None:
    svc, driver, instance_id = with_instance(tmp_path)
    ask(svc, "StopInstances", InstanceIds=[instance_id])
    presses = driver.presses
    assert create(svc, instance_id)["State"] == "available"
    assert driver.presses == presses
    assert instance(svc, instance_id)["State"]["Name"] == "stopped"


def test_an_image_of_an_image_launches(tmp_path: Path) -> None:
    svc, _, instance_id = with_instance(tmp_path)
    write_volume(svc, volume_at(svc, instance_id, "/dev/xvda"), 0, "1")
    image = create(svc, instance_id)
    answer = ask(
        svc,
        "RunInstances",
        ImageId=image["ImageId"],
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
    )
    second = answer["Instances"][0]["InstanceId"]
    write_volume(svc, volume_at(svc, second, "/dev/xvda"), 9, "2")
    ask(svc, "DeregisterImage", ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
    third = create(svc, second, Name="web-3")
    assert snapshot_blocks(svc, devices(third)["/dev/xvda"]["Ebs"]["SnapshotId"]) == {
        0: "1",
        9: "2",
    }


def test_devices_are_changed_dropped_and_added(tmp_path: Path) -> None:
    svc, _, instance_id = with_instance(
        tmp_path,
        InstanceType="m5d.large",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}},
            {"DeviceName": "/dev/sdg", "VirtualName": "ephemeral0"},
        ],
    )
    put(svc, a_snapshot(id="snap-0000000a", volume_size_gib=3))
    image = create(
        svc,
        instance_id,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}},
            {"DeviceName": "/dev/sdf", "NoDevice": ""},
            {"DeviceName": "/dev/sdh", "Ebs": {"VolumeSize": 4}},
            {"DeviceName": "/dev/sdi", "Ebs": {"SnapshotId": "snap-0000000a"}},
            {"DeviceName": "/dev/sdj", "VirtualName": "ephemeral1"},
        ],
    )
    found = devices(image)
    assert found["/dev/xvda"]["Ebs"]["DeleteOnTermination"] is False
    assert "/dev/sdf" not in found
    assert found["/dev/sdh"]["Ebs"]["VolumeSize"] == 4
    assert "SnapshotId" not in found["/dev/sdh"]["Ebs"]
    assert found["/dev/sdi"]["Ebs"]["SnapshotId"] == "snap-0000000a"
    assert found["/dev/sdj"]["VirtualName"] == "ephemeral1"
    assert found["/dev/sdg"]["VirtualName"] == "ephemeral0"


def test_a_mapping_of_the_source_image_is_kept_where_the_type_has_no_such_disk(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    disk = BlockDeviceMapping(device_name="/dev/sdb", virtual_name="ephemeral0")
    put(svc, a_snapshot(), an_image(block_device_mappings=(a_device(), disk)))
    image = create(svc, a_running_instance(svc))
    assert devices(image)["/dev/sdb"] == {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9}}, "DeleteOnTermination"),
        ({"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": SNAPSHOT}}, "DeleteOnTermination"),
        ({"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}, "DeleteOnTermination"),
        ({"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3"}}, "DeleteOnTermination"),
        ({"DeviceName": "/dev/xvda", "VirtualName": "ephemeral0"}, "DeleteOnTermination"),
        ({"DeviceName": "/dev/xvda", "NoDevice": ""}, "root device"),
    ],
)
def test_an_existing_device_keeps_what_it_is(
    tmp_path: Path, mapping: dict[str, Any], words: str
) -> None:
    svc, driver, instance_id = with_instance(tmp_path)
    with refused("InvalidBlockDeviceMapping", words):
        create(svc, instance_id, BlockDeviceMappings=[mapping])
    assert driver.presses == 0
    assert len(ask(svc, "DescribeSnapshots")["Snapshots"]) == 1, "only the source image's"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"InstanceId": "i-00000000"}, "InvalidInstanceID.NotFound"),
        ({"InstanceId": "i-x"}, "InvalidInstanceID.Malformed"),
        ({"Name": "x"}, "InvalidAMIName.Malformed"),
        ({"Name": "debian-12"}, "InvalidAMIName.Duplicate"),
        ({"SnapshotLocation": "local"}, "UnsupportedOperation"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sdz", "Ebs": {"Encrypted": True}}]},
            "UnsupportedOperation",
        ),
    ],
)
def test_a_creation_is_refused(tmp_path: Path, request_: dict[str, Any], code: str) -> None:
    svc, driver, instance_id = with_instance(tmp_path)
    with refused(code):
        create(svc, instance_id, **request_)
    assert driver.presses == 0


def test_an_instance_that_is_gone_or_on_its_way_makes_no_image(tmp_path: Path) -> None:
    svc, _, instance_id = with_instance(tmp_path)
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    with refused("IncorrectInstanceState", instance_id):
        create(svc, instance_id)


def test_an_image_whose_instance_is_terminated_meanwhile_fails_with_ec2s_reason(
    tmp_path: Path,
) -> None:
    svc, driver, instance_id = with_instance(tmp_path)
    driver.on_press = lambda: ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    image = create(svc, instance_id)
    assert image["State"] == "failed"
    assert image["StateReason"]["Code"] == "Client.InstanceTerminated"
    (snapshot_id,) = (each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"])
    (snapshot,) = ask(svc, "DescribeSnapshots", SnapshotIds=[snapshot_id])["Snapshots"]
    assert snapshot["State"] == "error"
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


def test_an_instance_that_is_stopped_meanwhile_stays_stopped_and_the_image_is_made(
    tmp_path: Path,
) -> None:
    svc, driver, instance_id = with_instance(tmp_path)
    driver.on_press = lambda: ask(svc, "StopInstances", InstanceIds=[instance_id])
    assert create(svc, instance_id)["State"] == "available"
    assert instance(svc, instance_id)["State"]["Name"] == "stopped"
    ask(svc, "StartInstances", InstanceIds=[instance_id])
    assert instance(svc, instance_id)["State"]["Name"] == "running"
    assert create(svc, instance_id, Name="another")["State"] == "available", "no reboot lingers"


def test_a_guest_whose_machine_does_not_come_back_is_stopped_and_its_image_is_made(
    tmp_path: Path,
) -> None:
    driver = BrokenHost(tmp_path / "instances")
    svc = services(tmp_path, compute=driver)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    driver.broken = True
    assert create(svc, instance_id)["State"] == "available"
    found = instance(svc, instance_id)
    assert found["State"]["Name"] == "stopped"
    assert found["StateReason"]["Message"] == "Server.InternalError: Internal error on launch"


def test_one_reboot_at_a_time(tmp_path: Path) -> None:
    svc, driver, instance_id = with_instance(tmp_path)
    refusals: list[str] = []

    def another() -> None:
        with refused("IncorrectState", instance_id):
            create(svc, instance_id, Name="second")
        refusals.append("refused")

    driver.on_press = another
    assert create(svc, instance_id)["State"] == "available"
    assert refusals == ["refused"]


def test_an_image_deregistered_while_pending_stays_so_and_its_snapshots_complete(
    tmp_path: Path,
) -> None:
    svc, driver, instance_id = with_instance(tmp_path)

    def deregister() -> None:
        (image,) = ask(svc, "DescribeImages", Owners=["self"], Filters=NAMED)["Images"]
        assert image["State"] == ImageState.PENDING
        ask(svc, "DeregisterImage", ImageId=image["ImageId"])

    driver.on_press = deregister
    image_id = ask(svc, "CreateImage", InstanceId=instance_id, Name="web-2")["ImageId"]
    assert ask(svc, "DescribeImages", ImageIds=[image_id])["Images"] == []
    states = {each["State"] for each in ask(svc, "DescribeSnapshots")["Snapshots"]}
    assert states == {"completed"}
    assert instance(svc, instance_id)["State"]["Name"] == "running"


def test_the_sweep_takes_up_an_image_whose_workflow_never_began(tmp_path: Path) -> None:
    svc, _, instance_id = with_instance(tmp_path)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        create(svc, instance_id)
    svc.jobs.launch()
    create_image.resume(svc)
    (image,) = ask(svc, "DescribeImages", Filters=NAMED)["Images"]
    assert image["State"] == "available"
    assert instance(svc, instance_id)["State"]["Name"] == "running"
