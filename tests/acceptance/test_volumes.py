"""Roots that are replaced, volumes that grow, sets of snapshots (S-04, S-23)."""

from collections.abc import Callable
from typing import Any

import pytest

from support import api
from support.server import Server
from support.waiting import until

ACCOUNT = "volumes"


@pytest.fixture
def ec2(record_server: Server) -> Any:
    return record_server.client(account=ACCOUNT)


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of(ACCOUNT)


def replaced(server: Server, ec2: Any, instance_id: str, *arguments: str) -> dict[str, Any]:
    """The task, ended, that the aws CLI began."""
    made = server.aws(
        *("ec2", "create-replace-root-volume-task", "--instance-id", instance_id, *arguments),
        account=ACCOUNT,
    )["ReplaceRootVolumeTask"]
    assert made["TaskState"] == "pending"

    def ended() -> dict[str, Any] | None:
        (task,) = ec2.describe_replace_root_volume_tasks(
            ReplaceRootVolumeTaskIds=[made["ReplaceRootVolumeTaskId"]]
        )["ReplaceRootVolumeTasks"]
        return dict(task) if "CompleteTime" in task else None

    found = until(ended, what="the root is replaced")
    assert isinstance(found, dict)
    return found


def test_s04_a_broken_root_is_replaced_from_its_image(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    before = api.launch(ec2, small_ami)
    task = replaced(record_server, ec2, before["InstanceId"], "--image-id", small_ami)
    assert (task["TaskState"], task["ImageId"]) == ("succeeded", small_ami)
    after = api.instance(ec2, before["InstanceId"])
    for kept in ("PrivateIpAddress", "PublicIpAddress", "LaunchTime", "NetworkInterfaces"):
        assert after[kept] == before[kept]
    assert after["State"]["Name"] == "running"
    assert api.root_volume_id(after) != api.root_volume_id(before)
    assert api.volume(ec2, api.root_volume_id(before))["State"] == "available"


def test_s23_a_running_server_goes_back_to_the_version_before(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    newer = api.create_image(ec2, api.launch(ec2, small_ami)["InstanceId"], "s23")["ImageId"]
    server = api.launch(ec2, newer)
    task = replaced(
        *(record_server, ec2, server["InstanceId"]),
        *("--image-id", small_ami, "--delete-replaced-root-volume"),
    )
    assert task["TaskState"] == "succeeded"
    after = api.instance(ec2, server["InstanceId"])
    assert after["ImageId"] == small_ami
    made_of = api.volume(ec2, api.root_volume_id(after))["SnapshotId"]
    assert made_of == api.root_snapshot_id(api.image(ec2, small_ami))
    code = api.refusal(ec2.describe_volumes, VolumeIds=[api.root_volume_id(server)])
    assert code == "InvalidVolume.NotFound"


def test_volumes_of_a_server_are_taken_at_one_moment_and_grow(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    data = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    server = api.launch(ec2, small_ami, BlockDeviceMappings=data)
    told = record_server.aws(
        *("ec2", "create-snapshots", "--copy-tags-from-source", "volume"),
        *("--instance-specification", f"InstanceId={server['InstanceId']}"),
        account=ACCOUNT,
    )["Snapshots"]
    ids = [each["SnapshotId"] for each in told]
    assert len(ids) == 2
    api.await_state(ec2, "snapshot_completed", SnapshotIds=ids)
    volume_id = api.device(server, "/dev/sdf")["VolumeId"]
    record_server.aws(
        *("ec2", "modify-volume", "--volume-id", volume_id, "--size", "3"), account=ACCOUNT
    )

    def done() -> bool:
        (found,) = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
        return bool(found["ModificationState"] == "completed")

    until(done, what="the volume is modified")
    assert api.volume(ec2, volume_id)["Size"] == 3
