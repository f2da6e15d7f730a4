"""What a schedule's rules do after an image or snapshot is made: deprecate, copy, share."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.actions.lifecycle import runs as lifecycle_runs
from openami.catalog import lifecycle_runs as run_rows
from openami.domain.lifecycle_run import RunStage
from openami.services import Services
from support.asking import ask, put_accounts, refused
from support.builders import BOB, THERE, ZONE
from support.lifecycle import (
    a_policy,
    a_schedule,
    a_volume,
    an_instance,
    days,
    details,
    dlm,
    images,
    later,
    services_with_an_image,
    snapshots,
    tags_of,
    the_policy,
    wait,
)


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services_with_an_image(tmp_path)


def another_disk(svc: Services, instance_id: str, device: str, *tags: dict[str, str]) -> str:
    """A data volume of the instance."""
    volume_id = str(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])
    if tags:
        ask(svc, "CreateTags", Resources=[volume_id], Tags=list(tags))
    ask(svc, "AttachVolume", VolumeId=volume_id, InstanceId=instance_id, Device=device)
    return volume_id


def told(svc: Services, policy_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the policy's schedule says of all that was given."""
    (schedule,) = the_policy(svc, policy_id)["PolicyDetails"]["Schedules"]
    schedule["CreateRule"].pop("Location", None)
    return {name: schedule[name] for name in given}


def of_days(count: int) -> dict[str, Any]:
    return {"Interval": count, "IntervalUnit": "DAYS"}


def deprecated(svc: Services) -> dict[str, str | None]:
    """Day of the image's run → when it is deprecated."""
    return {
        image["Name"].rpartition("_")[2][:10]: image.get("DeprecationTime") for image in images(svc)
    }


def test_images_are_deprecated_when_they_reach_an_age(svc: Services) -> None:
    an_instance(svc)
    schedule = a_schedule(RetainRule=of_days(4), DeprecateRule=of_days(2))
    policy_id = a_policy(svc, details(schedule))
    assert told(svc, policy_id, schedule) == schedule
    for _ in days(svc, 4):
        pass
    assert deprecated(svc) == {
        "2024-01-01": "2024-01-04T00:01:00.000Z",
        "2024-01-02": "2024-01-05T00:01:00.000Z",
        "2024-01-03": None,
        "2024-01-04": None,
    }


