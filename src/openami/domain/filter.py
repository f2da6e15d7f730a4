"""Filters: AND between names, OR between values, `*` and `?`, `\\` escapes, case matters.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from openami.domain.errors import EC2Error, InvalidParameterValue

VALUES_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One named condition; without values it matches nothing."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a listing: at most `limit` entries (None: all) after the one with id `after`."""

    limit: int | None = None
    after: str | None = None


def checked_filters(filters: Sequence[Filter]) -> tuple[Filter, ...]:
    if sum(len(each.values) for each in filters) > VALUES_MAX:
        raise EC2Error.of(
            "FilterLimitExceeded", f"The maximum number of filter values is {VALUES_MAX}."
        )
    return tuple(filters)


def unknown_filter(name: str) -> EC2Error:
    return InvalidParameterValue(f"The filter '{name}' is invalid")


def as_regex(pattern: str) -> re.Pattern[str]:
    """The values that `pattern` matches, for what is filtered outside of SQL."""
    return re.compile("".join(_pieces(pattern, ".*", ".", re.escape)), re.DOTALL)


def as_like(pattern: str) -> str:
    """`pattern` for SQL's LIKE … ESCAPE '\\'. Only right where LIKE heeds case."""
    return "".join(_pieces(pattern, "%", "_", _escaped_for_like))


def is_wild(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?\\")


def _pieces(pattern: str, many: str, one: str, literal: Callable[[str], str]) -> Iterable[str]:
    signs = iter(pattern)
    for sign in signs:
        if sign == "*":
            yield many
        elif sign == "?":
            yield one
        elif sign == "\\":
            yield literal(next(signs, "\\"))
        else:
            yield literal(sign)


def _escaped_for_like(sign: str) -> str:
    return f"\\{sign}" if sign in "%_\\" else sign
