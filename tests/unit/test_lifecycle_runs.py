"""What lifecycle policies make, keep and delete, over days and years."""

from pathlib import Path

import pytest

from openami.actions.lifecycle import runs as lifecycle_runs
from openami.catalog import lifecycle_runs as run_rows
from openami.domain.lifecycle_run import RunStage
from openami.services import Services
from support.asking import a_running_instance, ask
from support.builders import ZONE
from support.lifecycle import (
    TAG,
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


def test_a_schedule_makes_an_image_of_each_instance_with_the_tag(svc: Services) -> None:
    instance_id = an_instance(svc)
    a_running_instance(svc)
    policy_id = a_policy(svc)
    later(svc, hours=2)
    assert images(svc) == []
    later(svc, hours=1, minutes=1)
    (image,) = images(svc)
    assert (image["SourceInstanceId"], image["State"]) == (instance_id, "available")
    assert image["Name"] == f"{policy_id}_{instance_id}_1_2024-01-01T03.00"
    assert image["Description"] == f"Created for policy: {policy_id} schedule: nightly"
    assert tags_of(image) == {
        "aws:dlm:lifecycle-policy-id": policy_id,
        "aws:dlm:lifecycle-schedule-name": "nightly",
        "dlm:managed": "true",
    }
    (snapshot,) = snapshots(svc)
    assert tags_of(snapshot) == tags_of(image)


def test_a_sweep_that_comes_again_makes_nothing_more(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc)
    for _ in range(5):
        later(svc, hours=4)
    assert len(images(svc)) == 1
    later(svc, hours=24)
    assert len(images(svc)) == 2


def test_the_newest_of_each_instance_are_retained_and_the_rest_goes_with_its_snapshots(
    svc: Services,
) -> None:
    first, second = an_instance(svc), an_instance(svc)
    a_policy(svc)
    for day in days(svc, 6):
        assert len(images(svc)) == min(day + 1, 3) * 2
        assert len(snapshots(svc)) == len(images(svc))
    names = [image["Name"].rpartition("_")[2] for image in images(svc)]
    assert sorted(set(names)) == ["2024-01-04T03.00", "2024-01-05T03.00", "2024-01-06T03.00"]
    assert {image["SourceInstanceId"] for image in images(svc)} == {first, second}


def test_what_is_retained_by_age_goes_when_its_time_has_come(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Interval": 2, "IntervalUnit": "DAYS"})))
    counts = [len(images(svc)) for _ in days(svc, 5)]
    assert counts == [1, 2, 2, 2, 2]
    assert tags_of(images(svc)[0])["aws:dlm:expirationTime"] == "2024-01-07T00:00:00.000+0000"


def test_three_years_of_a_monthly_policy_leave_the_newest_seven(svc: Services) -> None:
    volume_id = a_volume(svc)
    monthly = {"CronExpression": "cron(0 3 1 * ? *)"}
    a_policy(svc, details(a_schedule(CreateRule=monthly, RetainRule={"Count": 7}), images=False))
    for _ in range(3 * 12):
        wait(svc, days=30.5)
        lifecycle_runs.sweep(svc)
    found = [(each["VolumeId"], f"{each['StartTime']:%Y-%m}") for each in snapshots(svc)]
    assert found == [(volume_id, f"2026-{month:02}") for month in range(7, 13)] + [
        (volume_id, "2027-01")
    ]
    with svc.catalog.read() as tx:
        assert len(run_rows.in_stage(tx, RunStage.KEPT)) == 7


def test_volumes_are_kept_as_snapshots_with_the_tags_of_the_schedule_and_their_own(
    svc: Services,
) -> None:
    volume_id = a_volume(svc)
    schedule = a_schedule(CopyTags=True, TagsToAdd=[{"Key": "kind", "Value": "backup"}])
    policy_id = a_policy(svc, details(schedule, images=False))
    for day in days(svc, 5):
        assert len(snapshots(svc)) == min(day + 1, 3)
    newest = snapshots(svc)[-1]
    assert (newest["VolumeId"], newest["State"]) == (volume_id, "completed")
    assert tags_of(newest) == {
        "Backup": "daily",
        "kind": "backup",
        "dlm:managed": "true",
        "aws:dlm:lifecycle-policy-id": policy_id,
        "aws:dlm:lifecycle-schedule-name": "nightly",
    }


def test_variable_tags_tell_the_instance_and_the_time(svc: Services) -> None:
    instance_id = an_instance(svc)
    variables = {"of": "$(instance-id)", "at": "$(timestamp)"}
    pairs = [{"Key": key, "Value": value} for key, value in variables.items()]
    a_policy(svc, details(a_schedule(VariableTags=pairs)))
    later(svc, days=1)
    found = tags_of(images(svc)[0])
    assert (found["of"], found["at"]) == (instance_id, "2024-01-01T03:00:00Z")


def test_an_instance_is_rebooted_only_when_the_policy_says_so(svc: Services) -> None:
    instance_id = an_instance(svc)
    a_policy(svc, details(Parameters={"NoReboot": False}))
    later(svc, days=1)
    assert len(images(svc)) == 1
    (status,) = ask(svc, "DescribeInstanceStatus", InstanceIds=[instance_id])["InstanceStatuses"]
    assert status["InstanceState"]["Name"] == "running"


def test_a_disabled_policy_makes_and_deletes_nothing_and_makes_nothing_up(svc: Services) -> None:
    an_instance(svc)
    age = {"Interval": 1, "IntervalUnit": "DAYS"}
    policy_id = a_policy(svc, details(a_schedule(RetainRule=age)))
    later(svc, days=1)
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, State="DISABLED")
    for _ in days(svc, 3):
        assert len(images(svc)) == 1
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, State="ENABLED")
    later(svc, hours=1)
    assert images(svc) == []
    later(svc, hours=3)
    assert len(images(svc)) == 1


