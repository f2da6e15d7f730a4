"""What is deleted goes to the Recycle Bin where a rule says so, and comes back as it was."""

from pathlib import Path
from typing import Any

import pytest

from openami.domain.ids import ImageId
from openami.domain.image import ImageState
from openami.domain.volume import VolumeState
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, filtered, put, refused
from support.bins import a_rule, ask_bin, pass_days
from support.builders import (
    ALICE,
    BOB,
    IMAGE,
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

KEEP = [{"ResourceTagKey": "keep", "ResourceTagValue": "yes"}]
BIN_TAG = {"Key": "aws:recycle-bin:resource-in-bin", "Value": "true"}


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def tag(svc: Services, resource_id: str, value: str = "yes") -> None:
    ask(svc, "CreateTags", Resources=[resource_id], Tags=[{"Key": "keep", "Value": value}])


def tags(svc: Services, resource_id: str) -> list[tuple[str, str]]:
    found = ask(svc, "DescribeTags", Filters=filtered("resource-id", resource_id))["Tags"]
    return [(each["Key"], each["Value"]) for each in found]


def binned(svc: Services, noun: str, account: Any = ALICE, **request: Any) -> list[str]:
    answer = ask(svc, f"List{noun}sInRecycleBin", account=account, **request)
    return [each[f"{noun}Id"] for each in answer[f"{noun}s"]]


def listed(svc: Services, noun: str, **request: Any) -> list[str]:
    return [each[f"{noun}Id"] for each in ask(svc, f"Describe{noun}s", **request)[f"{noun}s"]]


def with_image(svc: Services, **but: Any) -> None:
    put(svc, a_snapshot(), an_image(**but))


def test_a_deregistered_image_can_be_restored_as_it_was(svc: Services) -> None:
    with_image(svc, shared_with=frozenset({BOB}), description="fine")
    tag(svc, IMAGE)
    (before,) = ask(svc, "DescribeImages", ImageIds=[IMAGE])["Images"]
    a_rule(svc, "EC2_IMAGE", 30)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    assert listed(svc, "Image") == []
    (told,) = ask(svc, "ListImagesInRecycleBin")["Images"]
    assert (told["ImageId"], told["Name"], told["Description"]) == (IMAGE, "debian-12", "fine")
    assert told["RecycleBinEnterTime"].isoformat() == "2024-01-01T00:00:00+00:00"
    assert told["RecycleBinExitTime"].isoformat() == "2024-01-31T00:00:00+00:00"
    assert ("aws:recycle-bin:resource-in-bin", "true") in tags(svc, IMAGE)
    pass_days(svc, 29)
    assert ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE) == {"Return": True}
    assert ask(svc, "DescribeImages", ImageIds=[IMAGE])["Images"] == [before]
    assert listed(svc, "Image", account=BOB) == [IMAGE]
    assert binned(svc, "Image") == []
    assert tags(svc, IMAGE) == [("keep", "yes")]


def test_an_image_in_the_bin_is_not_used(svc: Services) -> None:
    a_bootable_image(svc)
    a_rule(svc, "EC2_IMAGE", 1)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    with refused("InvalidAMIID.Unavailable"):
        a_running_instance(svc)
    with refused("InvalidAMIID.Unavailable"):
        ask(svc, "DeregisterImage", ImageId=IMAGE)
    ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)
    assert a_running_instance(svc)


def test_a_disabled_image_comes_back_disabled(svc: Services) -> None:
    with_image(svc, state=ImageState.DISABLED)
    a_rule(svc, "EC2_IMAGE", 1)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)
    (image,) = ask(svc, "DescribeImages", IncludeDisabled=True)["Images"]
    assert image["State"] == "disabled"


