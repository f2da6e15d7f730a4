"""Filters: AND between names, OR between values, `*` and `?`, `\\` escapes, case matters.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from openami.domain.errors import EC2Error, InvalidParameterValue

T = TypeVar("T")

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


def selected(
    items: Iterable[T],
    filters: Sequence[Filter],
    table: Mapping[str, Callable[[T], Iterable[str]]],
    tags_of: Callable[[T], Mapping[str, str]] | None = None,
) -> list[T]:
    """The items that all of `filters` match, for what is not in SQL.

    `table` gives the texts of an item that a filter name looks at: one of them must match.
    Without `tags_of` the items cannot be tagged. Raises InvalidParameterValue for other names.
    """
    known = [_texts_of(each.name, table, tags_of) for each in filters]
    patterns = [[as_regex(value) for value in each.values] for each in filters]
    return [
        item
        for item in items
        if all(
            any(pattern.fullmatch(text) for pattern in wanted for text in texts(item))
            for wanted, texts in zip(patterns, known, strict=True)
        )
    ]


def _texts_of(
    name: str,
    table: Mapping[str, Callable[[T], Iterable[str]]],
    tags_of: Callable[[T], Mapping[str, str]] | None,
) -> Callable[[T], Iterable[str]]:
    if tags_of is not None and name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda item: [value for found, value in tags_of(item).items() if found == key]
    if tags_of is not None and name == "tag-key":
        return lambda item: list(tags_of(item))
    if name not in table:
        raise unknown_filter(name)
    return table[name]


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