def test_what_a_deleted_policy_made_stays(svc: Services) -> None:
    an_instance(svc)
    age = {"Interval": 1, "IntervalUnit": "DAYS"}
    policy_id = a_policy(svc, details(a_schedule(RetainRule=age)))
    later(svc, days=1)
    dlm(svc, "DeleteLifecyclePolicy", PolicyId=policy_id)
    later(svc, days=9)
    assert len(images(svc)) == 1


def test_the_last_image_of_an_instance_that_is_gone_stays(svc: Services) -> None:
    instance_id = an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Interval": 2, "IntervalUnit": "DAYS"})))
    for _ in days(svc, 3):
        pass
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    for _ in days(svc, 5):
        pass
    (image,) = images(svc)
    assert image["Name"].endswith("2024-01-03T03.00")


def test_a_rule_by_cron_runs_when_it_says(svc: Services) -> None:
    an_instance(svc)
    cron = {"CronExpression": "cron(0 4 ? * MON *)"}
    a_policy(svc, details(a_schedule(CreateRule=cron, RetainRule={"Count": 9})))
    for _ in days(svc, 22):
        pass
    names = [image["Name"].rpartition("_")[2] for image in images(svc)]
    assert names == ["2024-01-01T04.00", "2024-01-08T04.00", "2024-01-15T04.00", "2024-01-22T04.00"]


def test_runs_that_were_missed_are_made_up_for_once(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc)
    later(svc, days=30)
    (image,) = images(svc)
    assert image["Name"].endswith("2024-01-31T00.00".replace("31T00", "30T03"))


def test_each_of_four_schedules_keeps_its_own(svc: Services) -> None:
    an_instance(svc)
    schedules = [a_schedule(Name=f"s{n}", RetainRule={"Count": n}) for n in range(1, 5)]
    a_policy(svc, details(*schedules))
    for _ in days(svc, 6):
        pass
    found = [tags_of(image)["aws:dlm:lifecycle-schedule-name"] for image in images(svc)]
    assert {name: found.count(name) for name in set(found)} == {"s1": 1, "s2": 2, "s3": 3, "s4": 4}


def test_a_refused_run_puts_the_policy_in_error_until_the_next_one_succeeds(svc: Services) -> None:
    instance_id = an_instance(svc)
    policy_id = a_policy(svc)
    name = f"{policy_id}_{instance_id}_1_2024-01-01T03.00"
    ask(svc, "CreateImage", InstanceId=instance_id, Name=name, NoReboot=True)
    later(svc, hours=3)
    found = the_policy(svc, policy_id)
    assert found["State"] == "ERROR"
    assert "InvalidAMIName.Duplicate" in found["StatusMessage"]
    later(svc, minutes=61)
    with svc.catalog.read() as tx:
        assert run_rows.in_stage(tx, RunStage.DUE) == []
    later(svc, days=1)
    found = the_policy(svc, policy_id)
    assert (found["State"], found["StatusMessage"]) == ("ENABLED", "ENABLED")


