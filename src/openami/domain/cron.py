"""Cron expressions as EventBridge writes them: `cron(minutes hours day month weekday year)`.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
SEARCHED: Final = timedelta(days=9 * 366)  # 29 February is at most eight years away

DaysOf = Callable[[int, int], frozenset[int]]
"""The days that match, in a year and month."""


class BadCron(ValueError):
    """The text is no cron expression; the message says what of it."""


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is to run, in UTC, to the minute."""

    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    years: frozenset[int]
    days: DaysOf

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The runs later than `after` and not later than `until`, the last one first."""
        day = until.astimezone(UTC).date()
        first = after.astimezone(UTC).date()
        while day >= first:
            for moment in reversed(self._of_day(day)):
                if after < moment <= until:
                    yield moment
            day -= timedelta(days=1)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first run later than `moment`; None if there is none any more."""
        day = moment.astimezone(UTC).date()
        last = day + SEARCHED
        while day <= last:
            for each in self._of_day(day):
                if each > moment:
                    return each
            day += timedelta(days=1)
        return None

    def _of_day(self, day: date) -> list[datetime]:
        if day.year not in self.years or day.month not in self.months:
            return []
        if day.day not in self.days(day.year, day.month):
            return []
        return [
            datetime.combine(day, time(hour, minute), UTC)
            for hour in sorted(self.hours)
            for minute in sorted(self.minutes)
        ]


def parse(text: str) -> Cron:
    """Raises BadCron."""
    inner = re.fullmatch(r"cron\((.*)\)", text)
    fields = inner[1].split() if inner else []
    if len(fields) != 6:
        raise BadCron(f"'{text}' is not cron(minutes hours day-of-month month day-of-week year)")
    minutes, hours, month_days, months, weekdays, years = (field.upper() for field in fields)
    if (month_days == "?") == (weekdays == "?"):
        raise BadCron("one of day-of-month and day-of-week is '?', the other one is not")
    return Cron(
        minutes=_values("minutes", minutes, 0, 59),
        hours=_values("hours", hours, 0, 23),
        months=_values("month", months, 1, 12, MONTHS),
        years=_values("year", years, 1970, 2199),
        days=_month_days(month_days) if weekdays == "?" else _weekdays(weekdays),
    )


def _values(
    field: str, text: str, least: int, greatest: int, names: tuple[str, ...] = ()
) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(field, step_text, 1, greatest) if slash else 1
        first, last = _span(field, span, (least, greatest), names)
        if slash and "-" not in span:
            last = greatest
        if first > last:
            raise BadCron(f"{field} '{part}' ends before it begins")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _span(
    field: str, text: str, bounds: tuple[int, int], names: tuple[str, ...]
) -> tuple[int, int]:
    if text == "*":
        return bounds
    first, dash, last = text.partition("-")
    begin = _number(field, first, *bounds, names)
    return begin, (_number(field, last, *bounds, names) if dash else begin)


def _number(field: str, text: str, least: int, greatest: int, names: tuple[str, ...] = ()) -> int:
    if text in names:
        return names.index(text) + least
    if re.fullmatch(r"[0-9]{1,4}", text) is None or not least <= int(text) <= greatest:
        raise BadCron(f"{field} '{text}' is not between {least} and {greatest}")
    return int(text)


def _length(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _month_days(text: str) -> DaysOf:
    """`L` is the last day of the month, `LW` its last workday, `15W` the workday nearest to it."""
    if text == "L":
        return lambda year, month: frozenset((_length(year, month),))
    if text == "LW":
        return lambda year, month: frozenset((_workday(year, month, _length(year, month)),))
    if text.endswith("W"):
        wanted = _number("day-of-month", text[:-1], 1, 31)
        return lambda year, month: (
            frozenset((_workday(year, month, wanted),))
            if wanted <= _length(year, month)
            else frozenset()
        )
    days = _values("day-of-month", text, 1, 31)
    return lambda _year, _month: days


def _workday(year: int, month: int, day: int) -> int:
    """The day itself, or the workday nearest to it within the month."""
    weekday = calendar.weekday(year, month, day)
    if weekday == calendar.SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == calendar.SUNDAY:
        return day + 1 if day < _length(year, month) else day - 2
    return day


def _weekdays(text: str) -> DaysOf:
    """`6L` is the last Friday of the month, `3#2` its second Tuesday; Sunday is 1."""
    if text == "L":
        text = "7"
    elif text.endswith("L"):
        weekday = _number("day-of-week", text[:-1], 1, 7, WEEKDAYS)
        return lambda year, month: frozenset(_all_of(year, month, weekday)[-1:])
    elif "#" in text:
        name, _, nth = text.partition("#")
        weekday, place = _number("day-of-week", name, 1, 7, WEEKDAYS), _number("week", nth, 1, 5)
        return lambda year, month: frozenset(_all_of(year, month, weekday)[place - 1 : place])
    weekdays = _values("day-of-week", text, 1, 7, WEEKDAYS)
    return lambda year, month: frozenset(
        day for weekday in weekdays for day in _all_of(year, month, weekday)
    )


def _all_of(year: int, month: int, weekday: int) -> list[int]:
    first = calendar.weekday(year, month, 1)  # Monday is 0
    offset = ((weekday - 2) - first) % 7
    return list(range(1 + offset, _length(year, month) + 1, 7))
