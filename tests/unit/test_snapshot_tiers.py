"""ModifySnapshotTier, RestoreSnapshotTier, DescribeSnapshotTierStatus: the bytes really move."""

from pathlib import Path
from typing import Any

import pytest

from openami.catalog import snapshot_tiers, snapshots
from openami.domain.ids import SnapshotId
from openami.domain.snapshot import Move, Progress, Tiering
from openami.services import Services
from support.asking import a_running_instance, ask, filtered, put, put_accounts, refused
from support.bins import a_rule, pass_days
from support.builders import (
    ALICE,
    BOB,
    HERE,
    ZONE,
    a_device,
    a_pending_snapshot,
    an_image,
)
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services
from support.retiring import a_volume, archive, snapshot_of


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def restore(svc: Services, snapshot_id: str, **how: Any) -> dict[str, Any]:
    return ask(svc, "RestoreSnapshotTier", SnapshotId=snapshot_id, **how)


def status(svc: Services, snapshot_id: str) -> dict[str, Any]:
    wanted = filtered("snapshot-id", snapshot_id)
    (told,) = ask(svc, "DescribeSnapshotTierStatus", Filters=wanted)["SnapshotTierStatuses"]
    return told


def here_and_there(svc: Services) -> tuple[int, int]:
    """How many chunks are in the store itself, and how many in its archive."""
    store, cold = svc.stores[HERE], svc.archives[HERE]
    return sum(store.has(each) for each in store.digests()), len(list(cold.digests()))


def make_a_volume(svc: Services, snapshot_id: str) -> None:
    ask(svc, "CreateVolume", AvailabilityZone=ZONE, SnapshotId=snapshot_id)


def test_archiving_moves_what_only_this_snapshot_needs(svc: Services) -> None:
    volume_id = a_volume(svc, a=1, b=2)
    first = snapshot_of(svc, volume_id)
    write_volume(svc, volume_id, 2, "c")
    second = snapshot_of(svc, volume_id)
    assert here_and_there(svc) == (3, 0)
    archive(svc, first)
    assert here_and_there(svc) == (2, 1), "a is the second one's too"
    told = status(svc, first)
    assert (told["StorageTier"], told["LastTieringProgress"]) == ("archive", 100)
    assert told["LastTieringOperationStatus"] == "archival-completed"
    assert told["ArchivalCompleteTime"] == told["LastTieringStartTime"] == svc.clock.now()
    assert snapshot_blocks(svc, second) == {1: "a", 2: "c"}
    archive(svc, second)
    assert here_and_there(svc) == (0, 3)


def test_an_archived_snapshot_cannot_be_used_and_is_told_as_such(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    archive(svc, snapshot_id)
    archived = ask(svc, "DescribeSnapshots", Filters=filtered("storage-tier", "archive"))
    assert [each["SnapshotId"] for each in archived["Snapshots"]] == [snapshot_id]
    assert archived["Snapshots"][0]["StorageTier"] == "archive"
    root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}
    for operation, request in (
        ("CreateVolume", {"AvailabilityZone": ZONE, "SnapshotId": snapshot_id}),
        ("CopySnapshot", {"SourceRegion": HERE, "SourceSnapshotId": snapshot_id}),
        (
            "RegisterImage",
            {"Name": "web", "RootDeviceName": "/dev/xvda", "BlockDeviceMappings": [root]},
        ),
    ):
        asked: dict[str, Any] = dict(request)
        with refused("IncorrectState", snapshot_id, "archived"):
            ask(svc, operation, **asked)


def test_a_permanent_restoration_brings_everything_back(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1, b=2))
    archive(svc, snapshot_id)
    told = restore(svc, snapshot_id, PermanentRestore=True)
    assert told["IsPermanentRestore"] is True
    assert "RestoreDuration" not in told
    assert here_and_there(svc) == (2, 0)
    told = status(svc, snapshot_id)
    assert told["LastTieringOperationStatus"] == "permanent-restore-completed"
    assert (told["StorageTier"], "RestoreExpiryTime" in told) == ("standard", False)
    make_a_volume(svc, snapshot_id)
    pass_days(svc, 400)
    assert here_and_there(svc) == (2, 0)
    archive(svc, snapshot_id)


