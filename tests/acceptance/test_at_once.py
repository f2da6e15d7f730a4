"""Many clients at the same moment: one wins where one can, and nobody meets an internal error."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support import api
from support.server import Server

AT_ONCE = 8
PENDING_OF_A_VOLUME = 5


@pytest.fixture
def ec2(record_server: Server) -> Any:
    return record_server.client(account="at-once")


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of("at-once")


def answers(call: Callable[..., Any], **asked: Any) -> Counter[str]:
    """How often each refusal was met, and "" for what was done."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [pool.submit(api.refusal, call, **asked) for _ in range(AT_ONCE)]
        return Counter(each.result() for each in calls)


def test_s18_one_token_at_once_is_one_launch(ec2: Any, small_ami: str) -> None:
    asked = {"ImageId": small_ami, "InstanceType": "t3.micro", "MinCount": 2, "MaxCount": 2}
    assert answers(ec2.run_instances, **asked, ClientToken="at once") == {"": AT_ONCE}
    held = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["at once"]}])
    assert [len(each["Instances"]) for each in held["Reservations"]] == [2]


def test_s16_launches_at_once_share_no_address(ec2: Any, small_ami: str) -> None:
    asked = {"ImageId": small_ami, "InstanceType": "t3.micro", "MinCount": 3, "MaxCount": 3}
    assert answers(ec2.run_instances, **asked) == {"": AT_ONCE}
    instances = [
        each for group in ec2.describe_instances()["Reservations"] for each in group["Instances"]
    ]
    assert len(instances) >= 3 * AT_ONCE
    for own in ("PrivateIpAddress", "PublicIpAddress"):
        assert len({each[own] for each in instances}) == len(instances)


def test_s22_one_name_at_once_is_one_image(ec2: Any, small_ami: str) -> None:
    source = api.launch(ec2, small_ami)["InstanceId"]
    met = answers(ec2.create_image, InstanceId=source, Name="at once", NoReboot=True)
    assert met == {"": 1, "InvalidAMIName.Duplicate": AT_ONCE - 1}


def test_s30_one_volume_at_once_is_attached_once(ec2: Any, small_ami: str) -> None:
    launched = api.launch(ec2, small_ami)
    zone = launched["Placement"]["AvailabilityZone"]
    volume_id = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    which = {"VolumeId": volume_id, "InstanceId": launched["InstanceId"], "Device": "/dev/sdf"}
    assert answers(ec2.attach_volume, **which) == {"": 1, "VolumeInUse": AT_ONCE - 1}


def test_s29_a_server_is_terminated_by_all_who_ask(ec2: Any, small_ami: str) -> None:
    launched = api.launch(ec2, small_ami)
    ids = [launched["InstanceId"]]
    assert answers(ec2.terminate_instances, InstanceIds=ids) == {"": AT_ONCE}
    api.await_state(ec2, "instance_terminated", InstanceIds=ids)
    code = api.refusal(ec2.describe_volumes, VolumeIds=[api.root_volume_id(launched)])
    assert code == "InvalidVolume.NotFound"


def test_s45_snapshots_at_once_of_one_volume_all_complete(ec2: Any, small_ami: str) -> None:
    volume_id = api.root_volume_id(api.launch(ec2, small_ami))
    met = answers(ec2.create_snapshot, VolumeId=volume_id)
    assert met[""] >= PENDING_OF_A_VOLUME
    assert met[""] + met["ConcurrentSnapshotLimitExceeded"] == AT_ONCE
    of_it = [{"Name": "volume-id", "Values": [volume_id]}]
    made = ec2.describe_snapshots(OwnerIds=["self"], Filters=of_it)["Snapshots"]
    assert len(made) == met[""]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[each["SnapshotId"] for each in made])