def test_after_its_time_an_image_is_gone_for_good(svc: Services) -> None:
    with_image(svc)
    a_rule(svc, "EC2_IMAGE", 2)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    pass_days(svc, 2)
    assert binned(svc, "Image") == []
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)
    with refused("InvalidAMIID.NotFound"):
        listed(svc, "Image", ImageIds=[IMAGE])
    assert tags(svc, IMAGE) == []


@pytest.mark.parametrize("state", [ImageState.PENDING, ImageState.FAILED])
def test_an_image_that_never_was_available_is_not_kept(svc: Services, state: ImageState) -> None:
    with_image(svc, state=state)
    a_rule(svc, "EC2_IMAGE", 1)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    assert binned(svc, "Image") == []


def test_a_name_that_was_given_away_meanwhile_refuses_the_restoration(svc: Services) -> None:
    with_image(svc)
    a_rule(svc, "EC2_IMAGE", 1)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    put(svc, an_image(id=ImageId("ami-00000002")))
    with refused("InvalidAMIName.Duplicate", "ami-00000002"):
        ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)
    assert binned(svc, "Image") == [IMAGE]


def test_an_image_comes_back_only_after_its_snapshots(svc: Services) -> None:
    with_image(svc)
    a_rule(svc, "EC2_IMAGE", 9)
    a_rule(svc, "EBS_SNAPSHOT", 9)
    results = ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    assert results["DeleteSnapshotResults"] == [{"SnapshotId": SNAPSHOT, "ReturnCode": "success"}]
    with refused("IncorrectState", SNAPSHOT, "Recycle Bin"):
        ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)
    ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=SNAPSHOT)
    ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)
    with refused("InvalidSnapshot.InUse", IMAGE):
        ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)


def test_without_its_snapshots_an_image_never_comes_back(svc: Services) -> None:
    with_image(svc)
    a_rule(svc, "EC2_IMAGE", 9)
    ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    with refused("IncorrectState", "deleted"):
        ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)


def test_a_deleted_snapshot_can_be_restored_as_it_was(svc: Services) -> None:
    put(svc, a_snapshot(description="mine"))
    tag(svc, SNAPSHOT)
    (before,) = ask(svc, "DescribeSnapshots")["Snapshots"]
    a_rule(svc, "EBS_SNAPSHOT", 3)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    assert listed(svc, "Snapshot") == []
    with refused("InvalidSnapshot.NotFound"):
        listed(svc, "Snapshot", SnapshotIds=[SNAPSHOT])
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "CreateVolume", AvailabilityZone=ZONE, SnapshotId=SNAPSHOT)
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    (told,) = ask(svc, "ListSnapshotsInRecycleBin")["Snapshots"]
    assert (told["Description"], told["VolumeId"]) == ("mine", VOLUME)
    restored = ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=SNAPSHOT)
    assert (restored["State"], restored["VolumeSize"]) == ("completed", 1)
    assert ask(svc, "DescribeSnapshots")["Snapshots"] == [before]


def test_a_snapshot_that_is_not_complete_is_not_kept(svc: Services) -> None:
    put(svc, a_pending_snapshot())
    a_rule(svc, "EBS_SNAPSHOT", 3)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    assert binned(svc, "Snapshot") == []


def test_after_its_time_a_snapshot_is_gone_for_good(svc: Services) -> None:
    put(svc, a_snapshot())
    a_rule(svc, "EBS_SNAPSHOT", 3)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    pass_days(svc, 2.9)
    assert binned(svc, "Snapshot") == [SNAPSHOT]
    pass_days(svc, 0.1)
    assert binned(svc, "Snapshot") == []
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=SNAPSHOT)


def a_written_volume(svc: Services) -> str:
    volume_id = str(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])
    write_volume(svc, volume_id, 5, "x")
    return volume_id


