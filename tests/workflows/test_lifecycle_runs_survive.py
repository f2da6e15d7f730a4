"""Lifecycle policies, and what a power cut at every moment of their runs leaves of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore.verify import verify
from openami.catalog import ingests, snapshot_copies
from openami.catalog import lifecycle_runs as run_rows
from openami.domain.lifecycle_run import RunStage
from openami.services import Services
from openami.workflows import region_stores
from support.asking import a_bootable_image, a_running_instance, ask, put_accounts
from support.builders import BOB, HERE, THERE, ZONE
from support.crash import assert_survives
from support.lifecycle import (
    a_policy,
    a_schedule,
    details,
    images,
    later,
    snapshots,
    tag,
    tags_of,
)

pytestmark = pytest.mark.timeout(600)  # two minutes on a quiet machine with one core

WEEK = {"Interval": 7, "IntervalUnit": "DAYS"}


def an_instance(svc: Services) -> str:
    a_bootable_image(svc)
    put_accounts(svc, BOB)
    instance_id = a_running_instance(svc)
    tag(svc, instance_id)
    return instance_id


def what_is_there_is_whole(svc: Services) -> None:
    for region in (HERE, THERE):
        report = verify(svc.stores[region], region_stores.roots(svc.catalog, region))
        assert report.intact, report
    for image in (*images(svc), *there(svc, "Images")):
        if image["State"] == "available":
            (device,) = image["BlockDeviceMappings"]
            asked = {"SnapshotIds": [device["Ebs"]["SnapshotId"]]}
            region = THERE if image.get("SourceImageRegion") and copied(image) else HERE
            (found,) = ask(svc, "DescribeSnapshots", region=region, **asked)["Snapshots"]
            assert found["State"] == "completed"


def copied(image: dict[str, Any]) -> bool:
    return "aws:dlm:expirationTime" in tags_of(image)


def there(svc: Services, what: str) -> list[dict[str, Any]]:
    mine = {"Owners": ["self"]} if what == "Images" else {"OwnerIds": ["self"]}
    found: list[dict[str, Any]] = ask(svc, f"Describe{what}", region=THERE, **mine)[what]
    return found


def all_has_ended(svc: Services) -> None:
    """Two sweeps of a server that was started again have done all that was left."""
    for _ in range(2):
        later(svc, minutes=1)
    what_is_there_is_whole(svc)
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []
        assert snapshot_copies.every(tx) == []
        kept = (RunStage.KEPT, RunStage.ARCHIVED)
        for stage in set(RunStage) - set(kept):
            assert run_rows.in_stage(tx, stage) == [], stage


def test_images_made_displaced_deprecated_and_copied_survive_a_power_cut_at_any_moment(
    tmp_path: Path,
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        an_instance(svc)
        copy = {"TargetRegion": THERE, "Encrypted": False, "CopyTags": False, "RetainRule": WEEK}
        rules = {"RetainRule": {"Count": 1}, "DeprecateRule": {"Count": 1}}
        a_policy(svc, details(a_schedule(**rules, CrossRegionCopyRules=[copy])))
        later(svc, days=1)
        return lambda: later(svc, days=1)  # makes, copies, displaces and deletes in one sweep

    def check_end(svc: Services) -> None:
        all_has_ended(svc)
        (image,) = images(svc)
        assert (image["State"], "DeprecationTime" in image) == ("available", True)
        assert len(snapshots(svc)) == 1
        copies = there(svc, "Images")
        assert {each["State"] for each in copies} == {"available"}
        assert len({each["Name"] for each in copies}) == len(copies)
        assert {len(copies), image["Name"] in {each["Name"] for each in copies}} == {2, True}
        assert len(there(svc, "Snapshots")) == len(copies)

    moments = assert_survives(tmp_path, begin, what_is_there_is_whole, check_end)
    assert moments > 20


def test_sets_of_snapshots_that_are_shared_survive_a_power_cut_at_any_moment(
    tmp_path: Path,
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        instance_id = an_instance(svc)
        data = ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]
        ask(svc, "AttachVolume", VolumeId=data, InstanceId=instance_id, Device="/dev/sdf")
        share = {"TargetAccounts": [BOB], "UnshareInterval": 1, "UnshareIntervalUnit": "DAYS"}
        schedule = a_schedule(RetainRule={"Count": 1}, ShareRules=[share])
        a_policy(svc, details(schedule, images=False, ResourceTypes=["INSTANCE"]))
        later(svc, days=1)
        return lambda: later(svc, days=1)  # makes, copies, displaces and deletes in one sweep

    def check_end(svc: Services) -> None:
        all_has_ended(svc)
        made = snapshots(svc)
        assert len({each["VolumeId"] for each in made}) == len(made) == 2
        assert len({each["StartTime"] for each in made}) == 1
        assert {tuple(shared_with(svc, each)) for each in made} == {(BOB,)}

    moments = assert_survives(tmp_path, begin, what_is_there_is_whole, check_end)
    assert moments > 15


def test_snapshots_archived_and_at_hand_survive_a_power_cut_at_any_moment(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        volume_id = str(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])
        tag(svc, volume_id)
        archive = {"RetainRule": {"RetentionArchiveTier": {"Count": 1}}}
        fast = {"Count": 1, "AvailabilityZones": [ZONE]}
        schedule = a_schedule(RetainRule={"Count": 1}, ArchiveRule=archive, FastRestoreRule=fast)
        a_policy(svc, details(schedule, images=False))
        later(svc, days=1)
        later(svc, days=1)
        return lambda: later(svc, days=1)

    def check_end(svc: Services) -> None:
        all_has_ended(svc)
        made = snapshots(svc)
        assert [each["StorageTier"] for each in made] == ["archive", "standard"]
        found = ask(svc, "DescribeFastSnapshotRestores")["FastSnapshotRestores"]
        on = {each["SnapshotId"] for each in found if not each["State"].startswith("disabl")}
        assert on == {made[1]["SnapshotId"]}

    moments = assert_survives(tmp_path, begin, what_is_there_is_whole, check_end)
    assert moments > 15


def shared_with(svc: Services, snapshot: dict[str, Any]) -> list[str]:
    asked = {"SnapshotId": snapshot["SnapshotId"], "Attribute": "createVolumePermission"}
    found = ask(svc, "DescribeSnapshotAttribute", **asked)["CreateVolumePermissions"]
    return [each["UserId"] for each in found]
