"""What the model of a JSON service allows of a value: lengths, ranges, patterns, enumerations.

EC2's model says none of this and its handlers check what they take; the JSON services' models
do, and AWS answers from them before the operation has seen the request. The sentences are
those of AWS's own validation.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from openami.wire import models
from openami.wire.models import Shape, StructureShape
from openami.wire.refusal import WireRefusal

_SHOWN_CHARACTERS_MAX: Final = 200


def check(shape: StructureShape | None, request: Mapping[str, Any]) -> None:
    """Raises WireRefusal (ValidationException) that tells every fault of the request."""
    if shape is None:
        return
    found = list(_structure(shape, request, ""))
    if found:
        noun = "error" if len(found) == 1 else "errors"
        raise WireRefusal(
            "ValidationException", f"{len(found)} validation {noun} detected: {'; '.join(found)}"
        )


def _faults(shape: Shape, value: Any, at: str) -> Iterator[str]:
    match shape.type_name:
        case "structure":
            yield from _structure(models.as_structure(shape), value, f"{at}.")
        case "list":
            yield from _length(shape, value, at)
            for number, each in enumerate(value, 1):
                yield from _faults(models.as_list(shape).member, each, f"{at}.{number}.member")
        case "map":
            yield from _length(shape, value, at)
            for key, each in value.items():
                yield from _faults(models.as_map(shape).key, key, f"{at}.key")
                yield from _faults(models.as_map(shape).value, each, f"{at}.{key}.member")
        case "string":
            yield from _string(shape, value, at)
        case "integer" | "long" | "float" | "double":
            yield from _bounds(shape, value, value, at, "value")
        case _:
            return


def _structure(shape: StructureShape, value: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name in shape.required_members:
        if name not in value:
            yield _fault(None, prefix + _camel(name), "Member must not be null")
    for name, each in value.items():
        yield from _faults(shape.members[name], each, prefix + _camel(name))


def _string(shape: Shape, value: str, at: str) -> Iterator[str]:
    shown = value if not shape.metadata.get("sensitive") else "***"
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        values = ", ".join(allowed)
        yield _fault(shown, at, f"Member must satisfy enum value set: [{values}]")
    too_long = list(_bounds(shape, len(value), shown, at, "length"))
    yield from too_long
    text = shape.metadata.get("pattern")
    pattern = None if text is None or too_long else _pattern(text)
    if pattern is not None and pattern.fullmatch(value) is None:
        yield _fault(shown, at, f"Member must satisfy regular expression pattern: {text}")


def _length(shape: Shape, value: Any, at: str) -> Iterator[str]:
    return _bounds(shape, len(value), value, at, "length")


def _bounds(shape: Shape, size: float, value: Any, at: str, what: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _fault(value, at, f"Member must have {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _fault(value, at, f"Member must have {what} less than or equal to {most}")


def _fault(value: Any, at: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{str(value)[:_SHOWN_CHARACTERS_MAX]}'"
    return f"Value {shown} at '{at}' failed to satisfy constraint: {constraint}"


@cache
def _pattern(text: str) -> re.Pattern[str] | None:
    r"""None for a pattern that only Java reads, such as one with \p{L}: its operation checks."""
    try:
        return re.compile(text)
    except re.error:
        return None


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