def bytes_of(svc: Services, volume_id: str) -> dict[int, str]:
    return snapshot_blocks(svc, ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"])


def test_a_volume_in_the_bin_keeps_its_bytes(svc: Services) -> None:
    volume_id = a_written_volume(svc)
    tag(svc, volume_id)
    (before,) = ask(svc, "DescribeVolumes")["Volumes"]
    a_rule(svc, "EBS_VOLUME", 7)
    ask(svc, "DeleteVolume", VolumeId=volume_id)
    assert listed(svc, "Volume") == []
    with refused("InvalidVolume.NotFound"):
        ask(svc, "CreateSnapshot", VolumeId=volume_id)
    (told,) = ask(svc, "ListVolumesInRecycleBin")["Volumes"]
    assert (told["VolumeId"], told["State"], told["Size"]) == (volume_id, "available", 1)
    pass_days(svc, 6)
    assert ask(svc, "RestoreVolumeFromRecycleBin", VolumeId=volume_id) == {"Return": True}
    assert ask(svc, "DescribeVolumes")["Volumes"] == [before]
    assert bytes_of(svc, volume_id) == {5: "x"}


def test_after_its_time_a_volume_s_bytes_are_gone(svc: Services) -> None:
    volume_id = a_written_volume(svc)
    a_rule(svc, "EBS_VOLUME", 1)
    ask(svc, "DeleteVolume", VolumeId=volume_id)
    assert list(svc.volumes.list()) == [volume_id]
    pass_days(svc, 1)
    assert list(svc.volumes.list()) == []
    with refused("InvalidVolume.NotFound"):
        ask(svc, "RestoreVolumeFromRecycleBin", VolumeId=volume_id)


def test_the_volumes_of_a_terminated_instance_are_kept(svc: Services) -> None:
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    (volume_id,) = listed(svc, "Volume")
    write_volume(svc, volume_id, 5, "x")
    a_rule(svc, "EBS_VOLUME", 1)
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    assert binned(svc, "Volume") == [volume_id]
    ask(svc, "RestoreVolumeFromRecycleBin", VolumeId=volume_id)
    (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
    assert (volume["State"], volume["Attachments"]) == ("available", [])
    assert bytes_of(svc, volume_id) == {5: "x"}


def test_a_volume_that_never_came_to_be_is_not_kept(svc: Services) -> None:
    put(svc, a_volume(state=VolumeState.ERROR))
    a_rule(svc, "EBS_VOLUME", 1)
    ask(svc, "DeleteVolume", VolumeId=VOLUME)
    assert binned(svc, "Volume") == []


def test_of_several_rules_the_longest_wins(svc: Services) -> None:
    put(svc, a_snapshot())
    for days in (2, 9, 4):
        a_rule(svc, "EBS_SNAPSHOT", days)
    a_rule(svc, "EC2_IMAGE", 99)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    (told,) = ask(svc, "ListSnapshotsInRecycleBin")["Snapshots"]
    assert (told["RecycleBinExitTime"] - told["RecycleBinEnterTime"]).days == 9


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ({"ResourceTags": KEEP}, "yes", True),
        ({"ResourceTags": KEEP}, "no", False),
        ({"ResourceTags": KEEP}, None, False),
        ({"ResourceTags": [{"ResourceTagKey": "keep"}]}, "anything", True),
        ({"ExcludeResourceTags": KEEP}, "yes", False),
        ({"ExcludeResourceTags": KEEP}, "no", True),
        ({"ExcludeResourceTags": KEEP}, None, True),
    ],
)
def test_tags_decide_where_the_rule_says_so(
    svc: Services, rule: dict[str, Any], value: str | None, kept: bool
) -> None:
    put(svc, a_snapshot())
    if value is not None:
        tag(svc, SNAPSHOT, value)
    a_rule(svc, "EBS_SNAPSHOT", 1, **rule)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    assert (binned(svc, "Snapshot") == [SNAPSHOT]) is kept


