"""CreateVolume, DescribeVolumes, DeleteVolume, AttachVolume, DetachVolume."""

from pathlib import Path
from typing import Any

import pytest

from openami.catalog import volumes
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.volume import VolumeState
from openami.services import Services
from openami.workflows import create_volume, delete_volume
from support.asking import a_bootable_image, a_running_instance, ask, filtered, put, refused
from support.builders import (
    BOB,
    HERE,
    INSTANCE,
    SNAPSHOT,
    VOLUME,
    ZONE,
    a_pending_snapshot,
    a_snapshot,
    a_volume,
    an_attached_volume,
)
from support.fakes import services
from support.no_guest import StalledDriver, StubbornDriver


def create(svc: Services, **request: Any) -> str:
    given: dict[str, Any] = {"AvailabilityZone": ZONE, "Size": 1}
    return str(ask(svc, "CreateVolume", **(given | request))["VolumeId"])


def the_volume(svc: Services, volume_id: str) -> dict[str, Any]:
    (found,) = ask(svc, "DescribeVolumes", VolumeIds=[volume_id])["Volumes"]
    return found


def with_instance(tmp_path: Path) -> tuple[Services, str]:
    svc = services(tmp_path)
    a_bootable_image(svc)
    return svc, a_running_instance(svc)


def attach(svc: Services, instance_id: str, volume_id: str, device: str = "/dev/sdf") -> None:
    request = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": device}
    assert ask(svc, "AttachVolume", **request)["State"] == "attaching"


def test_a_blank_volume_is_available_when_its_creation_is_answered(tmp_path: Path) -> None:
    svc = services(tmp_path)
    answer = ask(
        svc,
        "CreateVolume",
        AvailabilityZone=ZONE,
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    assert answer["State"] == "creating"
    volume = the_volume(svc, answer["VolumeId"])
    assert (volume["State"], volume["Attachments"]) == ("available", [])
    assert (volume["VolumeType"], volume["Iops"], volume["Size"]) == ("gp2", 100, 1)
    assert (volume["AvailabilityZoneId"], volume["SnapshotId"]) == ("use1-az1", "")
    assert volume["Tags"] == [{"Key": "a", "Value": "b"}]
    assert svc.volumes.paths(answer["VolumeId"], HERE)[0].exists()


def test_a_volume_is_as_large_as_its_snapshot_if_no_size_is_given(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(volume_size_gib=3))
    volume = the_volume(svc, create(svc, SnapshotId=SNAPSHOT, Size=None))
    assert (volume["Size"], volume["SnapshotId"]) == (3, SNAPSHOT)


def test_gp3_has_its_baseline(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume = the_volume(svc, create(svc, VolumeType="gp3"))
    assert (volume["Iops"], volume["Throughput"]) == (3000, 125)


def test_a_zone_may_be_named_by_its_id(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = create(svc, AvailabilityZone=None, AvailabilityZoneId="use1-az2")
    assert the_volume(svc, volume_id)["AvailabilityZone"] == "us-east-1b"


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"Size": None}, "MissingParameter", "size/snapshot"),
        ({"AvailabilityZone": None}, "MissingParameter", "AvailabilityZone"),
        ({"AvailabilityZone": "us-west-2a"}, "InvalidParameterValue", "us-west-2a"),
        ({"VolumeType": "gp9"}, "InvalidParameterValue", "gp9"),
        ({"Size": 0}, "InvalidParameterValue", "between 1 and"),
        ({"Size": 20000}, "InvalidParameterValue", "16384"),
        ({"VolumeType": "io1", "Size": 4}, "InvalidParameterCombination", "iops"),
        ({"Throughput": 200}, "InvalidParameterCombination", "throughput"),
        ({"Encrypted": True}, "UnsupportedOperation", "encrypt"),
        ({"KmsKeyId": "alias/k"}, "InvalidParameterDependency", "KmsKeyId"),
        ({"MultiAttachEnabled": True}, "UnsupportedOperation", "one instance"),
        ({"SnapshotId": "snap-00000000"}, "InvalidSnapshot.NotFound", "snap-00000000"),
        ({"OutpostArn": "arn"}, "UnsupportedOperation", "OutpostArn"),
    ],
)
def test_a_creation_is_refused(
    tmp_path: Path, request_: dict[str, Any], code: str, words: str
) -> None:
    svc = services(tmp_path)
    with refused(code, words):
        create(svc, **request_)
    assert ask(svc, "DescribeVolumes")["Volumes"] == []