def test_the_oldest_of_those_that_are_retained_by_count_are_deprecated(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Count": 3}, DeprecateRule={"Count": 2})))
    for _ in days(svc, 5):
        pass
    found = deprecated(svc)
    assert [day for day, at in found.items() if at is not None] == ["2024-01-03", "2024-01-04"]
    assert found["2024-01-05"] is None


def test_what_its_owner_decides_of_a_deprecation_is_not_overridden(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Count": 9}, DeprecateRule={"Count": 8})))
    for _ in days(svc, 2):
        pass
    first, second = images(svc)
    assert first["DeprecationTime"]
    ask(svc, "DisableImageDeprecation", ImageId=first["ImageId"])
    its_own = datetime(2030, 1, 1, tzinfo=UTC)
    ask(svc, "EnableImageDeprecation", ImageId=second["ImageId"], DeprecateAt=its_own)
    for _ in days(svc, 2):
        pass
    found = list(deprecated(svc).values())
    assert found[:2] == [None, "2030-01-01T00:00:00.000Z"]
    assert found[2] is not None


class PassingClock:
    """One that goes on while it is looked at, as real ones do."""

    def __init__(self, svc: Services) -> None:
        self._now = svc.clock.now()

    def now(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now


def test_images_are_deprecated_though_time_passes_meanwhile(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Count": 2}, DeprecateRule={"Count": 2})))
    wait(svc, days=1)
    lifecycle_runs.sweep(replace(svc, clock=PassingClock(svc)))
    (image,) = images(svc)
    assert image["DeprecationTime"]


def test_a_smaller_count_takes_what_was_never_deprecated(svc: Services) -> None:
    an_instance(svc)
    policy_id = a_policy(svc, details(a_schedule(RetainRule={"Count": 9})))
    for _ in days(svc, 4):
        pass
    fewer = details(a_schedule(RetainRule={"Count": 2}, DeprecateRule={"Count": 1}))
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=fewer)
    later(svc, days=1)
    found = deprecated(svc)
    assert list(found) == ["2024-01-04", "2024-01-05"]
    assert [at is not None for at in found.values()] == [True, False]


def there(svc: Services, operation: str) -> list[dict[str, Any]]:
    """The images or snapshots of DLM in the other region, oldest first."""
    of_alice = {"Owners": ["self"]} if operation == "DescribeImages" else {"OwnerIds": ["self"]}
    answer = ask(svc, operation, region=THERE, **of_alice)
    return next(iter(each for each in answer.values() if isinstance(each, list)))


def test_images_are_copied_to_another_region_where_they_have_a_life_of_their_own(
    svc: Services,
) -> None:
    instance_id = an_instance(svc)
    copy = {
        "TargetRegion": THERE,
        "Encrypted": False,
        "CopyTags": True,
        "RetainRule": of_days(3),
        "DeprecateRule": of_days(1),
    }
    schedule = a_schedule(
        RetainRule={"Count": 1},
        TagsToAdd=[{"Key": "kind", "Value": "backup"}],
        CrossRegionCopyRules=[copy],
    )
    policy_id = a_policy(svc, details(schedule))
    assert told(svc, policy_id, schedule) == schedule
    later(svc, days=1)
    later(svc, minutes=1)
    (copied,) = there(svc, "DescribeImages")
    (image,) = images(svc)
    assert copied["State"] == "available"
    assert copied["SourceImageId"] == image["ImageId"]
    assert copied["Name"] == image["Name"] == f"{policy_id}_{instance_id}_1_2024-01-01T03.00"
    assert tags_of(copied) == {
        "kind": "backup",
        "dlm:managed": "true",
        "aws:dlm:lifecycle-policy-id": policy_id,
        "aws:dlm:lifecycle-schedule-name": "nightly",
        "aws:dlm:expirationTime": "2024-01-05T00:00:00.000+0000",
    }
    (snapshot,) = there(svc, "DescribeSnapshots")
    assert tags_of(snapshot) == tags_of(copied)
    counts: list[tuple[int, int, int]] = []
    for _ in days(svc, 6):
        later(svc, minutes=1)
        of_there = there(svc, "DescribeImages")
        old = sum("DeprecationTime" in each for each in of_there)
        counts.append((len(images(svc)), len(of_there), old))
        assert len(there(svc, "DescribeSnapshots")) == len(of_there)
    assert counts[-3:] == [(1, 3, 2)] * 3


def test_snapshots_are_copied_without_tags_unless_asked_and_stay_without_a_rule(
    svc: Services,
) -> None:
    a_volume(svc)
    schedule = a_schedule(
        RetainRule={"Count": 1},
        TagsToAdd=[{"Key": "kind", "Value": "backup"}],
        CrossRegionCopyRules=[{"Target": THERE, "Encrypted": False, "CopyTags": False}],
    )
    policy_id = a_policy(svc, details(schedule, images=False))
    assert told(svc, policy_id, schedule) == schedule
    for _ in days(svc, 3):
        later(svc, minutes=1)
    assert len(snapshots(svc)) == 1
    found = there(svc, "DescribeSnapshots")
    assert [each["State"] for each in found] == ["completed"] * 3
    assert "kind" not in tags_of(found[0])
    assert tags_of(found[0])["aws:dlm:lifecycle-policy-id"] == policy_id
    with svc.catalog.read() as tx:
        assert len(run_rows.in_stage(tx, RunStage.KEPT)) == 1


def test_a_default_policy_copies_to_other_regions(svc: Services) -> None:
    a_volume(svc)
    policy_id = a_policy(
        svc,
        DefaultPolicy="VOLUME",
        RetainInterval=2,
        Exclusions={"ExcludeBootVolumes": True},
        CrossRegionCopyTargets=[{"TargetRegion": THERE}],
    )
    told = the_policy(svc, policy_id)["PolicyDetails"]
    assert told["CrossRegionCopyTargets"] == [{"TargetRegion": THERE}]
    for _ in days(svc, 5):
        later(svc, minutes=1)
    assert len(snapshots(svc)) == len(there(svc, "DescribeSnapshots")) == 2


def test_a_copy_whose_source_is_gone_is_not_tried_again(svc: Services) -> None:
    a_volume(svc)
    copy = {"Target": THERE, "Encrypted": False, "CopyTags": False}
    a_policy(svc, details(a_schedule(CrossRegionCopyRules=[copy]), images=False))
    later(svc, days=1)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshots(svc)[0]["SnapshotId"])
    later(svc, minutes=1)
    assert there(svc, "DescribeSnapshots") == []
    with svc.catalog.read() as tx:
        assert run_rows.in_stage(tx, RunStage.DUE) == []


def test_a_copy_of_an_image_that_was_deregistered_is_not_tried_again(svc: Services) -> None:
    an_instance(svc)
    copy = {"TargetRegion": THERE, "Encrypted": False, "CopyTags": False}
    policy_id = a_policy(svc, details(a_schedule(CrossRegionCopyRules=[copy])))
    later(svc, days=1)
    ask(svc, "DeregisterImage", ImageId=images(svc)[0]["ImageId"])
    later(svc, minutes=1)
    assert there(svc, "DescribeImages") == []
    with svc.catalog.read() as tx:
        assert run_rows.in_stage(tx, RunStage.DUE) == []
    assert the_policy(svc, policy_id)["State"] == "ENABLED"


def test_copies_wait_for_one_another(svc: Services) -> None:
    """A quota refuses some; they are tried again, and none is lost or made twice."""
    for _ in range(3):
        a_volume(svc)
    copy = {"Target": THERE, "Encrypted": False, "CopyTags": False, "RetainRule": of_days(9)}
    policy_id = a_policy(svc, details(a_schedule(CrossRegionCopyRules=[copy]), images=False))
    later(svc, days=1)
    none = replace(svc, settings=replace(svc.settings, snapshot_copies_max=0))
    later(none, hours=2)
    assert there(svc, "DescribeSnapshots") == []
    assert "ResourceLimitExceeded" in the_policy(svc, policy_id)["StatusMessage"]
    later(svc, minutes=1)
    later(svc, minutes=1)
    assert len(there(svc, "DescribeSnapshots")) == 3
    assert the_policy(svc, policy_id)["State"] == "ENABLED"


def permissions(svc: Services, snapshot_id: str) -> list[str]:
    asked = {"SnapshotId": snapshot_id, "Attribute": "createVolumePermission"}
    found = ask(svc, "DescribeSnapshotAttribute", **asked)["CreateVolumePermissions"]
    return [each["UserId"] for each in found]


def test_snapshots_are_shared_until_their_time_has_come(svc: Services) -> None:
    put_accounts(svc, BOB)
    a_volume(svc)
    share = {"TargetAccounts": [BOB], "UnshareInterval": 2, "UnshareIntervalUnit": "DAYS"}
    schedule = a_schedule(RetainRule={"Count": 9}, ShareRules=[share])
    policy_id = a_policy(svc, details(schedule, images=False))
    assert told(svc, policy_id, schedule) == schedule
    later(svc, days=1)
    (first,) = snapshots(svc)
    assert permissions(svc, first["SnapshotId"]) == [BOB]
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, State="DISABLED")
    later(svc, days=1)
    assert permissions(svc, first["SnapshotId"]) == [BOB]
    later(svc, days=1)
    assert permissions(svc, first["SnapshotId"]) == []


def test_snapshots_are_shared_for_good_without_an_interval(svc: Services) -> None:
    put_accounts(svc, BOB)
    a_volume(svc)
    schedule = a_schedule(RetainRule={"Count": 9}, ShareRules=[{"TargetAccounts": [BOB]}])
    a_policy(svc, details(schedule, images=False))
    for _ in days(svc, 9):
        pass
    assert {tuple(permissions(svc, each["SnapshotId"])) for each in snapshots(svc)} == {(BOB,)}


def test_an_account_that_is_not_there_puts_the_policy_in_error_and_the_snapshot_is_kept(
    svc: Services,
) -> None:
    a_volume(svc)
    schedule = a_schedule(ShareRules=[{"TargetAccounts": ["999999999999"]}])
    policy_id = a_policy(svc, details(schedule, images=False))
    later(svc, days=1)
    assert len(snapshots(svc)) == 1
    found = the_policy(svc, policy_id)
    assert (found["State"], "999999999999" in found["StatusMessage"]) == ("ERROR", True)


def sets(svc: Services) -> list[set[str]]:
    """The volumes of each set of snapshots that DLM made, in the order of their names."""
    by_run: dict[str, set[str]] = {}
    for each in snapshots(svc):
        by_run.setdefault(tags_of(each)["run"], set()).add(each["VolumeId"])
    return [by_run[name] for name in sorted(by_run)]


def of_instances(*schedules: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    more = {"Parameters": parameters} if parameters else {}
    return details(*schedules, images=False, ResourceTypes=["INSTANCE"], **more)


RUN = [{"Key": "run", "Value": "$(timestamp)"}]


def test_all_volumes_of_an_instance_are_snapshotted_at_one_moment(svc: Services) -> None:
    instance_id = an_instance(svc)
    data = another_disk(svc, instance_id, "/dev/sdf", {"Key": "holds", "Value": "data"})
    schedule = a_schedule(RetainRule={"Count": 2}, CopyTags=True, VariableTags=RUN)
    policy_id = a_policy(svc, of_instances(schedule))
    for _ in days(svc, 4):
        pass
    (root,) = {each for one in sets(svc) for each in one} - {data}
    assert sets(svc) == [{root, data}] * 2
    assert {each["State"] for each in snapshots(svc)} == {"completed"}
    (newest,) = [each for each in snapshots(svc)[2:] if each["VolumeId"] == data]
    assert tags_of(newest) == {
        "holds": "data",
        "run": "2024-01-04T03:00:00Z",
        "dlm:managed": "true",
        "aws:dlm:lifecycle-policy-id": policy_id,
        "aws:dlm:lifecycle-schedule-name": "nightly",
    }


def test_boot_volumes_and_data_volumes_with_a_tag_are_left_out(svc: Services) -> None:
    instance_id, bare = an_instance(svc), an_instance(svc)
    kept = another_disk(svc, instance_id, "/dev/sdf")
    scratch = {"Key": "holds", "Value": "scratch"}
    another_disk(svc, instance_id, "/dev/sdg", scratch)
    parameters = {"ExcludeBootVolume": True, "ExcludeDataVolumeTags": [scratch]}
    plan = of_instances(a_schedule(VariableTags=RUN), **parameters)
    policy_id = a_policy(svc, plan)
    told = the_policy(svc, policy_id)
    assert told["PolicyDetails"]["Parameters"] == parameters
    later(svc, days=1)
    assert sets(svc) == [{kept}]
    assert bare not in str(the_policy(svc, policy_id))
    assert the_policy(svc, policy_id)["State"] == "ENABLED"


def test_each_snapshot_of_a_set_is_copied_and_shared(svc: Services) -> None:
    put_accounts(svc, BOB)
    instance_id = an_instance(svc)
    another_disk(svc, instance_id, "/dev/sdf")
    copy = {"Target": THERE, "Encrypted": False, "CopyTags": False, "RetainRule": of_days(2)}
    schedule = a_schedule(
        RetainRule={"Count": 1}, CrossRegionCopyRules=[copy], ShareRules=[{"TargetAccounts": [BOB]}]
    )
    a_policy(svc, of_instances(schedule))
    for _ in days(svc, 5):
        later(svc, minutes=1)
    assert len(snapshots(svc)) == 2
    assert {tuple(permissions(svc, each["SnapshotId"])) for each in snapshots(svc)} == {(BOB,)}
    assert len(there(svc, "DescribeSnapshots")) == 4


def fast(svc: Services) -> dict[str, str]:
    """Snapshot → in which zone fast restores of it are enabled."""
    found = ask(svc, "DescribeFastSnapshotRestores")["FastSnapshotRestores"]
    on = [each for each in found if each["State"] in ("enabling", "optimizing", "enabled")]
    return {each["SnapshotId"]: each["AvailabilityZone"] for each in on}


def test_the_newest_snapshots_are_at_hand_for_fast_restores(svc: Services) -> None:
    a_volume(svc)
    rule = {"Count": 2, "AvailabilityZones": [ZONE]}
    schedule = a_schedule(RetainRule={"Count": 4}, FastRestoreRule=rule)
    policy_id = a_policy(svc, details(schedule, images=False))
    assert told(svc, policy_id, schedule) == schedule
    for _ in days(svc, 5):
        later(svc, minutes=1)
    ids = [each["SnapshotId"] for each in snapshots(svc)]
    assert fast(svc) == dict.fromkeys(ids[-2:], ZONE)


def test_fast_restores_last_for_an_age_in_zones_by_their_ids(svc: Services) -> None:
    a_volume(svc)
    rule = {**of_days(1), "AvailabilityZoneIds": ["use1-az2"]}
    schedule = a_schedule(RetainRule=of_days(9), FastRestoreRule=rule)
    policy_id = a_policy(svc, details(schedule, images=False))
    assert told(svc, policy_id, schedule) == schedule
    for _ in days(svc, 3):
        later(svc, minutes=1)
    ids = [each["SnapshotId"] for each in snapshots(svc)]
    assert fast(svc) == {ids[-1]: "us-east-1b"}


def tiers(svc: Services) -> list[str]:
    return [each["StorageTier"] for each in snapshots(svc)]


def archived_for(**limit: Any) -> dict[str, Any]:
    return {"RetainRule": {"RetentionArchiveTier": limit}}


def test_what_a_count_no_longer_retains_is_archived_and_then_deleted(svc: Services) -> None:
    a_volume(svc)
    schedule = a_schedule(RetainRule={"Count": 2}, ArchiveRule=archived_for(Count=3))
    policy_id = a_policy(svc, details(schedule, images=False))
    assert told(svc, policy_id, schedule) == schedule
    for _ in days(svc, 9):
        later(svc, minutes=1)
    assert tiers(svc) == ["archive"] * 3 + ["standard"] * 2
    assert [f"{each['StartTime']:%d}" for each in snapshots(svc)] == ["06", "07", "08", "09", "10"]


def test_what_an_age_no_longer_retains_is_archived_for_another(svc: Services) -> None:
    a_volume(svc)
    schedule = a_schedule(RetainRule=of_days(2), ArchiveRule=archived_for(**of_days(3)))
    a_policy(svc, details(schedule, images=False))
    for _ in days(svc, 9):
        later(svc, minutes=1)
    assert tiers(svc) == ["archive"] * 3 + ["standard"] * 2


@pytest.mark.parametrize("none", [{"Count": 0}, of_days(0)])
def test_snapshots_may_be_archived_at_once(svc: Services, none: dict[str, Any]) -> None:
    a_volume(svc)
    archive = archived_for(**({"Count": 9} if "Count" in none else of_days(9)))
    a_policy(svc, details(a_schedule(RetainRule=none, ArchiveRule=archive), images=False))
    for _ in days(svc, 3):
        later(svc, minutes=1)
    assert tiers(svc) == ["archive"] * 3


def test_a_snapshot_that_an_image_needs_waits_for_its_archive(svc: Services) -> None:
    a_volume(svc)
    schedule = a_schedule(RetainRule={"Count": 1}, ArchiveRule=archived_for(Count=9))
    a_policy(svc, details(schedule, images=False))
    later(svc, days=1)
    device = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshots(svc)[0]["SnapshotId"]}}
    asked = {"Name": "mine", "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": [device]}
    image_id = ask(svc, "RegisterImage", **asked)["ImageId"]
    for _ in days(svc, 2):
        pass
    assert tiers(svc) == ["standard", "archive", "standard"]
    ask(svc, "DeregisterImage", ImageId=image_id)
    later(svc, minutes=1)
    assert tiers(svc) == ["archive", "archive", "standard"]


