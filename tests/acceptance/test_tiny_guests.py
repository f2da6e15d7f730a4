"""What the guests themselves say of their disks, from their first boot to their children's.

One server lives through it all: launched with four disks, imaged, stopped and started, and
followed by a server of its image (S-05, S-06, S-10, S-13, S-25 to S-30, S-46a, S-53).
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import pytest

from support import api
from support.server import Server
from support.tiny import REPORTING, Tiny, serial

pytestmark = [pytest.mark.boot, pytest.mark.timeout(900)]

GIB = 2**30
FOUR_DISKS = [
    {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 2}},
    {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
    {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 3}},
    {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
]


@dataclass(frozen=True, kw_only=True)
class Told:
    """A guest, how the API tells it, and what its console said of one boot."""

    guest: Tiny
    instance: dict[str, Any]
    console: str

    def volume_id(self, device_name: str) -> str:
        return str(api.device(self.instance, device_name)["VolumeId"])


@pytest.fixture(scope="module")
def ec2(qemu_server: Server) -> Any:
    return qemu_server.client()


@pytest.fixture(scope="module")
def first(ec2: Any, tiny_ami: str) -> Generator[Told]:
    guest = Tiny.launched(
        ec2,
        tiny_ami,
        InstanceType="c5d.large",
        UserData=REPORTING,
        BlockDeviceMappings=FOUR_DISKS,
    )
    instance = api.instance(ec2, guest.instance_id)
    yield Told(guest=guest, instance=instance, console=guest.console())
    api.terminate(ec2, guest.instance_id)


@pytest.fixture(scope="module")
def image(ec2: Any, first: Told) -> dict[str, Any]:
    """Of the first guest, which is rebooted for it."""
    return api.create_image(ec2, first.guest.instance_id, "of the first")


@pytest.fixture(scope="module")
def rebooted(first: Told, image: dict[str, Any]) -> Told:
    return Told(guest=first.guest, instance=first.instance, console=first.guest.await_boot(2))


@pytest.fixture(scope="module")
def restarted(ec2: Any, rebooted: Told) -> Told:
    """The first guest after a stop and a start."""
    guest = rebooted.guest
    api.stop(ec2, guest.instance_id)
    api.start(ec2, guest.instance_id)
    console = guest.await_boot(3)
    return Told(guest=guest, instance=api.instance(ec2, guest.instance_id), console=console)


@pytest.fixture(scope="module")
def second(ec2: Any, restarted: Told, image: dict[str, Any]) -> Generator[Told]:
    """A server of the image, when the first one and its image are gone."""
    data = ec2.create_snapshot(VolumeId=restarted.volume_id("/dev/sdf"))["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[data])
    api.terminate(ec2, restarted.guest.instance_id)
    guest = Tiny.launched(
        ec2,
        image["ImageId"],
        InstanceType="c5d.large",
        UserData='#!/bin/sh\necho "second: user data of $(imds meta-data/instance-id)"\n',
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdg", "NoDevice": ""},
            {"DeviceName": "/dev/sdh", "Ebs": {"SnapshotId": data, "VolumeSize": 4}},
        ],
    )
    ec2.deregister_image(ImageId=image["ImageId"])
    instance = api.instance(ec2, guest.instance_id)
    yield Told(guest=guest, instance=instance, console=guest.console())
    api.terminate(ec2, guest.instance_id)


def test_s10_every_mapped_disk_is_in_the_guest_with_its_size_and_its_name(first: Told) -> None:
    disks = first.guest.disks()
    for name, size_gib in (("/dev/xvda", 2), ("/dev/sdf", 1), ("/dev/sdg", 3)):
        assert disks[serial(first.volume_id(name))] == size_gib * GIB, name
    assert len(disks) == 4


def test_s25_the_root_is_as_large_as_the_launch_says(ec2: Any, first: Told) -> None:
    volume = api.volume(ec2, api.root_volume_id(first.instance))
    assert volume["Size"] == 2
    assert first.guest.disks()[serial(volume["VolumeId"])] == 2 * GIB


def test_s26_an_ephemeral_disk_is_blank_at_first(first: Told) -> None:
    assert "first: ephemeral0 holds []" in first.console
    assert "first: told ephemeral0 is /dev/sdb" in first.console
    assert first.guest.disks()["ephemeral0"] >= 46 * GIB, "50 GB, as c5d.large has"


def test_s53_user_data_runs_once_as_the_server_is_new(first: Told) -> None:
    assert first.console.count("first: user data of " + first.guest.instance_id) == 1
    assert "tiny: user-data rc=0" in first.console


def test_s13_a_running_server_is_rebooted_to_make_an_image_of_it(ec2: Any, rebooted: Told) -> None:
    assert "report: mark [the first]" in rebooted.console
    assert "first: user data" not in rebooted.console, "a reboot is no new server"
    state = api.instance(ec2, rebooted.guest.instance_id)["State"]["Name"]
    assert state == "running"


def test_s26_an_ephemeral_disk_lives_through_a_reboot(rebooted: Told) -> None:
    assert "report: ephemeral0 [scratch]" in rebooted.console


def test_s26_an_image_keeps_the_mapping_of_an_ephemeral_disk_and_not_the_disk(
    image: dict[str, Any],
) -> None:
    assert {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"} in image["BlockDeviceMappings"]
    assert len([each for each in image["BlockDeviceMappings"] if "Ebs" in each]) == 3


def test_s46a_stop_and_start_keep_the_disks(first: Told, restarted: Told) -> None:
    assert "report: mark [the first]" in restarted.console
    data = serial(first.volume_id("/dev/sdf"))
    assert f"report: {data} [data of the first]" in restarted.console
    assert restarted.instance["PrivateIpAddress"] == first.instance["PrivateIpAddress"]


def test_s26_an_ephemeral_disk_is_gone_after_a_stop(restarted: Told) -> None:
    assert "report: ephemeral0 []" in restarted.console


def test_s05_a_server_of_the_image_has_what_the_first_one_had(
    ec2: Any, first: Told, second: Told
) -> None:
    """The first one and its root disk are gone by now."""
    assert "report: mark [the first]" in second.console
    code = api.refusal(ec2.describe_volumes, VolumeIds=[api.root_volume_id(first.instance)])
    assert code == "InvalidVolume.NotFound"
    data = serial(second.volume_id("/dev/sdf"))
    assert f"report: {data} [data of the first]" in second.console


def test_s53_user_data_runs_for_a_new_server_of_a_derived_image(second: Told) -> None:
    assert second.console.count("second: user data of " + second.guest.instance_id) == 1
    assert "first: user data" not in second.console


def test_s26_a_server_of_the_image_has_a_blank_ephemeral_disk(second: Told) -> None:
    assert "report: ephemeral0 []" in second.console


def test_s27_a_volume_of_another_snapshot_holds_its_data(second: Told) -> None:
    restored = serial(second.volume_id("/dev/sdh"))
    assert f"report: {restored} [data of the first]" in second.console
    assert second.guest.disks()[restored] == 4 * GIB


def test_s28_a_disk_that_the_launch_suppresses_is_absent(second: Told) -> None:
    assert sorted(api.device_names(second.instance)) == ["/dev/sdf", "/dev/sdh", "/dev/xvda"]
    assert sorted(second.guest.disks()) == sorted(
        [*map(serial, map(second.volume_id, api.device_names(second.instance))), "ephemeral0"]
    )


def test_s29_the_data_volumes_of_a_terminated_server_remain(
    ec2: Any, first: Told, second: Told
) -> None:
    kept = api.volume(ec2, first.volume_id("/dev/sdf"))
    assert kept["State"] == "available"


def test_s30_a_kept_volume_comes_to_a_running_server_and_leaves_it(
    ec2: Any, first: Told, second: Told
) -> None:
    guest, volume_id = second.guest, first.volume_id("/dev/sdg")
    zone = second.instance["Placement"]["AvailabilityZone"]
    assert api.volume(ec2, volume_id)["AvailabilityZone"] == zone
    before = guest.console()
    ec2.attach_volume(VolumeId=volume_id, InstanceId=guest.instance_id, Device="/dev/sdj")
    api.await_state(ec2, "volume_in_use", VolumeIds=[volume_id])
    said = guest.await_line(
        rf"tiny: disk vd\w serial={serial(volume_id)} size={3 * GIB}", after=before
    )
    assert "gone" not in said
    before = guest.console()
    ec2.detach_volume(VolumeId=volume_id)
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    guest.await_line(r"tiny: disk vd\w gone", after=before)


def test_s06_a_server_outlives_its_image(ec2: Any, second: Told, image: dict[str, Any]) -> None:
    """Its image is deregistered; it stops and starts nevertheless."""
    code = api.refusal(api.launch, ec2, image["ImageId"])
    assert code == "InvalidAMIID.Unavailable"
    api.stop(ec2, second.guest.instance_id)
    api.start(ec2, second.guest.instance_id)
    assert "report: mark [the first]" in second.guest.await_boot(2)