def test_a_volume_is_not_smaller_than_its_snapshot_nor_made_of_an_unfinished_one(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    pending = a_pending_snapshot(id="snap-0000000a")
    put(svc, a_snapshot(volume_size_gib=3), pending)
    with refused("InvalidParameterValue", "smaller"):
        create(svc, SnapshotId=SNAPSHOT, Size=2)
    with refused("IncorrectState", pending.id):
        create(svc, SnapshotId=pending.id)


def test_the_same_token_makes_one_volume(tmp_path: Path) -> None:
    svc = services(tmp_path)
    first = create(svc, ClientToken="t1")
    assert create(svc, ClientToken="t1") == first
    with refused("IdempotentParameterMismatch"):
        create(svc, ClientToken="t1", Size=2)


def test_a_volume_whose_bytes_are_lost_is_in_error_and_may_be_deleted(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(root="b3:" + "ab" * 32 + ":2048"))
    volume_id = create(svc, SnapshotId=SNAPSHOT)
    assert the_volume(svc, volume_id)["State"] == "error"
    ask(svc, "DeleteVolume", VolumeId=volume_id)
    with refused("InvalidVolume.NotFound"):
        the_volume(svc, volume_id)


def test_a_deleted_volume_is_gone_with_its_bytes_and_tags(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = create(svc)
    ask(svc, "CreateTags", Resources=[volume_id], Tags=[{"Key": "a", "Value": "b"}])
    assert ask(svc, "DeleteVolume", VolumeId=volume_id) == {}
    with refused("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist."):
        the_volume(svc, volume_id)
    assert list(svc.volumes.list()) == []
    assert ask(svc, "DescribeTags")["Tags"] == []


def test_a_volume_of_somebody_else_is_not_there(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_volume(owner=BOB))
    for operation in ("DeleteVolume", "CreateSnapshot"):
        with refused("InvalidVolume.NotFound"):
            ask(svc, operation, VolumeId=VOLUME)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attachment.attach-time", "2024-01-01T*"),
        ("attachment.delete-on-termination", "true"),
        ("attachment.device", "/dev/xvda"),
        ("attachment.instance-id", INSTANCE),
        ("attachment.status", "attached"),
        ("availability-zone", ZONE),
        ("availability-zone-id", "use1-az?"),
        ("create-time", "2024-*"),
        ("encrypted", "false"),
        ("multi-attach-enabled", "false"),
        ("size", "1"),
        ("snapshot-id", SNAPSHOT),
        ("status", "in-use"),
        ("volume-id", VOLUME),
        ("volume-type", "gp2"),
    ],
)
def test_a_filter_finds_the_volume(tmp_path: Path, name: str, value: str) -> None:
    svc = services(tmp_path)
    put(svc, an_attached_volume(snapshot_id=SNAPSHOT))

    def found(text: str) -> list[str]:
        answer = ask(svc, "DescribeVolumes", Filters=filtered(name, text))
        return [volume["VolumeId"] for volume in answer["Volumes"]]

    assert found(value) == [VOLUME]
    assert found("nothing") == []


