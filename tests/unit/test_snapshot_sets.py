"""CreateSnapshots."""

from pathlib import Path
from typing import Any

import pytest

from openami.catalog import ingests
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, refused
from support.builders import BOB
from support.crash import Made, assert_survives, fused_services
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services
from support.no_guest import WatchedDriver
from support.power import on_its_disk

CONTENT = {"/dev/sdf": {7: "b"}, "/dev/sdg": {8: "c"}, "/dev/xvda": {3: "a"}}
DATA = [{"DeviceName": name, "Ebs": {"VolumeSize": 1}} for name in CONTENT if name != "/dev/xvda"]


def a_server(svc: Services) -> tuple[str, dict[str, str]]:
    """An instance with three disks, and device name → volume id; each holds something."""
    a_bootable_image(svc)
    instance_id = a_running_instance(svc, BlockDeviceMappings=DATA)
    found = {
        each["Attachments"][0]["Device"]: each["VolumeId"]
        for each in ask(svc, "DescribeVolumes")["Volumes"]
    }
    for device, blocks in CONTENT.items():
        for block, sign in blocks.items():
            write_volume(svc, found[device], block, sign)
    return instance_id, found


def create(svc: Services, instance_id: str, **request: Any) -> list[dict[str, Any]]:
    spec = {"InstanceId": instance_id} | request.pop("spec", {})
    answer = ask(svc, "CreateSnapshots", InstanceSpecification=spec, **request)
    return list(answer["Snapshots"])


def contents(svc: Services, told: list[dict[str, Any]]) -> dict[str, dict[int, str]]:
    return {each["VolumeId"]: snapshot_blocks(svc, each["SnapshotId"]) for each in told}


@pytest.mark.parametrize("stopped", [False, True])
def test_all_volumes_are_taken_at_one_moment(tmp_path: Path, stopped: bool) -> None:
    driver = WatchedDriver(tmp_path / "instances")
    svc = services(tmp_path, compute=driver)
    instance_id, volumes = a_server(svc)
    if stopped:
        ask(svc, "StopInstances", InstanceIds=[instance_id])
    told = create(svc, instance_id, Description="nightly")
    assert [each["VolumeId"] for each in told] == [
        volumes[name] for name in ("/dev/xvda", "/dev/sdf", "/dev/sdg")
    ]
    assert {each["State"] for each in told} == {"pending"}
    assert {each["Description"] for each in told} == {"nightly"}
    assert {each["StartTime"] for each in told} == {svc.clock.now()}
    assert contents(svc, told) == {volumes[name]: held for name, held in CONTENT.items()}
    assert len(driver.copied) == (0 if stopped else 1)
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []
    assert list((tmp_path / "scratch").iterdir()) == []


def test_volumes_are_left_out_and_tags_are_copied(tmp_path: Path) -> None:
    svc = services(tmp_path)
    instance_id, volumes = a_server(svc)
    tags = [{"Key": "of", "Value": "data"}, {"Key": "kept", "Value": "yes"}]
    ask(svc, "CreateTags", Resources=[volumes["/dev/sdf"]], Tags=tags)
    given = [{"ResourceType": "snapshot", "Tags": [{"Key": "of", "Value": "set"}]}]
    spec = {"ExcludeBootVolume": True, "ExcludeDataVolumeIds": [volumes["/dev/sdg"]]}
    (told,) = create(
        svc, instance_id, spec=spec, CopyTagsFromSource="volume", TagSpecifications=given
    )
    assert told["VolumeId"] == volumes["/dev/sdf"]
    (found,) = ask(svc, "DescribeSnapshots", SnapshotIds=[told["SnapshotId"]])["Snapshots"]
    assert {each["Key"]: each["Value"] for each in found["Tags"]} == {"of": "set", "kept": "yes"}


def test_a_set_is_refused_that_ec2_would_refuse(tmp_path: Path) -> None:
    svc = services(tmp_path)
    instance_id, volumes = a_server(svc)
    with refused("InvalidParameterValue", "ExcludeBootVolume"):
        create(svc, instance_id, spec={"ExcludeDataVolumeIds": [volumes["/dev/xvda"]]})
    with refused("InvalidParameterValue", "not attached"):
        create(svc, instance_id, spec={"ExcludeDataVolumeIds": ["vol-00000001"]})
    everything = {
        "ExcludeBootVolume": True,
        "ExcludeDataVolumeIds": [volumes["/dev/sdf"], volumes["/dev/sdg"]],
    }
    with refused("InvalidParameterValue", "left"):
        create(svc, instance_id, spec=everything)
    with refused("InvalidParameterValue", "copyTagsFromSource"):
        create(svc, instance_id, CopyTagsFromSource="instance")
    with refused("UnsupportedOperation"):
        create(svc, instance_id, OutpostArn="arn:aws:outposts:us-east-1:1:outpost/op-1")
    with refused("InvalidInstanceID.NotFound"):
        ask(svc, "CreateSnapshots", BOB, InstanceSpecification={"InstanceId": instance_id})
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    with refused("IncorrectInstanceState"):
        create(svc, instance_id)


@pytest.mark.parametrize("host", [fused_services, on_its_disk])
def test_a_set_survives_a_power_cut_at_any_moment(tmp_path: Path, host: Made) -> None:
    def begin(svc: Services) -> Any:
        instance_id, volumes = a_server(svc)
        spec = {"ExcludeDataVolumeIds": [volumes["/dev/sdg"]]}  # two of three
        return lambda: create(svc, instance_id, spec=spec)

    def whole_or_nothing(svc: Services) -> None:
        told = ask(svc, "DescribeSnapshots", OwnerIds=["self"])["Snapshots"]
        made = [each for each in told if each["VolumeId"] != "vol-00000000000000001"]
        assert len(made) in (0, 2)
        assert {each["State"] for each in made} <= {"completed"}
        if made:
            held = [CONTENT[each] for each in ("/dev/sdf", "/dev/xvda")]
            assert sorted(map(str, contents(svc, made).values())) == sorted(map(str, held))
        with svc.catalog.read() as tx:
            assert ingests.all_active(tx) == []

    moments = assert_survives(tmp_path, begin, lambda _: None, whole_or_nothing, made=host)
    assert moments > 10
