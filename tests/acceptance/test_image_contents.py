"""What an image is made of, and what it is not tied to (S-05, S-06, S-08 to S-11, S-13)."""

from collections.abc import Callable
from typing import Any

import pytest

from support import api
from support.server import Server


@pytest.fixture
def ec2(record_server: Server) -> Any:
    return record_server.client(account="contents")


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of("contents")


def test_s05_an_image_outlives_its_source(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s05")
    api.terminate(ec2, source["InstanceId"])
    assert api.refusal(ec2.describe_volumes, VolumeIds=[api.root_volume_id(source)]) == (
        "InvalidVolume.NotFound"
    ), "the source's disk goes with it"
    again = api.launch(ec2, made["ImageId"])
    assert again["ImageId"] == made["ImageId"]
    assert api.volume(ec2, api.root_volume_id(again))["SnapshotId"] == api.root_snapshot_id(made)


def test_s06_instances_outlive_their_image(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s06")
    running = api.launch(ec2, made["ImageId"])
    ec2.deregister_image(ImageId=made["ImageId"])
    api.stop(ec2, running["InstanceId"])
    api.start(ec2, running["InstanceId"])
    assert api.refusal(api.launch, ec2, made["ImageId"]) == "InvalidAMIID.Unavailable"


def test_s08_every_device_of_an_image_names_a_complete_snapshot_of_its_owner(
    ec2: Any, small_ami: str
) -> None:
    data = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}
    source = api.launch(ec2, small_ami, BlockDeviceMappings=[data])
    made = api.create_image(ec2, source["InstanceId"], "s08")
    described = f"Created by CreateImage({source['InstanceId']}) for {made['ImageId']}"
    assert set(api.device_names(made)) == {source["RootDeviceName"], "/dev/sdf"}
    for mapping in made["BlockDeviceMappings"]:
        ids = [mapping["Ebs"]["SnapshotId"]]
        (snapshot,) = ec2.describe_snapshots(SnapshotIds=ids, OwnerIds=["self"])["Snapshots"]
        volume = api.volume(ec2, api.device(source, mapping["DeviceName"])["VolumeId"])
        assert snapshot["State"] == "completed"
        assert snapshot["Progress"] == "100%"
        assert snapshot["Description"] == described
        assert snapshot["VolumeId"] == volume["VolumeId"]
        assert snapshot["VolumeSize"] == volume["Size"] == mapping["Ebs"]["VolumeSize"]


def test_s08_a_snapshot_that_an_image_needs_cannot_be_deleted(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s08-in-use")
    snapshot_id = api.root_snapshot_id(made)
    assert api.refusal(ec2.delete_snapshot, SnapshotId=snapshot_id) == "InvalidSnapshot.InUse"
    ec2.deregister_image(ImageId=made["ImageId"])
    ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert (
        api.refusal(ec2.describe_snapshots, SnapshotIds=[snapshot_id]) == "InvalidSnapshot.NotFound"
    )


def test_s09_a_fresh_image_may_be_launched_by_its_owner_only(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s09")
    permissions = ec2.describe_image_attribute(
        ImageId=made["ImageId"], Attribute="launchPermission"
    )
    assert permissions["LaunchPermissions"] == []
    assert made["Public"] is False


def test_s10_the_block_device_mapping_is_kept_and_obeyed(ec2: Any, small_ami: str) -> None:
    snapshot_id = api.root_snapshot_id(api.image(ec2, small_ami))
    mine = snapshot_of_blank(ec2)
    image_id = ec2.register_image(
        Name="s10",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": mine, "VolumeSize": 3}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5, "VolumeType": "gp3"}},
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        ],
    )["ImageId"]
    told = api.image(ec2, image_id)
    assert api.device(told, "/dev/xvda") == {
        "SnapshotId": mine,
        "VolumeSize": 3,
        "VolumeType": "gp2",
        "DeleteOnTermination": True,
        "Encrypted": False,
    }
    assert api.device(told, "/dev/sdf")["VolumeType"] == "gp3"
    assert {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"} in told["BlockDeviceMappings"]
    launched = api.launch(ec2, image_id)
    sizes = {
        name: api.volume(ec2, api.device(launched, name)["VolumeId"])["Size"]
        for name in api.device_names(launched)
    }
    assert sizes == {"/dev/xvda": 3, "/dev/sdf": 5}
    assert snapshot_id != mine


def test_s11_an_image_tells_what_machine_it_is_for(ec2: Any, small_ami: str) -> None:
    told = api.image(ec2, small_ami)
    assert told["Architecture"] == "x86_64"
    assert told["VirtualizationType"] == "hvm"
    assert told["RootDeviceType"] == "ebs"
    assert told["RootDeviceName"] in api.device_names(told)
    assert told["PlatformDetails"] == "Linux/UNIX"
    assert told["UsageOperation"] == "RunInstances"
    assert told["BootMode"] in ("legacy-bios", "uefi", "uefi-preferred")
    assert told["EnaSupport"] in (True, False)
    launched = api.launch(ec2, small_ami)
    assert launched["Architecture"] == "x86_64"
    assert launched["RootDeviceName"] == told["RootDeviceName"]
    made = api.create_image(ec2, launched["InstanceId"], "s11")
    for name in ("Architecture", "VirtualizationType", "RootDeviceName", "BootMode", "EnaSupport"):
        assert made[name] == told[name], name


def test_s11_an_image_that_wants_imdsv2_gets_it(ec2: Any) -> None:
    image_id = ec2.register_image(
        Name="s11-imds",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/xvda",
        ImdsSupport="v2.0",
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_of_blank(ec2)}}
        ],
    )["ImageId"]
    assert api.image(ec2, image_id)["ImdsSupport"] == "v2.0"
    options = api.launch(ec2, image_id)["MetadataOptions"]
    assert options["HttpTokens"] == "required"
    assert options["HttpPutResponseHopLimit"] == 2


def test_s13_an_image_is_made_of_a_running_instance(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s13 running", Description="web server")
    assert made["State"] == "available"
    assert made["ImageId"].startswith("ami-")
    assert made["Description"] == "web server"
    assert made["SourceInstanceId"] == source["InstanceId"]
    assert made["SourceImageId"] == small_ami
    assert api.instance(ec2, source["InstanceId"])["State"]["Name"] == "running"


def test_s13_an_image_is_made_of_a_stopped_instance(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami)
    api.stop(ec2, source["InstanceId"])
    made = api.create_image(ec2, source["InstanceId"], "s13 stopped")
    assert made["State"] == "available"
    assert api.instance(ec2, source["InstanceId"])["State"]["Name"] == "stopped"


def snapshot_of_blank(ec2: Any) -> str:
    """A complete snapshot of a blank volume of 1 GiB."""
    made = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[made])
    snapshot_id = ec2.create_snapshot(VolumeId=made)["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    return snapshot_id
