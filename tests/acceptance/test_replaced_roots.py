"""A real guest gets its old content back and a larger disk (S-04, S-23)."""

from typing import Any

import pytest

from support import api
from support.server import Server
from support.tiny import REPORTING, Tiny, serial
from support.waiting import until

pytestmark = [pytest.mark.boot, pytest.mark.timeout(600)]


def test_s04_s23_a_running_guest_goes_back_to_what_its_image_held(
    qemu_server: Server, tiny_ami: str
) -> None:
    ec2: Any = qemu_server.client()
    guest = Tiny.launched(ec2, tiny_ami, UserData=REPORTING)
    before = api.instance(ec2, guest.instance_id)
    root = api.root_volume_id(before)
    ec2.modify_volume(VolumeId=root, Size=3)
    guest.await_line(r"disk vda serial=\S+ size=3221225472")
    made = qemu_server.aws(
        *("ec2", "create-replace-root-volume-task", "--instance-id", guest.instance_id),
        *("--image-id", tiny_ami),
    )["ReplaceRootVolumeTask"]

    def ended() -> str:
        (task,) = ec2.describe_replace_root_volume_tasks(
            ReplaceRootVolumeTaskIds=[made["ReplaceRootVolumeTaskId"]]
        )["ReplaceRootVolumeTasks"]
        return str(task["TaskState"]) if "CompleteTime" in task else ""

    assert until(ended, 180, "the root is replaced") == "succeeded"
    console = guest.await_boot(2)
    after = api.instance(ec2, guest.instance_id)
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]
    assert "report: mark" not in console, "nothing of what the first root was told to do"
    assert "first: user data" in console, "a pristine disk runs its user data again"
    assert guest.disks() == {serial(api.root_volume_id(after)): 3 * 2**30}
    assert api.volume(ec2, root)["State"] == "available"
    api.terminate(ec2, guest.instance_id)