def test_a_temporary_restoration_ends_by_the_clock(svc: Services) -> None:
    volume_id = a_volume(svc, a=1)
    snapshot_id = snapshot_of(svc, volume_id)
    archive(svc, snapshot_id)
    told = restore(svc, snapshot_id, TemporaryRestoreDays=5)
    assert (told["RestoreDuration"], told["IsPermanentRestore"]) == (5, False)
    assert status(svc, snapshot_id)["LastTieringOperationStatus"] == "temporary-restore-completed"
    (seen,) = ask(svc, "DescribeSnapshots")["Snapshots"]
    assert seen["StorageTier"] == "standard"
    assert seen["RestoreExpiryTime"].isoformat() == "2024-01-06T00:00:00+00:00"
    assert snapshot_blocks(svc, snapshot_id) == {1: "a"}
    pass_days(svc, 4.9)
    assert here_and_there(svc) == (1, 0)
    pass_days(svc, 0.1)
    assert here_and_there(svc) == (0, 1)
    with refused("IncorrectState", "archived"):
        make_a_volume(svc, snapshot_id)


def test_a_temporary_restoration_can_be_prolonged_or_made_permanent(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    archive(svc, snapshot_id)
    restore(svc, snapshot_id, TemporaryRestoreDays=5)
    pass_days(svc, 4)
    restore(svc, snapshot_id, TemporaryRestoreDays=5)
    pass_days(svc, 4)
    assert here_and_there(svc) == (1, 0)
    with refused("IncorrectState", "archived already"):
        archive(svc, snapshot_id)
    restore(svc, snapshot_id, PermanentRestore=True)
    pass_days(svc, 40)
    assert here_and_there(svc) == (1, 0)


def test_what_a_volume_lies_on_stays_where_it_is(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    make_a_volume(svc, snapshot_id)
    archive(svc, snapshot_id)
    assert here_and_there(svc) == (1, 0)


def test_an_image_must_be_disabled_before_its_snapshot_is_archived(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    image = an_image(block_device_mappings=(a_device(snapshot_id=snapshot_id),))
    put(svc, image)
    with refused("InvalidSnapshot.InUse", image.id):
        archive(svc, snapshot_id)
    ask(svc, "DisableImage", ImageId=image.id)
    archive(svc, snapshot_id)
    with refused("IncorrectState", snapshot_id, "archived"):
        ask(svc, "EnableImage", ImageId=image.id)
    restore(svc, snapshot_id, TemporaryRestoreDays=1)
    ask(svc, "EnableImage", ImageId=image.id)
    pass_days(svc, 9)
    assert here_and_there(svc) == (1, 0), "the image needs it"
    ask(svc, "DisableImage", ImageId=image.id)
    pass_days(svc, 0)
    assert here_and_there(svc) == (0, 1)


def test_a_deleted_archived_snapshot_comes_back_archived(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    archive(svc, snapshot_id)
    a_rule(svc, "EBS_SNAPSHOT", 3)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    assert ask(svc, "DescribeSnapshotTierStatus")["SnapshotTierStatuses"] == []
    ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=snapshot_id)
    assert status(svc, snapshot_id)["StorageTier"] == "archive"
    restore(svc, snapshot_id, PermanentRestore=True)
    assert snapshot_blocks(svc, snapshot_id) == {1: "a"}


def test_who_had_an_archived_snapshot_shared_loses_it_until_it_is_shared_anew(
    svc: Services,
) -> None:
    put_accounts(svc, BOB)
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    to_bob = {"Add": [{"UserId": BOB}]}
    everybody = {"Add": [{"Group": "all"}]}
    for given in (to_bob, everybody):
        ask(svc, "ModifySnapshotAttribute", SnapshotId=snapshot_id, CreateVolumePermission=given)
    archive(svc, snapshot_id)
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "CreateVolume", account=BOB, AvailabilityZone=ZONE, SnapshotId=snapshot_id)
    for given in (to_bob, everybody):
        with refused("IncorrectState", "archived"):
            ask(
                svc, "ModifySnapshotAttribute", SnapshotId=snapshot_id, CreateVolumePermission=given
            )
    ask(
        svc,
        "ModifySnapshotAttribute",
        SnapshotId=snapshot_id,
        CreateVolumePermission={"Remove": [{"UserId": BOB}]},
    )
    restore(svc, snapshot_id, PermanentRestore=True)
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "CreateVolume", account=BOB, AvailabilityZone=ZONE, SnapshotId=snapshot_id)
    ask(svc, "ModifySnapshotAttribute", SnapshotId=snapshot_id, CreateVolumePermission=to_bob)
    ask(svc, "CreateVolume", account=BOB, AvailabilityZone=ZONE, SnapshotId=snapshot_id)


def test_an_image_that_is_registered_meanwhile_ends_the_archival(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1, b=2))
    begun = Tiering(
        snapshot_id=snapshot_id,
        region=HERE,
        owner=ALICE,
        move=Move.ARCHIVAL,
        progress=Progress.GOING_ON,
        started_at=svc.clock.now(),
    )
    with svc.catalog.begin() as tx:
        snapshot_tiers.put(tx, begun)
    image = an_image(block_device_mappings=(a_device(snapshot_id=snapshot_id),))
    put(svc, image)
    pass_days(svc, 0)
    told = status(svc, snapshot_id)
    assert (told["StorageTier"], told["LastTieringOperationStatus"]) == (
        "standard",
        "archival-failed",
    )
    assert image.id in told["LastTieringOperationStatusDetail"]
    assert here_and_there(svc) == (2, 0)
    ask(svc, "DisableImage", ImageId=image.id)
    pass_days(svc, 1)
    archive(svc, snapshot_id)
    assert here_and_there(svc) == (0, 2)


