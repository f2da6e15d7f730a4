"""CreateSnapshot, DescribeSnapshots, DeleteSnapshot."""

from pathlib import Path
from typing import Any

import pytest

from openami.catalog import ingests
from openami.domain.ids import SnapshotId
from openami.domain.volume import VolumeState
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, filtered, put, refused
from support.builders import (
    ALICE,
    BOB,
    HERE,
    SNAPSHOT,
    THERE,
    VOLUME,
    ZONE,
    a_pending_snapshot,
    a_snapshot,
    a_volume,
    an_image,
)
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services

OTHER = SnapshotId("snap-00000000000000002")


def a_new_volume(svc: Services, **request: Any) -> str:
    answer = ask(svc, "CreateVolume", AvailabilityZone=ZONE, **({"Size": 1} | request))
    return str(answer["VolumeId"])


def the_snapshot(svc: Services, snapshot_id: str) -> dict[str, Any]:
    (found,) = ask(svc, "DescribeSnapshots", SnapshotIds=[snapshot_id])["Snapshots"]
    return found


def ids(svc: Services, **request: Any) -> list[str]:
    answer = ask(svc, "DescribeSnapshots", **request)
    return [snapshot["SnapshotId"] for snapshot in answer["Snapshots"]]


def test_a_snapshot_holds_what_the_volume_held(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = a_new_volume(svc)
    write_volume(svc, volume_id, 3, "a")
    answer = ask(
        svc,
        "CreateSnapshot",
        VolumeId=volume_id,
        Description="before the update",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    write_volume(svc, volume_id, 3, "z")
    assert (answer["State"], answer["Progress"]) == ("pending", "0%")
    assert answer["Tags"] == [{"Key": "a", "Value": "b"}]
    snapshot = the_snapshot(svc, answer["SnapshotId"])
    assert (snapshot["State"], snapshot["Progress"]) == ("completed", "100%")
    assert (snapshot["VolumeId"], snapshot["VolumeSize"]) == (volume_id, 1)
    assert (snapshot["OwnerId"], snapshot["Description"]) == (ALICE, "before the update")
    assert snapshot["Encrypted"] is False
    assert snapshot["CompletionTime"] == snapshot["StartTime"]
    assert snapshot_blocks(svc, answer["SnapshotId"]) == {3: "a"}


def test_nothing_is_left_of_a_finished_snapshots_work(tmp_path: Path) -> None:
    svc = services(tmp_path)
    ask(svc, "CreateSnapshot", VolumeId=a_new_volume(svc))
    assert list((tmp_path / "scratch").iterdir()) == []
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


def test_a_snapshot_of_a_running_instance_leaves_it_running(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
    write_volume(svc, volume["VolumeId"], 7, "x")
    answer = ask(svc, "CreateSnapshot", VolumeId=volume["VolumeId"])
    assert snapshot_blocks(svc, answer["SnapshotId"]) == {7: "x"}
    states = ask(svc, "DescribeInstanceStatus", InstanceIds=[instance_id])["InstanceStatuses"]
    assert states[0]["InstanceState"]["Name"] == "running"


def test_a_volume_of_a_snapshot_has_its_content_and_a_second_snapshot_adds_to_it(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    first = a_new_volume(svc)
    write_volume(svc, first, 0, "a")
    snapshot_id = ask(svc, "CreateSnapshot", VolumeId=first)["SnapshotId"]
    second = a_new_volume(svc, SnapshotId=snapshot_id, Size=2)
    write_volume(svc, second, 2500, "b")
    again = ask(svc, "CreateSnapshot", VolumeId=second)["SnapshotId"]
    assert snapshot_blocks(svc, again) == {0: "a", 2500: "b"}
    assert the_snapshot(svc, again)["VolumeSize"] == 2


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"VolumeId": "vol-1"}, "InvalidVolumeID.Malformed"),
        ({"VolumeId": "vol-00000000"}, "InvalidVolume.NotFound"),
        ({"VolumeId": VOLUME, "Location": "local"}, "UnsupportedOperation"),
    ],
)
def test_a_snapshot_is_refused(tmp_path: Path, request_: dict[str, str], code: str) -> None:
    with refused(code):
        ask(services(tmp_path), "CreateSnapshot", **request_)


