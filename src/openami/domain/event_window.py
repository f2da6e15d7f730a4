"""An event window: the hours of each week in which an owner would have its instances maintained.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/event-windows.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from openami.domain.errors import EC2Error, InvalidParameterCombination, InvalidParameterValue
from openami.domain.ids import AccountId, EventWindowId, InstanceId, Region

INSTANCES_MAX: Final = 100
TAGS_MAX: Final = 50
NAME_CHARACTERS_MAX: Final = 255

WEEKDAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DAYS: Final = {name[:3].upper(): number for number, name in enumerate(WEEKDAYS)}

_HOURS_OF_A_WEEK: Final = 7 * 24
_RANGE_HOURS_MIN: Final = 2
_WINDOW_HOURS_MIN: Final = 4
_RANGES_MAX: Final = _HOURS_OF_A_WEEK // _RANGE_HOURS_MIN
_CRON_CHARACTERS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """From the beginning of an hour of the week to the beginning of another one, in UTC."""

    start_day: str
    start_hour: int
    end_day: str
    end_hour: int

    def hours(self) -> list[int]:
        """The hours of the week that it covers; the week goes round."""
        start = WEEKDAYS.index(self.start_day) * 24 + self.start_hour
        end = WEEKDAYS.index(self.end_day) * 24 + self.end_hour
        length = (end - start) % _HOURS_OF_A_WEEK
        return [(start + hour) % _HOURS_OF_A_WEEK for hour in range(length)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Ranges, or a cron expression: one of the two."""

    time_ranges: tuple[TimeRange, ...] = ()
    cron_expression: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Instances, or tags of instances: one kind at a time. `instance_tags` are (key, value)."""

    instance_ids: tuple[InstanceId, ...] = ()
    instance_tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWindow:
    id: EventWindowId
    region: Region
    owner: AccountId
    name: str | None = None
    time_ranges: tuple[TimeRange, ...] = ()
    cron_expression: str | None = None
    instance_ids: tuple[InstanceId, ...] = ()
    instance_tags: tuple[tuple[str, str], ...] = ()

    @property
    def has_targets(self) -> bool:
        return bool(self.instance_ids or self.instance_tags)

    def scheduled(self, schedule: Schedule) -> "EventWindow":
        return replace(
            self,
            time_ranges=schedule.time_ranges,
            cron_expression=schedule.cron_expression,
        )

    def with_targets(self, more: Targets) -> "EventWindow":
        """Raises InvalidParameterCombination for targets of two kinds, or a limit."""
        changed = replace(
            self,
            instance_ids=tuple(dict.fromkeys((*self.instance_ids, *more.instance_ids))),
            instance_tags=tuple(dict.fromkeys((*self.instance_tags, *more.instance_tags))),
        )
        if changed.instance_ids and changed.instance_tags:
            raise InvalidParameterCombination(
                f"The event window '{self.id}' can have one type of target only: instance IDs or"
                " instance tags."
            )
        if len(changed.instance_ids) > INSTANCES_MAX or len(changed.instance_tags) > TAGS_MAX:
            raise EC2Error.of(
                "ResourceLimitExceeded",
                f"An event window has at most {INSTANCES_MAX} instance IDs or {TAGS_MAX}"
                " instance tags.",
            )
        return changed

    def without_targets(self, fewer: Targets) -> "EventWindow":
        """What is no target of it is no obstacle."""
        return replace(
            self,
            instance_ids=tuple(
                each for each in self.instance_ids if each not in fewer.instance_ids
            ),
            instance_tags=tuple(
                each for each in self.instance_tags if each not in fewer.instance_tags
            ),
        )


def check_free(targets: Targets, others: Sequence[EventWindow]) -> None:
    """Raises InvalidParameterValue for a target that another window has already."""
    taken = {target: window for window in others for target in _targets(window)}
    for target in (*targets.instance_ids, *targets.instance_tags):
        if target in taken:
            named = target if isinstance(target, str) else "=".join(target)
            raise InvalidParameterValue(
                f"The target '{named}' is associated with the event window '{taken[target].id}'."
            )


def _targets(window: EventWindow) -> Iterator[InstanceId | tuple[str, str]]:
    yield from window.instance_ids
    yield from window.instance_tags


def checked_name(name: str) -> str:
    if len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise InvalidParameterValue(
            f"The name of an event window has at most {NAME_CHARACTERS_MAX} characters."
        )
    return name


def checked_schedule(schedule: Schedule) -> Schedule:
    """Raises InvalidParameterCombination, InvalidParameterValue."""
    if schedule.time_ranges and schedule.cron_expression:
        raise InvalidParameterCombination(
            "Time ranges and a cron expression cannot be specified together."
        )
    if schedule.cron_expression is not None:
        hours = cron_hours(schedule.cron_expression)
    else:
        hours = _hours_of(schedule.time_ranges)
    if len(hours) < _WINDOW_HOURS_MIN:
        raise InvalidParameterValue(
            f"An event window must be at least {_WINDOW_HOURS_MIN} hours of a week."
        )
    return schedule


def _hours_of(ranges: Sequence[TimeRange]) -> frozenset[int]:
    if len(ranges) > _RANGES_MAX:
        raise InvalidParameterValue(f"An event window has at most {_RANGES_MAX} time ranges.")
    for each in ranges:
        if not (0 <= each.start_hour <= 23 and 0 <= each.end_hour <= 23):
            raise InvalidParameterValue("The hour of a time range must be from 0 to 23.")
        if not {each.start_day, each.end_day} <= set(WEEKDAYS):
            raise InvalidParameterValue(
                f"The week day of a time range must be one of {', '.join(WEEKDAYS)}."
            )
        if len(each.hours()) < _RANGE_HOURS_MIN:
            raise InvalidParameterValue(f"A time range must be at least {_RANGE_HOURS_MIN} hours.")
    return frozenset(hour for each in ranges for hour in each.hours())


def cron_hours(text: str) -> frozenset[int]:
    """The hours of the week of `* hours * * weekdays`. Raises InvalidParameterValue."""
    fields = text.split() if len(text) <= _CRON_CHARACTERS_MAX else []
    if len(fields) != 5 or any(fields[place] != "*" for place in (0, 2, 3)):
        raise InvalidParameterValue(
            f"The cron expression '{text[:_CRON_CHARACTERS_MAX]}' is invalid: it must be"
            " '* hours * * weekdays'."
        )
    spans = [_span(part, 23, {}) for part in fields[1].split(",")]
    if any(last - first < _RANGE_HOURS_MIN for first, last in spans):
        raise InvalidParameterValue(
            f"Each hour range of a cron expression must be at least {_RANGE_HOURS_MIN} hours."
        )
    hours = {hour for first, last in spans for hour in range(first, last)}
    return frozenset(day * 24 + hour for day in _weekdays(fields[4]) for hour in hours)


def _weekdays(text: str) -> set[int]:
    if text == "*":
        return set(range(7))
    spans = [_span(part, 6, _DAYS) for part in text.split(",")]
    return {day for first, last in spans for day in range(first, last + 1)}


def _span(text: str, greatest: int, names: Mapping[str, int]) -> tuple[int, int]:
    """The two ends of `2-5`; of a single value, the value twice."""
    if text.upper() in names:
        return names[text.upper()], names[text.upper()]
    found = re.fullmatch(r"([0-9]{1,2})(?:-([0-9]{1,2}))?", text)
    if found is None:
        raise InvalidParameterValue(f"'{text}' in the cron expression is invalid.")
    first, last = int(found[1]), int(found[2] or found[1])
    if not first <= last <= greatest:
        raise InvalidParameterValue(f"'{text}' in the cron expression is out of range.")
    return first, last
