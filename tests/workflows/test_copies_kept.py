"""What a snapshot or an image still needs is copied before it goes, and of nothing else."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Never

import pytest

from openami.blockstore.store import StoreFull
from openami.blockstore.volumes import VolumeAbsent
from openami.catalog import ingests
from openami.compute.driver import DiskCopy, Needs
from openami.compute.record.driver import RecordDriver
from openami.domain.ids import InstanceId, Region, SnapshotId, VolumeId
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.workflows import (
    create_image,
    create_snapshot,
    delete_volume,
    registry,
    scratch,
    terminate_instance,
)
from support.asking import a_bootable_image, a_running_instance, ask
from support.builders import HERE, ZONE
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services

DATA = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}


def begun(svc: Services, operation: str, **request: object) -> None:
    """Committed, and then the server stopped before the workflow began."""
    svc.jobs.close()
    with pytest.raises(NotRunning):
        ask(svc, operation, **request)
    svc.jobs.launch()


def volume_at(svc: Services, device: str) -> str:
    for volume in ask(svc, "DescribeVolumes")["Volumes"]:
        if volume["Attachments"] and volume["Attachments"][0]["Device"] == device:
            return volume["VolumeId"]
    raise AssertionError(device)


def mine(svc: Services) -> str:
    wanted = [{"Name": "description", "Values": ["mine"]}]
    (found,) = ask(svc, "DescribeSnapshots", Filters=wanted)["Snapshots"]
    return found["SnapshotId"]


def image_named(svc: Services, name: str) -> dict[str, object]:
    (found,) = ask(svc, "DescribeImages", Filters=[{"Name": "name", "Values": [name]}])["Images"]
    return found


def test_a_snapshot_asked_for_before_the_termination_has_what_was_on_the_disk(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    made = a_running_instance(svc)
    volume_id = volume_at(svc, "/dev/xvda")
    write_volume(svc, volume_id, 3, "a")
    begun(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")
    ask(svc, "TerminateInstances", InstanceIds=[made])
    assert list(svc.volumes.list()) == []
    assert snapshot_blocks(svc, mine(svc)) == {3: "a"}


def test_a_snapshot_asked_for_during_the_termination_has_what_was_on_the_disk(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    made = a_running_instance(svc)
    volume_id = volume_at(svc, "/dev/xvda")
    write_volume(svc, volume_id, 3, "a")
    begun(svc, "TerminateInstances", InstanceIds=[made])
    first, *others = terminate_instance.job(svc).steps
    first[1]({"instance_id": made})
    begun(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")
    for _, step in others:
        step({"instance_id": made})
    assert list(svc.volumes.list()) == []
    assert snapshot_blocks(svc, mine(svc)) == {3: "a"}


def test_a_volume_stays_while_its_snapshot_cannot_be_kept(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]
    write_volume(svc, volume_id, 3, "a")
    begun(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")
    begun(svc, "DeleteVolume", VolumeId=volume_id)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        delete_volume.job(svc).give_up({"volume_id": volume_id}, "the disk is full")
    assert list(svc.volumes.list()) == [volume_id]
    svc.jobs.launch()
    registry.sweep(svc)
    assert snapshot_blocks(svc, mine(svc)) == {3: "a"}
    assert list(svc.volumes.list()) == []


@pytest.mark.parametrize("attached_again", [False, True])
def test_an_image_is_not_made_of_a_volume_that_left_the_instance(
    tmp_path: Path, attached_again: bool
) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    made = a_running_instance(svc, BlockDeviceMappings=[DATA])
    other = a_running_instance(svc)
    volume_id = volume_at(svc, "/dev/sdf")
    ask(svc, "StopInstances", InstanceIds=[made])
    begun(svc, "CreateImage", InstanceId=made, Name="web-2")
    ask(svc, "DetachVolume", VolumeId=volume_id)
    if attached_again:
        ask(svc, "AttachVolume", VolumeId=volume_id, InstanceId=other, Device="/dev/sdf")
    registry.sweep(svc)
    image = image_named(svc, "web-2")
    assert image["State"] == "failed"
    assert "VolumeDetached" in str(image["StateReason"])


def test_a_copy_that_did_not_succeed_leaves_no_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = services(tmp_path)
    volume_id = VolumeId(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])

    def torn(_source: Path, target: Path, _needs: Needs) -> None:
        target.write_bytes(b"half")
        raise StoreFull(str(target))

    with svc.catalog.begin() as tx:
        ingests.begin(tx, "snap-1", HERE, svc.clock.now())
    monkeypatch.setattr(scratch, "copy_file", torn)
    with pytest.raises(StoreFull):
        scratch.take(svc, "snap-1", {SnapshotId("snap-1"): volume_id})
    assert not scratch.home(svc, "snap-1").exists()


def test_an_image_fails_and_the_guest_is_stopped_when_its_disk_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    made = a_running_instance(svc)

    def lost(volume_id: VolumeId, *_: Region) -> Never:
        raise VolumeAbsent(volume_id)

    monkeypatch.setattr(svc.volumes, "overlay", lost)
    monkeypatch.setattr(svc.volumes, "paths", lost)
    ask(svc, "CreateImage", InstanceId=made, Name="web-2")
    assert image_named(svc, "web-2")["State"] == "failed"
    (reservation,) = ask(svc, "DescribeInstances", InstanceIds=[made])["Reservations"]
    (told,) = reservation["Instances"]
    assert told["State"]["Name"] == "stopped"
    assert told["StateReason"]["Message"] == "Server.InternalError: Internal error on launch"


class InterruptedCopies(RecordDriver):
    during: Callable[[], None]

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        self.during()
        return super().copy_disks(instance_id, copies, needs)


def test_a_snapshot_whose_machine_ends_in_the_middle_is_copied_from_the_disk_at_rest(
    tmp_path: Path,
) -> None:
    host = InterruptedCopies(tmp_path / "instances")
    svc = services(tmp_path, compute=host)
    a_bootable_image(svc)
    made = a_running_instance(svc)
    volume_id = volume_at(svc, "/dev/xvda")
    write_volume(svc, volume_id, 3, "a")
    host.during = lambda: host.kill(InstanceId(made))
    ask(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")
    assert snapshot_blocks(svc, mine(svc)) == {3: "a"}


def test_what_is_kept_of_a_console_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    made = a_running_instance(svc)
    ask(svc, "TerminateInstances", InstanceIds=[made])
    kept = tmp_path / "consoles" / made
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_snapshots_of_an_image_deregistered_while_it_is_made_are_copied_once(
    tmp_path: Path,
) -> None:
    host = InterruptedCopies(tmp_path / "instances")
    svc = services(tmp_path, compute=host)
    a_bootable_image(svc)
    made = a_running_instance(svc)
    write_volume(svc, volume_at(svc, "/dev/xvda"), 3, "a")
    jobs: list[str] = []

    def deregister() -> None:
        image = image_named(svc, "web-2")
        assert f"{create_image.NAME}:{image['ImageId']}" in svc.jobs.active()
        ask(svc, "DeregisterImage", ImageId=image["ImageId"])
        create_snapshot.resume(svc)
        snapshots = ask(svc, "DescribeSnapshots")["Snapshots"]
        jobs.extend(f"{create_snapshot.NAME}:{each['SnapshotId']}" for each in snapshots)

    host.during = deregister
    ask(svc, "CreateImage", InstanceId=made, Name="web-2", NoReboot=True)
    assert jobs
    assert not any(svc.jobs.known(each) for each in jobs)
    found = [
        each for each in ask(svc, "DescribeSnapshots")["Snapshots"] if each["State"] == "completed"
    ]
    assert {3: "a"} in [snapshot_blocks(svc, each["SnapshotId"]) for each in found]
