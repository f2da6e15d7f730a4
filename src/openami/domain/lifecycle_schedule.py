"""When a lifecycle policy is due: pure, of the policy, what it ran already, and the time.

A start time is exact. Runs that were missed while nobody swept are made up for once: only the
latest of them is due.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from openami.domain import cron
from openami.domain.lifecycle_policy import CreateRule, LifecyclePolicy, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One schedule's run, named by the moment for which it was planned."""

    schedule: Schedule
    tick: datetime


def due(policy: LifecyclePolicy, now: datetime) -> list[Due]:
    """The runs that are due: at most one per schedule, none of a policy that does not run."""
    if not policy.runs:
        return []
    found: list[Due] = []
    for schedule in policy.schedules:
        after = policy.ran_through.get(schedule.name, policy.created_at)
        tick = latest(schedule.create, anchor(schedule.create, policy.created_at), after, now)
        if tick is not None:
            found.append(Due(schedule=schedule, tick=tick))
    return found


def rewound(policy: LifecyclePolicy, now: datetime) -> LifecyclePolicy:
    """The policy on a clock that was set back: it goes on from now, not when that time comes again.

    What it ran meanwhile has its name already, so nothing is made twice.
    """
    through = {
        schedule.name: now
        for schedule in policy.schedules
        if now < policy.ran_through.get(schedule.name, policy.created_at)
    }
    return replace(policy, ran_through={**policy.ran_through, **through}) if through else policy


def anchor(rule: CreateRule, created_at: datetime) -> datetime:
    """A moment at which an interval begins: the time of the day that the rule names, in UTC.

    Without a time it is the first full minute after the policy was made.
    """
    if rule.time is None:
        return created_at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    hour, minute = rule.time.split(":")
    first_day = (created_at - timedelta(days=1)).astimezone(UTC).date()
    return datetime.combine(first_day, time(int(hour), int(minute)), UTC)


def latest(rule: CreateRule, begins: datetime, after: datetime, until: datetime) -> datetime | None:
    """The last run later than `after` and not later than `until`."""
    if rule.cron is not None:
        return next(cron.parse(rule.cron).between(after, until), None)
    assert rule.interval_hours is not None
    every = timedelta(hours=rule.interval_hours)
    tick = begins + (until - begins) // every * every
    return tick if tick > after else None
