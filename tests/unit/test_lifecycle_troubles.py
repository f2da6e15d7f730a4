"""Lifecycle policies where things go wrong: clocks that jump, changes meanwhile, what fails."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.actions.lifecycle import retention as lifecycle_retention
from openami.actions.lifecycle import runs as lifecycle_runs
from openami.actions.lifecycle.objects import Settled, fulfil
from openami.catalog import images as image_rows
from openami.catalog import lifecycle_policies as policy_rows
from openami.catalog import lifecycle_runs as run_rows
from openami.domain.ids import ImageId
from openami.domain.image import ImageState
from openami.domain.lifecycle_run import LifecycleRun, RunStage
from openami.services import Services
from support.asking import ask, refused
from support.builders import ZONE
from support.lifecycle import (
    TAG,
    a_policy,
    a_schedule,
    an_instance,
    days,
    details,
    dlm,
    images,
    later,
    services_with_an_image,
    snapshots,
    tag,
    tags_of,
    the_policy,
    wait,
)

AGE = {"Interval": 2, "IntervalUnit": "DAYS"}


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services_with_an_image(tmp_path)


def ticks(svc: Services) -> list[str]:
    return sorted(image["Name"].rpartition("_")[2] for image in images(svc))


def failed(svc: Services, image: dict[str, Any]) -> None:
    """The image never became whole."""
    with svc.catalog.begin() as tx:
        found = image_rows.fetch_any(tx, ImageId(image["ImageId"]))
        assert found is not None
        image_rows.save(tx, replace(found, state=ImageState.FAILED))
        (run,) = [
            each for each in run_rows.in_stage(tx, RunStage.KEPT) if each.image_id == found.id
        ]
        run_rows.save(tx, replace(run, stage=RunStage.FAILED))


def runs_of(svc: Services, stage: RunStage) -> list[LifecycleRun]:
    with svc.catalog.read() as tx:
        return run_rows.in_stage(tx, stage)


def planned(svc: Services) -> LifecycleRun:
    """A run that is due and not begun."""
    wait(svc, hours=3)
    with svc.catalog.read() as tx:
        (policy,) = policy_rows.everyone(tx)
    lifecycle_runs._plan(svc, policy)  # pyright: ignore[reportPrivateUsage]
    (run,) = runs_of(svc, RunStage.DUE)
    return run


def test_after_a_clock_that_ran_years_ahead_a_policy_goes_on(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc)
    later(svc, days=1)
    later(svc, days=3650)
    assert len(images(svc)) == 2
    wait(svc, days=-3650)
    for _ in days(svc, 3):
        pass
    assert ticks(svc) == ["2024-01-01T03.00", "2024-01-03T03.00", "2024-01-04T03.00"]
    for _ in days(svc, 2):
        pass
    assert ticks(svc) == ["2024-01-04T03.00", "2024-01-05T03.00", "2024-01-06T03.00"]


def test_a_clock_set_back_by_an_hour_makes_nothing_twice(svc: Services) -> None:
    an_instance(svc)
    hourly = a_schedule(CreateRule={"Interval": 1, "IntervalUnit": "HOURS", "Times": ["00:00"]})
    a_policy(svc, details(hourly))
    for _ in range(4):
        later(svc, hours=1)
    before = ticks(svc)
    wait(svc, hours=-1)
    for _ in range(4):
        later(svc, minutes=20)
        assert ticks(svc) == before
    later(svc, hours=1)
    assert ticks(svc) == ["2024-01-01T03.00", "2024-01-01T04.00", "2024-01-01T05.00"]


def test_a_default_policy_is_not_deceived_by_a_backup_of_the_future(svc: Services) -> None:
    ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)
    a_policy(svc, DefaultPolicy="VOLUME", Exclusions={"ExcludeBootVolumes": True})
    wait(svc, days=3650)
    later(svc, hours=1)
    wait(svc, days=-3650)
    for _ in days(svc, 3):
        pass
    assert len(snapshots(svc)) == 3


def test_a_policy_disabled_while_it_runs_makes_nothing_more(svc: Services) -> None:
    an_instance(svc)
    policy_id = a_policy(svc)
    run = planned(svc)
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, State="DISABLED")
    with pytest.raises(Settled), svc.catalog.begin() as tx:
        fulfil(tx, run, None, ())


def test_a_policy_that_lost_the_schedule_while_it_runs_makes_nothing_more(svc: Services) -> None:
    an_instance(svc)
    policy_id = a_policy(svc)
    run = planned(svc)
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=details(weekly()))
    with pytest.raises(Settled), svc.catalog.begin() as tx:
        fulfil(tx, run, None, ())


def weekly(**but: Any) -> dict[str, Any]:
    monday = {"CronExpression": "cron(0 5 ? * MON *)"}
    return a_schedule(Name="weekly", CreateRule=monday, **but)


def test_what_a_schedule_made_is_managed_no_more_when_its_name_is_gone(svc: Services) -> None:
    an_instance(svc)
    policy_id = a_policy(svc, details(a_schedule(RetainRule=AGE)))
    for _ in days(svc, 2):
        pass
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=details(weekly()))
    for _ in days(svc, 5):
        pass
    assert ticks(svc) == ["2024-01-01T03.00", "2024-01-02T03.00"]
    assert runs_of(svc, RunStage.KEPT) == []


def test_a_schedule_without_a_name_keeps_what_it_made_when_the_one_before_it_goes(
    svc: Services,
) -> None:
    an_instance(svc)
    many, few = a_schedule(RetainRule={"Count": 9}), weekly(RetainRule={"Count": 1})
    del many["Name"], few["Name"]
    policy_id = a_policy(svc, details(many, few))
    for _ in days(svc, 5):
        pass
    assert len(images(svc)) == 6
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=details(few))
    for _ in days(svc, 5):
        pass
    assert ticks(svc) == [*(f"2024-01-0{day}T03.00" for day in range(1, 6)), "2024-01-08T05.00"]


def test_a_schedule_without_a_name_keeps_what_it_made_when_its_hour_is_another(
    svc: Services,
) -> None:
    an_instance(svc)
    before = a_schedule(RetainRule={"Count": 2})
    del before["Name"]
    policy_id = a_policy(svc, details(before))
    for _ in days(svc, 2):
        pass
    after = {**before, "CreateRule": {"Interval": 24, "IntervalUnit": "HOURS", "Times": ["05:00"]}}
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=details(after))
    for _ in days(svc, 2):
        pass
    assert ticks(svc) == ["2024-01-03T05.00", "2024-01-04T05.00"]


def test_a_count_cannot_become_an_age(svc: Services) -> None:
    policy_id = a_policy(svc)
    with refused("InvalidRequestException", "count"):
        dlm(
            svc,
            "UpdateLifecyclePolicy",
            PolicyId=policy_id,
            PolicyDetails=details(a_schedule(RetainRule=AGE)),
        )


def test_what_loses_its_tag_is_managed_no_more(svc: Services) -> None:
    instance_id = an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule=AGE)))
    for _ in days(svc, 2):
        pass
    ask(svc, "DeleteTags", Resources=[instance_id], Tags=[TAG])
    for _ in days(svc, 5):
        assert len(images(svc)) == 2
    tag(svc, instance_id)
    later(svc, days=1)
    assert ticks(svc) == ["2024-01-08T03.00"]


def test_the_last_good_image_of_an_instance_that_is_gone_stays_though_a_later_one_failed(
    svc: Services,
) -> None:
    instance_id = an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule=AGE)))
    for _ in days(svc, 2):
        pass
    failed(svc, images(svc)[1])
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    for _ in days(svc, 5):
        pass
    assert "2024-01-01T03.00" in ticks(svc)


def test_an_image_deregistered_by_its_owner_is_not_the_last_one_that_stays(svc: Services) -> None:
    instance_id = an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule=AGE)))
    for _ in days(svc, 2):
        pass
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    ask(svc, "DeregisterImage", ImageId=images(svc)[1]["ImageId"], DeleteAssociatedSnapshots=True)
    for _ in days(svc, 5):
        pass
    assert ticks(svc) == ["2024-01-01T03.00"]


def test_failed_images_do_not_pile_up(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc)
    for _ in days(svc, 5):
        failed(svc, images(svc)[-1])
        assert len(images(svc)) == 1


def test_an_age_begins_when_the_image_is_made_and_not_when_it_should_have_been(
    svc: Services,
) -> None:
    an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Interval": 1, "IntervalUnit": "DAYS"})))
    later(svc, days=1, hours=2)
    (image,) = images(svc)
    assert tags_of(image)["aws:dlm:expirationTime"] == "2024-01-03T02:00:00.000+0000"
    wait(svc, minutes=50)
    lifecycle_runs.sweep(svc)
    assert images(svc) == [image]


def test_a_policy_whose_cron_has_had_its_last_run_can_still_be_changed(svc: Services) -> None:
    once = a_schedule(CreateRule={"CronExpression": "cron(0 9 2 1 ? 2024)"})
    policy_id = a_policy(svc, details(once))
    later(svc, days=9)
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, State="DISABLED")
    assert the_policy(svc, policy_id)["State"] == "DISABLED"
    with refused("InvalidRequestException", "never runs"):
        again = details({**once, "CopyTags": True})
        dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=again)


def test_a_policy_deleted_between_two_effects_of_a_sweep_ends_it_quietly(svc: Services) -> None:
    """What the sweep read before is of no account: it looks again before each effect."""
    an_instance(svc)
    policy_id = a_policy(svc, details(a_schedule(RetainRule=AGE)))
    later(svc, days=1)
    wait(svc, days=9)
    lifecycle_retention.doom(svc)
    assert len(runs_of(svc, RunStage.DOOMED)) == 1
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, State="DISABLED")
    lifecycle_retention.delete(svc)
    assert len(images(svc)) == 1
    dlm(svc, "DeleteLifecyclePolicy", PolicyId=policy_id)
    later(svc, days=1)
    assert len(images(svc)) == 1


def test_what_is_locked_or_protected_is_deleted_once_that_is_allowed(svc: Services) -> None:
    an_instance(svc)
    a_policy(svc, details(a_schedule(RetainRule={"Count": 1})))
    later(svc, days=1)
    (first,) = images(svc)
    snapshot_id = first["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    ask(svc, "EnableImageDeregistrationProtection", ImageId=first["ImageId"])
    ask(svc, "LockSnapshot", SnapshotId=snapshot_id, LockMode="governance", LockDuration=30)
    later(svc, days=1)
    assert len(images(svc)) == 2
    ask(svc, "DisableImageDeregistrationProtection", ImageId=first["ImageId"])
    later(svc, days=1)
    assert (len(images(svc)), len(snapshots(svc))) == (1, 2)
    ask(svc, "UnlockSnapshot", SnapshotId=snapshot_id)
    later(svc, minutes=1)
    assert (len(images(svc)), len(snapshots(svc))) == (1, 1)
    assert runs_of(svc, RunStage.DOOMED) == []


def test_a_retain_rule_changed_while_an_image_is_made_counts_as_it_is_then(svc: Services) -> None:
    an_instance(svc)
    policy_id = a_policy(svc, details(a_schedule(RetainRule={"Count": 1})))
    later(svc, days=1)
    with svc.catalog.read() as tx:
        stale = {each.id: each for each in policy_rows.everyone(tx)}
    assert stale
    wait(svc, days=1)
    more = details(a_schedule(RetainRule={"Count": 2}))
    dlm(svc, "UpdateLifecyclePolicy", PolicyId=policy_id, PolicyDetails=more)
    lifecycle_runs.sweep(svc)
    assert len(images(svc)) == 2


def test_a_sweep_that_comes_between_those_of_another_does_nothing_twice(svc: Services) -> None:
    """Two sweeps read the same intents; whoever is second finds them fulfilled."""
    an_instance(svc)
    a_policy(svc)
    run = planned(svc)
    lifecycle_runs.sweep(svc)
    with pytest.raises(Settled), svc.catalog.begin() as tx:
        fulfil(tx, run, None, ())
    assert len(images(svc)) == 1
    assert svc.clock.now() - run.tick < timedelta(days=1)