def test_a_volume_is_plugged_into_a_running_instance_and_out_again(tmp_path: Path) -> None:
    svc, instance_id = with_instance(tmp_path)
    volume_id = create(svc)
    attach(svc, instance_id, volume_id)
    volume = the_volume(svc, volume_id)
    assert volume["State"] == "in-use"
    (attachment,) = volume["Attachments"]
    assert (attachment["State"], attachment["Device"]) == ("attached", "/dev/sdf")
    assert attachment["DeleteOnTermination"] is False
    status = ask(svc, "DescribeVolumeStatus", VolumeIds=[volume_id])["VolumeStatuses"][0]
    assert status["VolumeStatus"]["Status"] == "ok"
    with refused("VolumeInUse", instance_id):
        ask(svc, "DeleteVolume", VolumeId=volume_id)
    assert ask(svc, "DetachVolume", VolumeId=volume_id)["State"] == "detaching"
    assert the_volume(svc, volume_id)["State"] == "available"


def test_a_volume_that_keeps_its_machine_waiting_is_impaired_and_so_is_the_instance(
    tmp_path: Path,
) -> None:
    driver = StalledDriver(tmp_path / "instances")
    svc = services(tmp_path, compute=driver)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    volume_id = create(svc)
    attach(svc, instance_id, volume_id)
    driver.waiting[InstanceId(instance_id)] = {VolumeId(volume_id)}

    def volumes_that_are(**values: str) -> list[str]:
        conditions = [
            condition
            for name, value in values.items()
            for condition in filtered(f"volume-status.{name.replace('_', '-')}", value)
        ]
        found = ask(svc, "DescribeVolumeStatus", Filters=conditions)["VolumeStatuses"]
        return [each["VolumeId"] for each in found]

    def instance_status() -> str:
        (told,) = ask(svc, "DescribeInstanceStatus")["InstanceStatuses"]
        return str(told["InstanceStatus"]["Status"])

    (told,) = ask(svc, "DescribeVolumeStatus", VolumeIds=[volume_id])["VolumeStatuses"]
    assert told["VolumeStatus"] == {
        "Status": "impaired",
        "Details": [{"Name": "io-enabled", "Status": "failed"}],
    }
    assert volumes_that_are(status="impaired") == [volume_id]
    assert volumes_that_are(details_status="failed") == [volume_id]
    assert volume_id not in volumes_that_are(status="ok")
    assert instance_status() == "impaired"
    driver.waiting.clear()
    assert volumes_that_are(status="impaired") == []
    assert volume_id in volumes_that_are(status="ok")
    assert instance_status() != "impaired"


def test_a_stopped_instance_finds_the_volume_when_it_starts(tmp_path: Path) -> None:
    svc, instance_id = with_instance(tmp_path)
    ask(svc, "StopInstances", InstanceIds=[instance_id])
    volume_id = create(svc)
    attach(svc, instance_id, volume_id)
    assert the_volume(svc, volume_id)["Attachments"][0]["State"] == "attached"
    ask(svc, "StartInstances", InstanceIds=[instance_id])
    assert the_volume(svc, volume_id)["State"] == "in-use"
    svc.volumes.paths(VolumeId(volume_id), HERE)[0].unlink()
    ask(svc, "StopInstances", InstanceIds=[instance_id])
    ask(svc, "StartInstances", InstanceIds=[instance_id])
    (reservation,) = ask(svc, "DescribeInstances", InstanceIds=[instance_id])["Reservations"]
    assert reservation["Instances"][0]["State"]["Name"] == "stopped", "it needs the disk"


def test_an_attached_volume_outlives_the_instance(tmp_path: Path) -> None:
    svc, instance_id = with_instance(tmp_path)
    volume_id = create(svc)
    attach(svc, instance_id, volume_id)
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    assert [each["VolumeId"] for each in ask(svc, "DescribeVolumes")["Volumes"]] == [volume_id]
    assert the_volume(svc, volume_id)["State"] == "available"


@pytest.mark.parametrize(
    ("device", "code"),
    [
        ("/dev/xvda", "InvalidDevice.InUse"),
        ("xvda", "InvalidDevice.InUse"),
        ("/dev/hda", "InvalidParameterValue"),
        ("sdf;rm", "InvalidParameterValue"),
    ],
)
def test_a_device_name_is_refused(tmp_path: Path, device: str, code: str) -> None:
    svc, instance_id = with_instance(tmp_path)
    volume_id = create(svc)
    with refused(code, device):
        attach(svc, instance_id, volume_id, device)
    assert the_volume(svc, volume_id)["State"] == "available"


