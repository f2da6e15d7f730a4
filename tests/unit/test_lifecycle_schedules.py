"""When a lifecycle policy is due: intervals, times of the day, cron expressions, missed runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from openami.domain import cron
from openami.domain.lifecycle_policy import (
    CreateRule,
    CustomPlan,
    LifecyclePolicy,
    Limit,
    Period,
    PolicyId,
    PolicyState,
    PolicyType,
    Schedule,
    Target,
    Unit,
)
from openami.domain.lifecycle_run import LifecycleRun, RunStage, surplus
from openami.domain.lifecycle_schedule import due
from support.builders import ALICE, HERE


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOW = at("2024-01-09")


def ticks(rule: CreateRule, since: datetime, until: datetime) -> list[str]:
    """Every run of the rule, as a sweep each minute would find them."""
    policy = a_policy(rule, created_at=since)
    found: list[str] = []
    now = since
    while now <= until:
        for each in due(policy, now):
            found.append(f"{each.tick:%d %H:%M}")
            policy = a_policy(rule, created_at=since, ran_through={"nightly": each.tick})
        now += timedelta(minutes=1)
    return found


def a_policy(rule: CreateRule, **but: Any) -> LifecyclePolicy:
    schedule = Schedule(name="nightly", named=True, create=rule, retain=Limit(count=1))
    ordinary: dict[str, Any] = {
        "id": PolicyId("policy-1"),
        "region": HERE,
        "owner": ALICE,
        "description": "a test",
        "state": PolicyState.ENABLED,
        "execution_role_arn": "arn:aws:iam::111111111111:role/dlm",
        "created_at": at("2024-01-01"),
        "modified_at": at("2024-01-01"),
        "plan": CustomPlan(
            policy_type=PolicyType.IMAGES,
            target=Target.INSTANCE,
            target_tags=(("a", "b"),),
            schedules=(schedule,),
        ),
    }
    return LifecyclePolicy(**(ordinary | but))


def a_run(tick: datetime) -> LifecycleRun:
    return LifecycleRun(
        policy_id=PolicyId("policy-1"),
        schedule="nightly",
        target="i-1",
        tick=tick,
        region=HERE,
        stage=RunStage.KEPT,
        planned_at=tick,
    )


def test_a_time_of_the_day_is_where_the_intervals_begin() -> None:
    rule = CreateRule(interval_hours=8, time="03:30")
    runs = ticks(rule, at("2024-01-01T04:00"), at("2024-01-02T04:00"))
    assert runs == ["01 11:30", "01 19:30", "02 03:30"]


def test_without_a_time_the_first_run_is_at_the_next_full_minute() -> None:
    rule = CreateRule(interval_hours=24)
    runs = ticks(rule, at("2024-01-01T04:00:30"), at("2024-01-03"))
    assert runs == ["01 04:01", "02 04:01"]


def test_a_run_of_the_very_minute_in_which_the_policy_was_made_is_not_made_up_for() -> None:
    rule = CreateRule(interval_hours=24, time="04:00")
    assert ticks(rule, at("2024-01-01T04:00"), at("2024-01-02T05:00")) == ["02 04:00"]


def test_of_many_missed_runs_the_latest_is_due_once() -> None:
    policy = a_policy(CreateRule(interval_hours=1, time="00:00"))
    (found,) = due(policy, at("2024-03-01T12:34"))
    assert found.tick == at("2024-03-01T12:00")
    later = a_policy(policy.schedules[0].create, ran_through={"nightly": found.tick})
    assert due(later, at("2024-03-01T12:59")) == []


@pytest.mark.parametrize(
    ("state", "runs"), [(PolicyState.ENABLED, 1), (PolicyState.DISABLED, 0), (PolicyState.ERROR, 1)]
)
def test_a_disabled_policy_is_never_due(state: PolicyState, runs: int) -> None:
    policy = a_policy(CreateRule(interval_hours=1), state=state)
    assert len(due(policy, at("2024-01-02"))) == runs


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("cron(0 12 * * ? *)", "2024-01-01T12:00", "2024-01-02T12:00"),
        ("cron(15 10 ? * MON-FRI *)", "2024-01-05T11:00", "2024-01-08T10:15"),
        ("cron(0 18 ? * 2-6 *)", "2024-01-05T19:00", "2024-01-08T18:00"),
        ("cron(0 8 1 * ? *)", "2024-01-02T00:00", "2024-02-01T08:00"),
        ("cron(0 0/6 * * ? *)", "2024-01-01T06:00", "2024-01-01T12:00"),
        ("cron(0 */6 * * ? *)", "2024-01-01T07:00", "2024-01-01T12:00"),
        ("cron(0 8-18/5 * * ? *)", "2024-01-01T13:00", "2024-01-01T18:00"),
        ("cron(0 9 L * ? *)", "2024-02-01T00:00", "2024-02-29T09:00"),
        ("cron(0 9 LW * ? *)", "2024-03-01T00:00", "2024-03-29T09:00"),
        ("cron(0 9 15W * ? *)", "2024-06-01T00:00", "2024-06-14T09:00"),
        ("cron(0 9 1W * ? *)", "2024-06-01T00:00", "2024-06-03T09:00"),
        ("cron(0 9 31W * ? *)", "2024-04-01T00:00", "2024-05-31T09:00"),
        ("cron(0 9 ? * 6L *)", "2024-01-01T00:00", "2024-01-26T09:00"),
        ("cron(0 9 ? * L *)", "2024-01-01T00:00", "2024-01-06T09:00"),
        ("cron(0 9 ? * TUE#2 *)", "2024-01-01T00:00", "2024-01-09T09:00"),
        ("cron(0 9 ? JAN,jul SUN *)", "2024-02-01T00:00", "2024-07-07T09:00"),
        ("cron(0 9 1 1 ? 2030)", "2024-01-01T00:00", "2030-01-01T09:00"),
    ],
)
def test_a_cron_expression_says_when_it_runs_next(text: str, after: str, expected: str) -> None:
    expression = cron.parse(text)
    found = expression.next_after(at(after))
    assert found == at(expected)
    assert next(expression.between(at(after), found)) == found
    assert list(expression.between(at(after), found - timedelta(minutes=1))) == []


def test_a_cron_expression_that_has_no_run_any_more_says_so() -> None:
    assert cron.parse("cron(0 9 1 1 ? 2020)").next_after(at("2024-01-01")) is None


@pytest.mark.parametrize(
    "text",
    [
        "0 12 * * ? *",
        "cron(0 12 * * ?)",
        "cron(0 12 * * * *)",
        "cron(0 12 ? * ? *)",
        "cron(60 12 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 5-2 * * ? *)",
        "cron(0 12 32 * ? *)",
        "cron(0 12 * FOO ? *)",
        "cron(0 12 ? * 8 *)",
        "cron(0 12 ? * 2#6 *)",
        "cron(0 12 * * ? 1969)",
        "cron(0 1/0 * * ? *)",
    ],
)
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(cron.BadCron):
        cron.parse(text)


@pytest.mark.parametrize(
    ("interval", "unit", "expected"),
    [
        (3, Unit.DAYS, "2024-02-03"),
        (2, Unit.WEEKS, "2024-02-14"),
        (1, Unit.MONTHS, "2024-02-29"),
        (13, Unit.MONTHS, "2025-02-28"),
        (1, Unit.YEARS, "2025-01-31"),
    ],
)
def test_a_period_goes_by_the_calendar(interval: int, unit: Unit, expected: str) -> None:
    assert Period(interval=interval, unit=unit).after(at("2024-01-31")) == at(expected)


def test_what_failed_does_not_count_and_goes_with_what_is_older() -> None:
    runs = [a_run(at(f"2024-01-0{day}")) for day in range(1, 7)]
    good = {run: run.tick.day not in (2, 5) for run in runs}
    gone = surplus(runs, good, Limit(count=2), NOW)
    assert sorted(run.tick.day for run in gone) == [1, 2, 3]
    assert surplus(runs, good, Limit(age=Period(interval=1, unit=Unit.DAYS)), NOW) == []


def test_three_years_of_a_daily_policy_with_a_count_of_seven() -> None:
    """The rules alone, a sweep each hour: one run a day, and never more than seven are kept."""
    rule = CreateRule(interval_hours=24, time="03:00")
    policy, kept = a_policy(rule), list[LifecycleRun]()
    now, made = policy.created_at, 0
    while now < policy.created_at + timedelta(days=3 * 365):
        now += timedelta(hours=1)
        for each in due(policy, now):
            policy = a_policy(rule, ran_through={"nightly": each.tick})
            kept.append(a_run(each.tick))
            made += 1
            gone = surplus(kept, dict.fromkeys(kept, True), Limit(count=7), now)
            kept = [run for run in kept if run not in gone]
            assert len(kept) == min(made, 7)
    assert made == 3 * 365
    assert [f"{run.tick:%Y-%m-%d}" for run in kept] == [f"2026-12-{n}" for n in range(24, 31)]