def test_rules_of_other_accounts_and_regions_do_not_count(svc: Services) -> None:
    put(svc, a_snapshot())
    period = {"RetentionPeriodValue": 1, "RetentionPeriodUnit": "DAYS"}
    elsewhere: list[dict[str, Any]] = [{"account": BOB}, {"region": THERE}]
    for where in elsewhere:
        ask_bin(svc, "CreateRule", ResourceType="EBS_SNAPSHOT", RetentionPeriod=period, **where)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    assert binned(svc, "Snapshot") == []


def test_a_rule_that_changes_leaves_what_is_in_the_bin(svc: Services) -> None:
    put(svc, a_snapshot())
    rule_id = a_rule(svc, "EBS_SNAPSHOT", 5)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    ask_bin(svc, "DeleteRule", Identifier=rule_id)
    pass_days(svc, 4)
    assert binned(svc, "Snapshot") == [SNAPSHOT]
    pass_days(svc, 1)
    assert binned(svc, "Snapshot") == []


def test_tags_can_be_changed_in_the_bin_but_for_its_own(svc: Services) -> None:
    put(svc, a_snapshot())
    a_rule(svc, "EBS_SNAPSHOT", 5)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    tag(svc, SNAPSHOT)
    with refused("InvalidParameterValue", "aws:"):
        ask(svc, "DeleteTags", Resources=[SNAPSHOT], Tags=[{"Key": BIN_TAG["Key"]}])
    ask(svc, "DeleteTags", Resources=[SNAPSHOT])
    assert tags(svc, SNAPSHOT) == [("aws:recycle-bin:resource-in-bin", "true")]


def test_the_bin_s_tag_finds_room_beside_fifty_others(svc: Services) -> None:
    put(svc, a_snapshot())
    many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
    ask(svc, "CreateTags", Resources=[SNAPSHOT], Tags=many)
    a_rule(svc, "EBS_SNAPSHOT", 5)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    assert binned(svc, "Snapshot") == [SNAPSHOT]


def test_the_bin_is_an_account_s_own(svc: Services) -> None:
    with_image(svc, public=True)
    a_rule(svc, "EC2_IMAGE", 1)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    assert binned(svc, "Image", account=BOB) == []
    assert binned(svc, "Image", region=THERE) == []
    with refused("InvalidAMIID.NotFound", IMAGE):
        binned(svc, "Image", account=BOB, ImageIds=[IMAGE])
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "RestoreImageFromRecycleBin", account=BOB, ImageId=IMAGE)


@pytest.mark.parametrize(
    ("noun", "resource_id", "code"),
    [
        ("Image", IMAGE, "InvalidAMIID.NotFound"),
        ("Snapshot", SNAPSHOT, "InvalidSnapshot.NotFound"),
        ("Volume", VOLUME, "InvalidVolume.NotFound"),
    ],
)
def test_what_is_not_in_the_bin_is_not_restored(
    svc: Services, noun: str, resource_id: str, code: str
) -> None:
    put(svc, a_snapshot(), an_image(), a_volume())
    with refused(code, resource_id):
        named: dict[str, Any] = {f"{noun}Id": resource_id}
        ask(svc, f"Restore{noun}FromRecycleBin", **named)
    with refused(code, resource_id):
        binned(svc, noun, **{f"{noun}Ids": [resource_id]})


def test_the_bin_is_listed_in_pages(svc: Services) -> None:
    a_rule(svc, "EC2_IMAGE", 1)
    made = [ImageId(f"ami-0000000{n}") for n in range(5)]
    for image_id in made:
        put(svc, an_image(id=image_id, name=image_id))
        ask(svc, "DeregisterImage", ImageId=image_id)
    first = ask(svc, "ListImagesInRecycleBin", MaxResults=3)
    assert [each["ImageId"] for each in first["Images"]] == made[:3]
    rest = ask(svc, "ListImagesInRecycleBin", MaxResults=3, NextToken=first["NextToken"])
    assert [each["ImageId"] for each in rest["Images"]] == made[3:]
    assert "NextToken" not in rest
    assert binned(svc, "Image", ImageIds=made[1:2]) == made[1:2]
