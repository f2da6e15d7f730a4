"""An image of a running instance under a power cut at every moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openami.catalog import images, ingests, instances
from openami.compute.driver import MachineState
from openami.domain.ids import ImageId, InstanceId
from openami.domain.image import ImageState
from openami.jobs.engine import NotRunning
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask
from support.crash import Made, assert_survives, fused_services, serve_again
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services
from support.power import in_buckets, on_its_disk

CONTENT = {"/dev/xvda": {3: "a"}, "/dev/sdf": {7: "b"}}


def a_server(svc: Services) -> str:
    """An instance with two disks, each with something of its own on it."""
    a_bootable_image(svc)
    data = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    instance_id = a_running_instance(svc, BlockDeviceMappings=data)
    for volume in ask(svc, "DescribeVolumes")["Volumes"]:
        for block, sign in CONTENT[volume["Attachments"][0]["Device"]].items():
            write_volume(svc, volume["VolumeId"], block, sign)
    return instance_id


def made(svc: Services) -> list[str]:
    answer = ask(svc, "DescribeImages", Filters=[{"Name": "name", "Values": ["web-2"]}])
    return [each["ImageId"] for each in answer["Images"]]


def assert_whole(svc: Services, image_id: str) -> None:
    (told,) = ask(svc, "DescribeImages", ImageIds=[image_id])["Images"]
    found = {
        each["DeviceName"]: snapshot_blocks(svc, each["Ebs"]["SnapshotId"])
        for each in told["BlockDeviceMappings"]
    }
    assert found == CONTENT


def what_is_available_is_whole(svc: Services) -> None:
    for image_id in made(svc):
        with svc.catalog.read() as tx:
            image = images.fetch_any(tx, ImageId(image_id))
        assert image is not None
        if image.state is ImageState.AVAILABLE:
            assert_whole(svc, image_id)
        else:
            assert image.state is ImageState.PENDING


def the_image_is_there_and_the_guest_is_back(svc: Services) -> None:
    the_image_is_there(svc)
    (reservation,) = ask(svc, "DescribeInstances")["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "running"


def the_image_is_there(svc: Services) -> None:
    """And the guest is back, unless it went with its host."""
    for image_id in made(svc):
        assert_whole(svc, image_id)
    (reservation,) = ask(svc, "DescribeInstances")["Reservations"]
    (told,) = reservation["Instances"]
    instance_id = InstanceId(told["InstanceId"])
    is_up = svc.compute.state(instance_id) is MachineState.RUNNING
    assert told["State"]["Name"] == ("running" if is_up else "stopped")
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
        assert instance is not None
        assert instance.rebooting_for is None
        assert ingests.all_active(tx) == []
    directory = svc.settings.state_dir / "scratch"
    assert not directory.exists() or list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "no_reboot"),
    [(fused_services, False), (fused_services, True), (on_its_disk, False), (in_buckets, True)],
)
def test_an_image_survives_a_power_cut_at_any_moment(
    tmp_path: Path, host: Made, no_reboot: bool
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        given = {"InstanceId": a_server(svc), "Name": "web-2", "NoReboot": no_reboot}
        return lambda: ask(svc, "CreateImage", **given)

    moments = assert_survives(
        tmp_path,
        begin,
        what_is_available_is_whole,
        the_image_is_there_and_the_guest_is_back if host is fused_services else the_image_is_there,
        made=host,
    )
    assert moments > 15


def test_a_reboot_ends_whose_image_was_deregistered_before_the_guest_was_shut_down(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    instance_id = a_server(svc)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        ask(svc, "CreateImage", InstanceId=instance_id, Name="web-2")
    (image_id,) = made(svc)
    ask(svc, "DeregisterImage", ImageId=image_id)
    serve_again(svc)
    the_image_is_there_and_the_guest_is_back(svc)