def test_a_volume_that_is_not_there_yet_or_any_more_has_no_snapshot(tmp_path: Path) -> None:
    for state in (VolumeState.CREATING, VolumeState.DELETING, VolumeState.ERROR):
        svc = services(tmp_path / state)
        put(svc, a_volume(state=state))
        with refused("IncorrectState", VOLUME):
            ask(svc, "CreateSnapshot", VolumeId=VOLUME)


def test_snapshots_are_their_owners_in_their_region(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(), a_snapshot(id=OTHER, owner=BOB))
    assert ids(svc) == [SNAPSHOT]
    assert ids(svc, OwnerIds=["self"]) == [SNAPSHOT]
    assert ids(svc, OwnerIds=[BOB]) == []
    assert ids(svc, OwnerIds=["amazon"]) == []
    assert ids(svc, RestorableByUserIds=["self"]) == [SNAPSHOT]
    assert ids(svc, RestorableByUserIds=["all"]) == []
    assert ids(svc, RestorableByUserIds=[BOB]) == []
    assert ids(svc, RestorableByUserIds=["self", "all"]) == [SNAPSHOT]
    assert ids(svc, region=THERE) == []
    with refused("InvalidSnapshot.NotFound", f"The snapshot '{OTHER}' does not exist."):
        ids(svc, SnapshotIds=[SNAPSHOT, OTHER])
    with refused("InvalidUserID.Malformed"):
        ids(svc, OwnerIds=["me"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("description", "nightly*"),
        ("encrypted", "false"),
        ("owner-id", ALICE),
        ("progress", "100%"),
        ("snapshot-id", SNAPSHOT),
        ("start-time", "2024-01-01*"),
        ("status", "completed"),
        ("storage-tier", "standard"),
        ("volume-id", VOLUME),
        ("volume-size", "1"),
    ],
)
def test_a_filter_finds_the_snapshot(tmp_path: Path, name: str, value: str) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(description="nightly run"))
    assert ids(svc, Filters=filtered(name, value)) == [SNAPSHOT]
    assert ids(svc, Filters=filtered(name, "nothing")) == []


def test_a_listing_comes_in_pages_and_not_with_ids(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, *(a_snapshot(id=SnapshotId(f"snap-0000000{n}")) for n in range(7)))
    first = ask(svc, "DescribeSnapshots", MaxResults=5)
    assert len(first["Snapshots"]) == 5
    rest = ask(svc, "DescribeSnapshots", MaxResults=5, NextToken=first["NextToken"])
    assert [each["SnapshotId"] for each in rest["Snapshots"]] == ["snap-00000005", "snap-00000006"]
    assert "NextToken" not in rest
    with refused("InvalidParameterValue", "between 5 and 1000"):
        ask(svc, "DescribeSnapshots", MaxResults=4)
    with refused("InvalidParameterCombination"):
        ask(svc, "DescribeSnapshots", MaxResults=5, SnapshotIds=[SNAPSHOT])
    with refused("InvalidNextToken"):
        ask(svc, "DescribeSnapshots", NextToken="x")


def test_a_snapshot_of_an_image_is_in_use_until_the_image_is_deregistered(tmp_path: Path) -> None:
    svc = services(tmp_path)
    image = an_image()
    put(svc, a_snapshot(), image)
    words = f"The snapshot {SNAPSHOT} is currently in use by {image.id}"
    with refused("InvalidSnapshot.InUse", words):
        ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    ask(svc, "DeregisterImage", ImageId=image.id)
    assert ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT) == {}
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)


def test_a_pending_snapshot_may_be_deleted_and_gives_its_lease_back(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_pending_snapshot())
    with svc.catalog.begin() as tx:
        ingests.begin(tx, SNAPSHOT, HERE, svc.clock.now())
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    with svc.catalog.read() as tx:
        assert not ingests.is_active(tx, SNAPSHOT)


def test_a_snapshot_is_deleted_under_the_volumes_that_were_made_of_it(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = a_new_volume(svc)
    write_volume(svc, volume_id, 1, "a")
    snapshot_id = ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]
    made = a_new_volume(svc, SnapshotId=snapshot_id)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    again = ask(svc, "CreateSnapshot", VolumeId=made)["SnapshotId"]
    assert snapshot_blocks(svc, again) == {1: "a"}


def test_nobody_else_deletes_a_snapshot(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot())
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "DeleteSnapshot", account=BOB, SnapshotId=SNAPSHOT)