def test_a_volume_is_attached_once_in_its_own_zone_to_an_instance_that_is_up_or_stopped(
    tmp_path: Path,
) -> None:
    svc, instance_id = with_instance(tmp_path)
    volume_id, elsewhere = create(svc), create(svc, AvailabilityZone="us-east-1b")
    (root,) = (
        volume["VolumeId"]
        for volume in ask(svc, "DescribeVolumes")["Volumes"]
        if volume["State"] == "in-use"
    )
    zone = the_volume(svc, root)["AvailabilityZone"]
    near, far = (volume_id, elsewhere) if zone == ZONE else (elsewhere, volume_id)
    with refused("InvalidVolume.ZoneMismatch", far):
        attach(svc, instance_id, far)
    with refused("VolumeInUse", root):
        attach(svc, instance_id, root)
    with refused("InvalidInstanceID.NotFound"):
        attach(svc, "i-00000000", near)
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    with refused("IncorrectState", instance_id):
        attach(svc, instance_id, near)


def test_a_detachment_is_refused(tmp_path: Path) -> None:
    svc, instance_id = with_instance(tmp_path)
    volume_id = create(svc)
    with refused("IncorrectState", "'available'"):
        ask(svc, "DetachVolume", VolumeId=volume_id)
    attach(svc, instance_id, volume_id)
    with refused("InvalidAttachment.NotFound"):
        ask(svc, "DetachVolume", VolumeId=volume_id, InstanceId="i-00000000")
    with refused("InvalidAttachment.NotFound"):
        ask(svc, "DetachVolume", VolumeId=volume_id, Device="/dev/sdg")
    (root,) = (v for v in ask(svc, "DescribeVolumes")["Volumes"] if v["VolumeId"] != volume_id)
    with refused("OperationNotPermitted", "root volume"):
        ask(svc, "DetachVolume", VolumeId=root["VolumeId"])
    ask(svc, "StopInstances", InstanceIds=[instance_id])
    ask(svc, "DetachVolume", VolumeId=root["VolumeId"])
    assert the_volume(svc, root["VolumeId"])["State"] == "available"


def test_a_guest_that_holds_on_keeps_the_volume_until_it_lets_go_or_is_forced(
    tmp_path: Path,
) -> None:
    driver = StubbornDriver(tmp_path / "instances")
    svc = services(tmp_path, compute=driver)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    volume_id = create(svc)
    attach(svc, instance_id, volume_id)
    ask(svc, "DetachVolume", VolumeId=volume_id)
    assert the_volume(svc, volume_id)["Attachments"][0]["State"] == "detaching"
    ask(svc, "DetachVolume", VolumeId=volume_id, Force=True)
    assert the_volume(svc, volume_id)["State"] == "available"


def test_a_volume_that_was_on_its_way_when_the_server_stopped_is_finished(tmp_path: Path) -> None:
    svc = services(tmp_path)
    gone = VolumeId("vol-0000000d")
    put(svc, a_volume(state=VolumeState.CREATING), a_volume(id=gone, state=VolumeState.DELETING))
    create_volume.resume(svc)
    delete_volume.resume(svc)
    with svc.catalog.read() as tx:
        made = volumes.fetch_any(tx, VOLUME)
        assert made is not None
        assert made.state is VolumeState.AVAILABLE
        assert volumes.fetch_any(tx, gone) is None


def test_volume_attributes_are_those_of_every_volume(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = create(svc)
    answer = ask(svc, "DescribeVolumeAttribute", VolumeId=volume_id, Attribute="autoEnableIO")
    assert answer == {"VolumeId": volume_id, "AutoEnableIO": {"Value": True}}
    with refused("InvalidParameterValue"):
        ask(svc, "DescribeVolumeAttribute", VolumeId=volume_id, Attribute="colour")