def test_an_image_comes_back_from_the_bin_when_its_snapshot_is_out_of_the_archive(
    svc: Services,
) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    image = an_image(block_device_mappings=(a_device(snapshot_id=snapshot_id),))
    put(svc, image)
    a_rule(svc, "EC2_IMAGE", 30)
    ask(svc, "DeregisterImage", ImageId=image.id)
    archive(svc, snapshot_id)
    with refused("IncorrectState", snapshot_id, "archived"):
        ask(svc, "RestoreImageFromRecycleBin", ImageId=image.id)
    restore(svc, snapshot_id, PermanentRestore=True)
    ask(svc, "RestoreImageFromRecycleBin", ImageId=image.id)


def test_a_disabled_image_comes_back_from_the_bin_over_an_archived_snapshot(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    image = an_image(block_device_mappings=(a_device(snapshot_id=snapshot_id),))
    put(svc, image)
    ask(svc, "DisableImage", ImageId=image.id)
    archive(svc, snapshot_id)
    a_rule(svc, "EC2_IMAGE", 30)
    ask(svc, "DeregisterImage", ImageId=image.id)
    ask(svc, "RestoreImageFromRecycleBin", ImageId=image.id)
    with refused("IncorrectState", snapshot_id, "archived"):
        ask(svc, "EnableImage", ImageId=image.id)


def test_neither_a_launch_nor_a_copy_is_made_of_an_archived_snapshot(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    image = an_image(
        block_device_mappings=(a_device(snapshot_id=snapshot_id),), boot_mode="legacy-bios"
    )
    put(svc, image)
    archive_beneath(svc, snapshot_id)
    with refused("IncorrectState", snapshot_id, "archived"):
        a_running_instance(svc)
    with refused("IncorrectState", snapshot_id, "archived"):
        ask(svc, "CopyImage", Name="copy", SourceImageId=image.id, SourceRegion=HERE)
    assert len(ask(svc, "DescribeImages")["Images"]) == 1


def archive_beneath(svc: Services, snapshot_id: SnapshotId) -> None:
    """As its owner archives what the image of another account lies on."""
    with svc.catalog.begin() as tx:
        snapshot = snapshots.fetch_any(tx, snapshot_id)
        assert snapshot is not None
        snapshots.save(tx, snapshot.archived())


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({}, "MissingParameter"),
        ({"TemporaryRestoreDays": 1, "PermanentRestore": True}, "InvalidParameterCombination"),
        ({"TemporaryRestoreDays": 0}, "InvalidParameterValue"),
        ({"TemporaryRestoreDays": 181}, "InvalidParameterValue"),
    ],
)
def test_a_restoration_is_refused(svc: Services, how: dict[str, Any], code: str) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    archive(svc, snapshot_id)
    with refused(code):
        restore(svc, snapshot_id, **how)


def test_only_what_is_complete_is_archived_and_only_what_is_archived_restored(
    svc: Services,
) -> None:
    put(svc, a_pending_snapshot())
    with refused("IncorrectState", "pending"):
        archive(svc, a_pending_snapshot().id)
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    with refused("IncorrectState", "not archived"):
        restore(svc, snapshot_id, PermanentRestore=True)
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "ModifySnapshotTier", account=BOB, SnapshotId=snapshot_id)
    with refused("InvalidParameterValue", "archive"):
        ask(svc, "ModifySnapshotTier", SnapshotId=snapshot_id, StorageTier="standard")


def test_moves_are_listed_by_filters(svc: Services) -> None:
    volume_id = a_volume(svc, a=1)
    moved = [snapshot_of(svc, volume_id) for _ in range(2)]
    for each in moved:
        archive(svc, each)
    restore(svc, moved[1], PermanentRestore=True)

    def listed(name: str, *values: str, **request: Any) -> list[str]:
        wanted = filtered(name, *values)
        answer = ask(svc, "DescribeSnapshotTierStatus", Filters=wanted, **request)
        return [each["SnapshotId"] for each in answer["SnapshotTierStatuses"]]

    assert listed("last-tiering-operation", "archival-*") == moved[:1]
    assert listed("volume-id", volume_id) == moved
    assert listed("volume-id", volume_id, account=BOB) == []
    with refused("InvalidParameterValue", "colour"):
        listed("colour", "red")
