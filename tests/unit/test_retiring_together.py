"""The Recycle Bin, locks, tiers and fast restores where they meet, and where accounts share."""

from pathlib import Path

import pytest

from openami.domain.ids import ImageId, SnapshotId
from openami.services import Services
from support.asking import ask, put, put_accounts, refused
from support.bins import a_rule, ask_bin, pass_days
from support.builders import ALICE, BOB, IMAGE, ZONE, a_device, an_image
from support.disk_contents import snapshot_blocks
from support.fakes import services
from support.retiring import a_volume, archive, snapshot_of

OTHER_IMAGE = ImageId("ami-00000000000000002")


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def test_a_lock_that_expired_is_not_told_of_a_snapshot_in_the_bin(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    ask(svc, "LockSnapshot", SnapshotId=snapshot_id, LockMode="governance", LockDuration=1)
    pass_days(svc, 2)
    a_rule(svc, "EBS_SNAPSHOT", 7)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    assert ask(svc, "DescribeLockedSnapshots")["Snapshots"] == []
    ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=snapshot_id)
    (lock,) = ask(svc, "DescribeLockedSnapshots")["Snapshots"]
    assert lock["LockState"] == "expired"


def shared_with_bob(svc: Services) -> SnapshotId:
    """Alice's snapshot, with an image that Bob registered over it and put into his bin."""
    put_accounts(svc, BOB)
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    permission = {"Add": [{"UserId": BOB}]}
    ask(svc, "ModifySnapshotAttribute", SnapshotId=snapshot_id, CreateVolumePermission=permission)
    device = a_device(snapshot_id=snapshot_id)
    put(svc, an_image(owner=BOB, block_device_mappings=(device,)))
    return snapshot_id


@pytest.mark.parametrize("fate", ["gone", "binned", "archived", "private"])
def test_what_became_of_a_snapshot_that_was_shared_is_told_in_one_sentence(
    svc: Services, fate: str
) -> None:
    snapshot_id = shared_with_bob(svc)
    period = {"RetentionPeriodValue": 30, "RetentionPeriodUnit": "DAYS"}
    ask_bin(svc, "CreateRule", account=BOB, ResourceType="EC2_IMAGE", RetentionPeriod=period)
    ask(svc, "DeregisterImage", account=BOB, ImageId=IMAGE)
    if fate == "binned":
        a_rule(svc, "EBS_SNAPSHOT", 7)
    if fate in ("binned", "gone"):
        ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    if fate == "archived":
        archive(svc, snapshot_id)
    if fate == "private":
        ask(
            svc,
            "ResetSnapshotAttribute",
            SnapshotId=snapshot_id,
            Attribute="createVolumePermission",
        )
    told = f"The image '{IMAGE}' cannot be restored: its snapshot {snapshot_id} is deleted."
    with refused("IncorrectState", told):
        ask(svc, "RestoreImageFromRecycleBin", account=BOB, ImageId=IMAGE)


def test_an_image_comes_back_over_a_snapshot_that_is_shared_still(svc: Services) -> None:
    shared_with_bob(svc)
    period = {"RetentionPeriodValue": 30, "RetentionPeriodUnit": "DAYS"}
    ask_bin(svc, "CreateRule", account=BOB, ResourceType="EC2_IMAGE", RetentionPeriod=period)
    ask(svc, "DeregisterImage", account=BOB, ImageId=IMAGE)
    ask(svc, "RestoreImageFromRecycleBin", account=BOB, ImageId=IMAGE)


def test_enabling_an_image_tells_nothing_of_a_snapshot_that_is_shared_no_longer(
    svc: Services,
) -> None:
    snapshot_id = shared_with_bob(svc)
    ask(svc, "DisableImage", account=BOB, ImageId=IMAGE)
    archive(svc, snapshot_id)
    ask(svc, "EnableImage", account=BOB, ImageId=IMAGE)


def test_the_last_of_two_images_takes_their_snapshot_with_it_and_brings_both_back(
    svc: Services,
) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    device = a_device(snapshot_id=snapshot_id)
    for image_id, name in ((IMAGE, "first"), (OTHER_IMAGE, "second")):
        put(svc, an_image(id=image_id, name=name, block_device_mappings=(device,)))
    for kind in ("EC2_IMAGE", "EBS_SNAPSHOT"):
        a_rule(svc, kind, 7)
    became = [
        ask(svc, "DeregisterImage", ImageId=each, DeleteAssociatedSnapshots=True)
        for each in (IMAGE, OTHER_IMAGE)
    ]
    codes = [each["DeleteSnapshotResults"][0]["ReturnCode"] for each in became]
    assert codes == ["skipped", "success"]
    with refused("IncorrectState", "Recycle Bin first"):
        ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)
    ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=snapshot_id)
    for each in (IMAGE, OTHER_IMAGE):
        ask(svc, "RestoreImageFromRecycleBin", ImageId=each)
    pass_days(svc, 30)
    assert snapshot_blocks(svc, snapshot_id) == {1: "a"}
    assert len(ask(svc, "DescribeImages", Owners=[ALICE])["Images"]) == 2


def test_a_snapshot_that_is_out_of_the_archive_for_a_time_is_archived_when_it_leaves_the_bin(
    svc: Services,
) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    archive(svc, snapshot_id)
    ask(svc, "RestoreSnapshotTier", SnapshotId=snapshot_id, TemporaryRestoreDays=2)
    a_rule(svc, "EBS_SNAPSHOT", 30)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    pass_days(svc, 5)
    ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=snapshot_id)
    pass_days(svc, 0.01)
    with refused("IncorrectState", "archived"):
        ask(svc, "CreateVolume", AvailabilityZone=ZONE, SnapshotId=snapshot_id)
    assert snapshot_blocks(svc, snapshot_id) == {1: "a"}


def test_a_rule_that_is_deleted_lets_nobody_s_time_in_the_bin_end_early(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    rule = a_rule(svc, "EBS_SNAPSHOT", 7)
    archive(svc, snapshot_id)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    ask_bin(svc, "DeleteRule", Identifier=rule)
    pass_days(svc, 6)
    ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=snapshot_id)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=snapshot_id)
    assert ask(svc, "DescribeSnapshotTierStatus")["SnapshotTierStatuses"] == []
