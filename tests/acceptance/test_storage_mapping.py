"""Which disks a server gets and what becomes of them (S-25 to S-30, S-41, S-42, S-45, S-46a).

Here is what the API tells; tests/acceptance/test_tiny_guests.py asks the guests.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import api
from support.server import ClientError, Server

ACCOUNT = "storage"
MIB = 2**20


@pytest.fixture
def ec2(record_server: Server) -> Any:
    return record_server.client(account=ACCOUNT)


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of(ACCOUNT)


def test_s25_a_launch_makes_the_root_bigger(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    made = record_server.aws(
        *("ec2", "run-instances", "--image-id", small_ami, "--instance-type", "t3.micro"),
        *("--block-device-mappings", "DeviceName=/dev/xvda,Ebs={VolumeSize=20}"),
        account=ACCOUNT,
    )
    launched = api.instance(ec2, made["Instances"][0]["InstanceId"])
    volume = api.volume(ec2, api.root_volume_id(launched))
    assert volume["Size"] == 20
    assert volume["SnapshotId"] == api.root_snapshot_id(api.image(ec2, small_ami))


def test_s25_a_root_smaller_than_its_snapshot_is_refused(ec2: Any, small_ami: str) -> None:
    launched = api.launch(ec2, small_ami, BlockDeviceMappings=[ebs("/dev/xvda", VolumeSize=4)])
    made = api.create_image(ec2, launched["InstanceId"], "s25")
    assert api.device(made, "/dev/xvda")["VolumeSize"] == 4
    code = api.refusal(
        api.launch,
        *(ec2, made["ImageId"]),
        BlockDeviceMappings=[ebs("/dev/xvda", VolumeSize=3)],
    )
    assert code == "InvalidBlockDeviceMapping"


def test_s26_the_mapping_of_an_ephemeral_disk_is_kept_and_not_its_bytes(
    ec2: Any, small_ami: str
) -> None:
    ephemeral = {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}
    launched = api.launch(ec2, small_ami, InstanceType="m5d.large", BlockDeviceMappings=[ephemeral])
    assert api.device_names(launched) == ["/dev/xvda"], "EC2 lists EBS volumes only"
    made = api.create_image(ec2, launched["InstanceId"], "s26")
    assert ephemeral in made["BlockDeviceMappings"]
    snapshots = [each for each in made["BlockDeviceMappings"] if "Ebs" in each]
    assert len(snapshots) == 1


def test_s27_a_launch_adds_blank_and_restored_volumes(ec2: Any, small_ami: str) -> None:
    snapshot_id = api.root_snapshot_id(api.image(ec2, small_ami))
    launched = api.launch(
        ec2,
        small_ami,
        BlockDeviceMappings=[
            ebs("/dev/sdf", VolumeSize=8),
            ebs("/dev/sdg", SnapshotId=snapshot_id, VolumeSize=2),
        ],
    )
    blank = api.volume(ec2, api.device(launched, "/dev/sdf")["VolumeId"])
    restored = api.volume(ec2, api.device(launched, "/dev/sdg")["VolumeId"])
    assert (blank["Size"], blank["SnapshotId"]) == (8, "")
    assert (restored["Size"], restored["SnapshotId"]) == (2, snapshot_id)
    for volume in (blank, restored):
        assert volume["State"] == "in-use"
        assert volume["AvailabilityZone"] == launched["Placement"]["AvailabilityZone"]


def test_s28_a_launch_leaves_out_a_disk_of_the_image(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami, BlockDeviceMappings=[ebs("/dev/sdf", VolumeSize=1)])
    made = api.create_image(ec2, source["InstanceId"], "s28")
    whole = api.launch(ec2, made["ImageId"])
    suppressed = {"DeviceName": "/dev/sdf", "NoDevice": ""}
    less = api.launch(ec2, made["ImageId"], BlockDeviceMappings=[suppressed])
    assert sorted(api.device_names(whole)) == ["/dev/sdf", "/dev/xvda"]
    assert api.device_names(less) == ["/dev/xvda"]


def test_s29_a_terminated_server_s_volumes_go_or_stay_as_told(ec2: Any, small_ami: str) -> None:
    launched = api.launch(
        ec2,
        small_ami,
        BlockDeviceMappings=[
            ebs("/dev/sdf", VolumeSize=1),
            ebs("/dev/sdg", VolumeSize=1, DeleteOnTermination=True),
        ],
    )
    flags = {
        each["DeviceName"]: each["Ebs"]["DeleteOnTermination"]
        for each in launched["BlockDeviceMappings"]
    }
    assert flags == {"/dev/xvda": True, "/dev/sdf": False, "/dev/sdg": True}
    volumes = {name: api.device(launched, name)["VolumeId"] for name in flags}
    api.terminate(ec2, launched["InstanceId"])
    kept = api.volume(ec2, volumes["/dev/sdf"])
    assert (kept["State"], kept["Attachments"]) == ("available", [])
    for name in ("/dev/xvda", "/dev/sdg"):
        code = api.refusal(ec2.describe_volumes, VolumeIds=[volumes[name]])
        assert code == "InvalidVolume.NotFound", name


def test_s29_the_root_stays_if_a_launch_or_a_later_request_says_so(
    ec2: Any, small_ami: str
) -> None:
    keeping = ebs("/dev/xvda", DeleteOnTermination=False)
    first = api.launch(ec2, small_ami, BlockDeviceMappings=[keeping])
    second = api.launch(ec2, small_ami)
    ec2.modify_instance_attribute(InstanceId=second["InstanceId"], BlockDeviceMappings=[keeping])
    api.terminate(ec2, first["InstanceId"], second["InstanceId"])
    for launched in (first, second):
        assert api.volume(ec2, api.root_volume_id(launched))["State"] == "available"


def test_s30_a_volume_comes_to_a_server_and_leaves_it(ec2: Any, small_ami: str) -> None:
    launched = api.launch(ec2, small_ami)
    instance_id = launched["InstanceId"]
    volume_id = new_volume(ec2, launched)
    ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdh")
    api.await_state(ec2, "volume_in_use", VolumeIds=[volume_id])
    (attachment,) = api.volume(ec2, volume_id)["Attachments"]
    assert attachment["State"] == "attached"
    assert (attachment["InstanceId"], attachment["Device"]) == (instance_id, "/dev/sdh")
    assert api.device(api.instance(ec2, instance_id), "/dev/sdh")["VolumeId"] == volume_id
    ec2.detach_volume(VolumeId=volume_id)
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    assert api.device_names(api.instance(ec2, instance_id)) == ["/dev/xvda"]
    ec2.delete_volume(VolumeId=volume_id)
    assert api.refusal(ec2.describe_volumes, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"


def test_s41_each_launch_makes_a_volume_of_the_snapshot(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s41")
    snapshot_id = api.root_snapshot_id(made)
    launched = [api.launch(ec2, made["ImageId"]) for _ in range(2)]
    told = record_server.aws(
        *("ec2", "describe-volumes", "--filters", f"Name=snapshot-id,Values={snapshot_id}"),
        account=ACCOUNT,
    )
    volumes = {each["VolumeId"] for each in told["Volumes"]}
    assert volumes == {api.root_volume_id(each) for each in launched}


def test_s41_a_snapshot_survives_the_loss_of_its_volume(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    """Chunks and volumes are separate trees: the one holds without the other."""
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s41-loss")
    volume_id = api.root_volume_id(source)
    api.terminate(ec2, source["InstanceId"])
    left = [path for path in (record_server.state_dir / "volumes").rglob(f"*{volume_id}*")]
    assert left == []
    again = api.launch(ec2, made["ImageId"])
    assert again["State"]["Name"] == "running"
    verified = record_server.openami("store", "verify")
    assert verified.returncode == 0, verified.stdout


def test_s42_the_root_device_is_the_volume_of_the_launch(ec2: Any, small_ami: str) -> None:
    launched = api.launch(ec2, small_ami)
    assert launched["RootDeviceType"] == "ebs"
    mapped = api.device(launched, launched["RootDeviceName"])
    assert mapped["Status"] == "attached"
    (attachment,) = api.volume(ec2, mapped["VolumeId"])["Attachments"]
    assert attachment["Device"] == launched["RootDeviceName"]
    assert attachment["InstanceId"] == launched["InstanceId"]


def test_s45_a_second_snapshot_of_an_unchanged_volume_costs_nothing(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    source = api.launch(ec2, small_ami, BlockDeviceMappings=[ebs("/dev/xvda", VolumeSize=8)])
    volume_id = api.root_volume_id(source)
    first = snapshot(ec2, volume_id)
    before = stored_bytes(record_server)
    second = snapshot(ec2, volume_id)
    assert first != second
    assert stored_bytes(record_server) - before < MIB // 4


def test_s46a_stop_and_start_keep_the_disk_and_terminate_drops_it(ec2: Any, small_ami: str) -> None:
    launched = api.launch(ec2, small_ami)
    instance_id, volume_id = launched["InstanceId"], api.root_volume_id(launched)
    api.stop(ec2, instance_id)
    stopped = api.instance(ec2, instance_id)
    assert api.root_volume_id(stopped) == volume_id
    assert stopped["PrivateIpAddress"] == launched["PrivateIpAddress"]
    assert "PublicIpAddress" not in stopped
    api.start(ec2, instance_id)
    assert api.root_volume_id(api.instance(ec2, instance_id)) == volume_id
    api.terminate(ec2, instance_id)
    assert api.refusal(ec2.describe_volumes, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"


def test_s46a_a_stopped_server_may_lend_its_disk(ec2: Any, small_ami: str) -> None:
    """Rescue: the root of a stopped server is attached to another one, and comes back."""
    broken, rescuer = api.launch(ec2, small_ami), api.launch(ec2, small_ami)
    volume_id = api.root_volume_id(broken)
    assert api.refusal(ec2.detach_volume, VolumeId=volume_id) == "OperationNotPermitted"
    api.stop(ec2, broken["InstanceId"])
    ec2.detach_volume(VolumeId=volume_id)
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    ec2.attach_volume(VolumeId=volume_id, InstanceId=rescuer["InstanceId"], Device="/dev/sdf")
    api.await_state(ec2, "volume_in_use", VolumeIds=[volume_id])
    ec2.detach_volume(VolumeId=volume_id)
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    ec2.attach_volume(VolumeId=volume_id, InstanceId=broken["InstanceId"], Device="/dev/xvda")
    api.start(ec2, broken["InstanceId"])
    assert api.root_volume_id(api.instance(ec2, broken["InstanceId"])) == volume_id


def test_s48_a_volume_of_another_zone_cannot_be_attached(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    launched = api.launch(ec2, small_ami, Placement={"AvailabilityZone": "us-east-1b"})
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    with pytest.raises(ClientError) as refused:
        record_server.aws(
            *("ec2", "attach-volume", "--volume-id", volume_id, "--device", "/dev/sdf"),
            *("--instance-id", launched["InstanceId"]),
            account=ACCOUNT,
        )
    assert refused.value.code == "InvalidVolume.ZoneMismatch"


def ebs(device_name: str, **of_ebs: Any) -> dict[str, Any]:
    return {"DeviceName": device_name, "Ebs": of_ebs}


def new_volume(ec2: Any, beside: dict[str, Any]) -> str:
    """An available volume of 1 GiB in the zone of the instance."""
    zone = beside["Placement"]["AvailabilityZone"]
    volume_id = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    return str(volume_id)


def snapshot(ec2: Any, volume_id: str) -> str:
    made = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[made])
    return str(made)


def stored_bytes(server: Server) -> int:
    stored = [Path(path) for path in (server.state_dir / "chunks").rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in stored)