def test_a_snapshot_that_another_image_needs_is_left_to_it(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Count": 1})))
    later(svc, days=1)
    (image,) = images(svc)
    root = image["BlockDeviceMappings"][0]
    ask(
        svc,
        "RegisterImage",
        Name="mine",
        RootDeviceName=root["DeviceName"],
        BlockDeviceMappings=[
            {"DeviceName": root["DeviceName"], "Ebs": {"SnapshotId": root["Ebs"]["SnapshotId"]}}
        ],
    )
    later(svc, days=1)
    assert len(images(svc)) == 1
    assert len(snapshots(svc)) == 2
    with svc.catalog.read() as tx:
        assert run_rows.in_stage(tx, RunStage.DOOMED) == []


def test_an_image_that_its_owner_deregistered_is_no_longer_counted(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc)
    for _ in days(svc, 2):
        pass
    ask(svc, "DeregisterImage", ImageId=images(svc)[1]["ImageId"], DeleteAssociatedSnapshots=True)
    for _ in days(svc, 2):
        pass
    names = [image["Name"].rpartition("_")[2] for image in images(svc)]
    assert names == ["2024-01-01T03.00", "2024-01-03T03.00", "2024-01-04T03.00"]


def test_a_default_policy_keeps_what_has_no_recent_backup(svc: Services) -> None:
    kept, young = a_volume(svc), a_volume(svc)
    a_policy(svc, DefaultPolicy="VOLUME", CreateInterval=3, RetainInterval=5)
    ask(svc, "CreateSnapshot", VolumeId=young)
    later(svc, hours=1)
    assert [each["VolumeId"] for each in snapshots(svc)] == [kept]
    for _ in days(svc, 2):
        assert len(snapshots(svc)) == 1
    later(svc, days=1)
    assert [each["VolumeId"] for each in snapshots(svc)] == [kept, kept, young]
    later(svc, days=2)
    assert [each["VolumeId"] for each in snapshots(svc)] == [kept, young]


def test_a_default_policy_leaves_out_what_it_is_told_to(svc: Services) -> None:
    a_running_instance(svc)
    a_volume(svc)
    plain = str(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])
    ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=125, VolumeType="st1")
    left_out = {"ExcludeBootVolumes": True, "ExcludeVolumeTypes": ["st1"], "ExcludeTags": [TAG]}
    a_policy(svc, DefaultPolicy="VOLUME", Exclusions=left_out)
    later(svc, hours=1)
    assert [each["VolumeId"] for each in snapshots(svc)] == [plain]


@pytest.mark.parametrize(("extended", "left"), [(False, 1), (True, 0)])
def test_a_default_policy_deletes_after_its_end_only_if_deletion_is_extended(
    svc: Services, extended: bool, left: int
) -> None:
    a_running_instance(svc)
    policy_id = a_policy(svc, DefaultPolicy="INSTANCE", RetainInterval=2, ExtendDeletion=extended)
    later(svc, hours=1)
    assert len(images(svc)) == 1
    dlm(svc, "DeleteLifecyclePolicy", PolicyId=policy_id)
    assert dlm(svc, "GetLifecyclePolicies")["Policies"] == []
    later(svc, days=3)
    later(svc, days=3)
    assert len(images(svc)) == left
    with svc.catalog.read() as tx:
        assert not run_rows.in_stage(tx, RunStage.KEPT)


def test_tags_of_dlm_are_not_taken_away_by_users(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc)
    later(svc, days=1)
    (image,) = images(svc)
    ask(svc, "DeleteTags", Resources=[image["ImageId"]])
    assert set(tags_of(images(svc)[0])) == {
        "aws:dlm:lifecycle-policy-id",
        "aws:dlm:lifecycle-schedule-name",
    }


def test_a_run_that_was_begun_before_a_crash_makes_one_image(svc: Services) -> None:
    """The intent is there and nothing was made: the next sweep makes it, once."""
    an_instance(svc)
    a_policy(svc)
    wait(svc, hours=3)
    with svc.catalog.read() as tx:
        (policy,) = lifecycle_runs.policies.everyone(tx)
    lifecycle_runs._plan(svc, policy)  # pyright: ignore[reportPrivateUsage]
    lifecycle_runs._plan(svc, policy)  # pyright: ignore[reportPrivateUsage]
    assert images(svc) == []
    later(svc, minutes=1)
    later(svc, minutes=1)
    assert len(images(svc)) == 1
