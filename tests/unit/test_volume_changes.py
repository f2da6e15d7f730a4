"""ModifyVolume, DescribeVolumesModifications, EnableVolumeIO, ModifyVolumeAttribute."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import volume_modifications
from openami.diskimage.qcow2 import virtual_size_bytes
from openami.domain.block import GIB
from openami.domain.ids import VolumeId
from openami.services import Services
from openami.workflows import modify_volume, registry
from support.asking import a_bootable_image, a_running_instance, ask, filtered, refused
from support.builders import BOB, HERE, ZONE
from support.crash import assert_survives
from support.disk_contents import snapshot_blocks, volume_blocks, write_volume
from support.fakes import StoppedClock, services
from support.no_guest import WatchedDriver


def created(svc: Services, **request: Any) -> str:
    given = {"AvailabilityZone": ZONE, "Size": 2} | request
    return str(ask(svc, "CreateVolume", **given)["VolumeId"])


def volume(svc: Services, volume_id: str) -> dict[str, Any]:
    (found,) = ask(svc, "DescribeVolumes", VolumeIds=[volume_id])["Volumes"]
    return dict(found)


def modified(svc: Services, volume_id: str, **request: Any) -> dict[str, Any]:
    """The modification as it is when the call has been answered."""
    told = ask(svc, "ModifyVolume", VolumeId=volume_id, **request)["VolumeModification"]
    assert told["ModificationState"] == "modifying"
    answer = ask(svc, "DescribeVolumesModifications", VolumeIds=[volume_id])
    (found,) = answer["VolumesModifications"]
    return dict(found)


def test_a_free_volume_grows_and_keeps_what_is_on_it(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = created(svc)
    write_volume(svc, volume_id, 3, "a")
    told = modified(svc, volume_id, Size=40)
    assert told["ModificationState"] == "completed"
    assert (told["OriginalSize"], told["TargetSize"], told["Progress"]) == (2, 40, 100)
    assert told["StartTime"] == told["EndTime"]
    assert volume(svc, volume_id)["Size"] == 40
    overlay, _ = svc.volumes.paths(VolumeId(volume_id), HERE)
    assert virtual_size_bytes(overlay) == 40 * GIB
    write_volume(svc, volume_id, 39 * 2048, "z")
    assert volume_blocks(svc, volume_id) == {3: "a", 39 * 2048: "z"}
    snapshot_id = ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]
    assert snapshot_blocks(svc, snapshot_id) == {3: "a", 39 * 2048: "z"}
    restored = created(svc, SnapshotId=snapshot_id, Size=None)
    assert volume(svc, restored)["Size"] == 40


def test_a_volume_in_use_grows_under_its_guest_and_after_a_restart(tmp_path: Path) -> None:
    driver = WatchedDriver(tmp_path / "instances")
    svc = services(tmp_path, compute=driver)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    (root,) = ask(svc, "DescribeVolumes")["Volumes"]
    modified(svc, root["VolumeId"], Size=5)
    assert driver.grown == [(root["VolumeId"], 5 * GIB)]
    ask(svc, "StopInstances", InstanceIds=[instance_id])
    modified(svc, root["VolumeId"], Size=6)
    assert len(driver.grown) == 1, "no machine, nobody to tell"
    ask(svc, "StartInstances", InstanceIds=[instance_id])
    assert volume(svc, root["VolumeId"])["Size"] == 6
    overlay, _ = svc.volumes.paths(root["VolumeId"], HERE)
    assert virtual_size_bytes(overlay) == 6 * GIB


def test_type_and_speed_have_ec2s_defaults(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = created(svc, Size=100)
    told = modified(svc, volume_id, VolumeType="gp3", Throughput=200)
    assert (told["OriginalVolumeType"], told["OriginalIops"]) == ("gp2", 300)
    assert (told["TargetIops"], told["TargetThroughput"]) == (3000, 200)
    assert modified(svc, volume_id, Iops=5000)["TargetThroughput"] == 200, "kept"
    told = modified(svc, volume_id, VolumeType="io2")
    assert told["TargetIops"] == 3000
    assert "TargetThroughput" not in told
    found = volume(svc, volume_id)
    assert (found["VolumeType"], found["Iops"]) == ("io2", 3000)
    assert modified(svc, volume_id, VolumeType="gp2")["TargetIops"] == 300


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "MissingParameter"),
        ({"Size": 1}, "InvalidParameterValue"),
        ({"Size": 20000}, "InvalidParameterValue"),
        ({"VolumeType": "floppy"}, "InvalidParameterValue"),
        ({"VolumeType": "st1"}, "InvalidParameterValue"),
        ({"Iops": 3000}, "InvalidParameterCombination"),
        ({"Throughput": 200}, "InvalidParameterCombination"),
        ({"VolumeType": "gp3", "Iops": 5}, "InvalidParameterValue"),
        ({"MultiAttachEnabled": True}, "UnsupportedOperation"),
    ],
)
def test_a_modification_is_refused(tmp_path: Path, request_: dict[str, Any], code: str) -> None:
    svc = services(tmp_path)
    volume_id = created(svc)
    with refused(code):
        modified(svc, volume_id, **request_)
    with refused("InvalidVolumeModification.NotFound"):
        ask(svc, "DescribeVolumesModifications", VolumeIds=[volume_id])


def test_a_volume_is_modified_four_times_a_day(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = created(svc)
    for size in (3, 4, 5, 6):
        modified(svc, volume_id, Size=size)
    with refused("VolumeModificationRateExceeded"):
        modified(svc, volume_id, Size=7)
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(hours=24))
    assert modified(svc, volume_id, Size=7)["OriginalSize"] == 6


def test_one_modification_at_a_time(tmp_path: Path) -> None:
    others = [job for job in registry._JOBS if job is not modify_volume.job]
    svc = services(tmp_path, jobs=lambda svc: [make(svc) for make in others] + [_stuck(svc)])
    volume_id = created(svc)
    ask(svc, "ModifyVolume", VolumeId=volume_id, Size=3)
    with refused("IncorrectModificationState", "modifying"):
        ask(svc, "ModifyVolume", VolumeId=volume_id, Size=4)


def _stuck(svc: Services) -> Any:
    real = modify_volume.job(svc)
    return type(real)(name=real.name, steps=(("nothing", lambda _: None),), give_up=real.give_up)


def test_modifications_are_listed_by_state_and_page_and_are_their_owners_alone(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    ids = [created(svc) for _ in range(3)]
    for each in ids:
        modified(svc, each, Size=3)
    modified(svc, ids[0], Size=4)
    first = ask(svc, "DescribeVolumesModifications", MaxResults=2)
    rest = ask(svc, "DescribeVolumesModifications", MaxResults=2, NextToken=first["NextToken"])
    told = [*first["VolumesModifications"], *rest["VolumesModifications"]]
    assert [(each["VolumeId"], each["TargetSize"]) for each in told] == [
        (each, 4 if each == ids[0] else 3) for each in sorted(ids)
    ]
    found = ask(svc, "DescribeVolumesModifications", Filters=filtered("target-size", "4"))
    assert [each["VolumeId"] for each in found["VolumesModifications"]] == ids[:1]
    assert ask(svc, "DescribeVolumesModifications", BOB)["VolumesModifications"] == []
    with refused("InvalidVolume.NotFound"):
        ask(svc, "DescribeVolumesModifications", BOB, VolumeIds=ids)
    ask(svc, "DeleteVolume", VolumeId=ids[1])
    with svc.catalog.read() as tx:
        assert volume_modifications.count_since(tx, VolumeId(ids[1]), svc.clock.now()) == 0


def test_a_volume_grows_through_a_power_cut_at_any_moment(tmp_path: Path) -> None:
    def begin(svc: Services) -> Any:
        a_bootable_image(svc)
        a_running_instance(svc)
        (root,) = ask(svc, "DescribeVolumes")["Volumes"]
        return lambda: ask(svc, "ModifyVolume", VolumeId=root["VolumeId"], Size=3)

    def grown_or_not(svc: Services) -> None:
        (root,) = ask(svc, "DescribeVolumes")["Volumes"]
        told = ask(svc, "DescribeVolumesModifications")["VolumesModifications"]
        overlay, _ = svc.volumes.paths(root["VolumeId"], HERE)
        wanted = told[0]["TargetSize"] if told else 1
        assert (root["Size"], virtual_size_bytes(overlay)) == (wanted, wanted * GIB)
        assert svc.volumes.origin(root["VolumeId"]).size_gib == wanted
        assert [each["ModificationState"] for each in told] in ([], ["completed"])

    assert assert_survives(tmp_path, begin, lambda _: None, grown_or_not) > 4


def test_io_is_enabled_by_itself(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = created(svc)
    ask(svc, "EnableVolumeIO", VolumeId=volume_id)
    ask(svc, "ModifyVolumeAttribute", VolumeId=volume_id, AutoEnableIO={"Value": True})
    told = ask(svc, "DescribeVolumeAttribute", VolumeId=volume_id, Attribute="autoEnableIO")
    assert told["AutoEnableIO"] == {"Value": True}
    with refused("UnsupportedOperation"):
        ask(svc, "ModifyVolumeAttribute", VolumeId=volume_id, AutoEnableIO={"Value": False})
    with refused("MissingParameter"):
        ask(svc, "ModifyVolumeAttribute", VolumeId=volume_id)
    with refused("InvalidVolume.NotFound"):
        ask(svc, "EnableVolumeIO", BOB, VolumeId=volume_id)
