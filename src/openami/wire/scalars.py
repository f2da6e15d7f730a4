"""The texts of a form as values: numbers, booleans, timestamps, blobs.

Each reader takes the text and returns the value, or raises BadScalar whose sentence
says what was expected. They are stricter than Python's own (`int("1_0")` is 10).
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

Scalar = Callable[[str], Any]

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER: Final = re.compile(
    r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?"
)
_BOOLEANS: Final = {"true": True, "false": False}


class BadScalar(ValueError):
    """The text is not of its parameter's type."""


def _integer_of(bits: int) -> Scalar:
    limit = 1 << (bits - 1)

    def read(text: str) -> int:
        if _INTEGER.fullmatch(text) is None or not -limit <= int(text) < limit:
            raise BadScalar(f"Expected a {bits}-bit integer.")
        return int(text)

    return read


def _number(text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise BadScalar("Expected a number.")
    value = float(text)
    if abs(value) == float("inf"):
        raise BadScalar("Expected a smaller number.")
    return value


def _boolean(text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise BadScalar("Expected true or false.")
    return value


def _blob(text: str) -> bytes:
    # MIME's line breaks are no part of the data, and `+` may have become a space: refuse that.
    try:
        return base64.b64decode(text.translate(_LINE_BREAKS), validate=True)
    except ValueError as bad:
        raise BadScalar("Expected base64.") from bad


_LINE_BREAKS: Final = {ord("\r"): None, ord("\n"): None}


def timestamp(text: str) -> datetime:
    """An ISO 8601 instant in any of its forms, in UTC; without a zone it is UTC already.

    A date alone is its midnight. Raises BadScalar.
    """
    try:
        instant = datetime.fromisoformat(text)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError) as bad:
        raise BadScalar("Expected an ISO 8601 timestamp, such as 2030-01-31T12:00:00Z.") from bad


SCALARS: Final[Mapping[str, Scalar]] = {
    "string": str,
    "integer": _integer_of(32),
    "long": _integer_of(64),
    "double": _number,
    "float": _number,
    "boolean": _boolean,
    "timestamp": timestamp,
    "blob": _blob,
}