def test_without_its_archive_rule_what_is_archived_stays(svc: Services) -> None:
    a_volume(svc)
    schedule = a_schedule(RetainRule={"Count": 1}, ArchiveRule=archived_for(Count=1))
    policy_id = a_policy(svc, details(schedule, images=False))
    for _ in days(svc, 2):
        later(svc, minutes=1)
    without = details(a_schedule(RetainRule={"Count": 1}), images=False)
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=without)
    for _ in days(svc, 4):
        later(svc, minutes=1)
    assert tiers(svc) == ["archive", "standard"]


def _copied(**but: Any) -> dict[str, Any]:
    rule = {"TargetRegion": THERE, "Encrypted": False, "CopyTags": False}
    return details(a_schedule(CrossRegionCopyRules=[{**rule, **but}]))


WRONG: dict[str, dict[str, Any]] = {
    "more deprecated than retained": details(a_schedule(DeprecateRule={"Count": 4})),
    "deprecated by age, retained by count": details(a_schedule(DeprecateRule=of_days(1))),
    "deprecated after it is gone": details(
        a_schedule(RetainRule=of_days(2), DeprecateRule=of_days(3))
    ),
    "snapshots deprecated": details(a_schedule(DeprecateRule={"Count": 1}), images=False),
    "an encrypted copy": _copied(Encrypted=True),
    "a copy with a key": _copied(CmkArn="arn:aws:kms:us-west-2:111111111111:key/1"),
    "a copy to the same region": _copied(TargetRegion="us-east-1"),
    "a copy to nowhere": _copied(TargetRegion="mars-north-1"),
    "a copy of an image to a Target": _copied(TargetRegion=None, Target=THERE),
    "a copy deprecated after it is gone": _copied(RetainRule=of_days(2), DeprecateRule=of_days(3)),
    "two copies to one region": details(
        a_schedule(
            CrossRegionCopyRules=[
                {"TargetRegion": THERE, "Encrypted": False, "CopyTags": tags}
                for tags in (True, False)
            ]
        )
    ),
    "images shared": details(a_schedule(ShareRules=[{"TargetAccounts": [BOB]}])),
    "shared with nobody": details(a_schedule(ShareRules=[{"TargetAccounts": []}]), images=False),
    "shared with what is no account": details(
        a_schedule(ShareRules=[{"TargetAccounts": ["bob"]}]), images=False
    ),
    "shared for days without a number": details(
        a_schedule(ShareRules=[{"TargetAccounts": [BOB], "UnshareIntervalUnit": "DAYS"}]),
        images=False,
    ),
    "images archived": details(a_schedule(ArchiveRule=archived_for(Count=1))),
    "snapshots of instances archived": of_instances(a_schedule(ArchiveRule=archived_for(Count=1))),
    "archived by age, retained by count": details(
        a_schedule(ArchiveRule=archived_for(**of_days(90))), images=False
    ),
    "nothing retained and no archive": details(a_schedule(RetainRule={"Count": 0}), images=False),
    "archived before it is shared": details(
        a_schedule(
            RetainRule={"Count": 0},
            ArchiveRule=archived_for(Count=1),
            ShareRules=[{"TargetAccounts": [BOB]}],
        ),
        images=False,
    ),
    "an archive without a limit": details(a_schedule(ArchiveRule=archived_for()), images=False),
    "fast restores of images": details(
        a_schedule(FastRestoreRule={"Count": 1, "AvailabilityZones": [ZONE]})
    ),
    "fast restores nowhere": details(a_schedule(FastRestoreRule={"Count": 1}), images=False),
    "fast restores in a strange zone": details(
        a_schedule(FastRestoreRule={"Count": 1, "AvailabilityZones": ["mars-1a"]}), images=False
    ),
    "more fast restores than snapshots": details(
        a_schedule(FastRestoreRule={"Count": 4, "AvailabilityZones": [ZONE]}), images=False
    ),
    "NoReboot of snapshots of instances": of_instances(a_schedule(), NoReboot=True),
}


@pytest.mark.parametrize("why", WRONG)
def test_a_rule_that_dlm_does_not_take_is_refused(svc: Services, why: str) -> None:
    with refused("InvalidRequestException"):
        a_policy(svc, WRONG[why])
    assert dlm(svc, "GetLifecyclePolicies")["Policies"] == []


def test_encryption_is_refused_by_name(svc: Services) -> None:
    with refused("InvalidRequestException", "encrypt"):
        a_policy(svc, _copied(Encrypted=True))
