"""JSON by the model, both ways: the bodies of the services that speak JSON.

What the model does not have is refused rather than ignored, as it is in EC2's forms, and a
value of another type than its member's is never converted to it.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from openami.wire import models
from openami.wire.models import Shape, StructureShape
from openami.wire.refusal import WireRefusal
from openami.wire.scalars import SCALARS, BadScalar, timestamp

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INTEGER_BITS: Final = {"integer": 32, "long": 64}


def load(body: bytes) -> Mapping[str, Any]:
    """The object that a body is; no body is an empty one. Raises WireRefusal."""
    if not body:
        return {}
    try:
        text = body.decode()
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as bad:
        raise malformed("The body is not valid JSON") from bad
    if not isinstance(found, dict):
        raise malformed("The body must be a JSON object")
    return cast("Mapping[str, Any]", found)


def read(shape: Shape, raw: Any, at: str = "") -> Any:
    """The value that `raw` (as JSON has it) is. Raises WireRefusal: SerializationException."""
    match shape.type_name:
        case "structure":
            return read_members(models.as_structure(shape), _of(dict, raw, at), at)
        case "list":
            item = models.as_list(shape).member
            return [
                read(item, each, f"{at}[{number}]")
                for number, each in enumerate(_of(list, raw, at))
            ]
        case "map":
            value = models.as_map(shape).value
            return {
                _text(key, at): read(value, each, f"{at}.{key}")
                for key, each in _of(dict, raw, at).items()
                if each is not None
            }
        case scalar:
            return _SCALARS[scalar](raw, at)


def read_members(shape: StructureShape, raw: Mapping[str, Any], at: str) -> dict[str, Any]:
    """The members of a structure that are in a body. A null is a member that is not there."""
    known = {wire_name(name, member): name for name, member in in_body(shape)}
    found: dict[str, Any] = {}
    prefix = f"{at}." if at else ""
    for key, each in raw.items():
        if key not in known:
            raise WireRefusal(
                "ValidationException", f"The parameter {prefix}{key[:200]} is not recognized"
            )
        if each is not None:
            found[known[key]] = read(shape.members[known[key]], each, prefix + key)
    return found


def write(shape: Shape, value: Any) -> Any:
    """`value` as JSON has it. What does not fit the model is our bug: AssertionError, TypeError."""
    match shape.type_name:
        case "structure":
            return write_members(models.as_structure(shape), value)
        case "list":
            item = models.as_list(shape).member
            return [write(item, each) for each in _sequence(value)]
        case "map":
            inner = models.as_map(shape).value
            return {str(key): write(inner, each) for key, each in value.items()}
        case "timestamp":
            return _instant(shape, value)
        case scalar:
            return _WRITERS[scalar](value)


def write_members(shape: StructureShape, value: Mapping[str, Any]) -> dict[str, Any]:
    """What of a structure goes into a body."""
    body = dict(in_body(shape))
    located = {name for name, member in shape.members.items() if name not in body and member}
    written: dict[str, Any] = {}
    for name, each in value.items():
        assert name in body or name in located, f"{shape.name} has no member {name}"
        if each is not None and name in body:
            written[wire_name(name, body[name])] = write(body[name], each)
    return written


def in_body(shape: StructureShape) -> list[tuple[str, Shape]]:
    """The members that are not in the path, the query or a header."""
    return [
        (name, member)
        for name, member in shape.members.items()
        if "location" not in member.serialization
    ]


def wire_name(name: str, shape: Shape) -> str:
    return str(shape.serialization.get("name", name))


def malformed(message: str) -> WireRefusal:
    return WireRefusal("SerializationException", message)


def read_text(shape: Shape, text: str, at: str) -> Any:
    """The value of a member that is in the path, the query or a header."""
    try:
        return SCALARS[shape.type_name](text)
    except BadScalar as bad:
        raise malformed(f"The value of {at} cannot be read. {bad}") from bad


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _of(kind: type[Any], raw: Any, at: str) -> Any:
    if not isinstance(raw, kind):
        raise malformed(f"Start of {_WORDS[kind]} expected at '{at}'")
    return raw


_WORDS: Final = {dict: "structure or map", list: "list"}


def _text(raw: Any, at: str) -> str:
    if not isinstance(raw, str):
        raise malformed(f"The value at '{at}' can not be converted to a String")
    if _SURROGATE.search(raw) is not None:
        raise malformed(f"The value at '{at}' is not valid Unicode")
    return raw


def _integer_of(bits: int) -> Callable[[Any, str], int]:
    limit = 1 << (bits - 1)

    def convert(raw: Any, at: str) -> int:
        if not isinstance(raw, int) or isinstance(raw, bool) or not -limit <= raw < limit:
            raise malformed(f"The value at '{at}' can not be converted to a {bits}-bit integer")
        return raw

    return convert


def _number(raw: Any, at: str) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool) or abs(raw) > 1e300:
        raise malformed(f"The value at '{at}' can not be converted to a number")
    return float(raw)


def _boolean(raw: Any, at: str) -> bool:
    if not isinstance(raw, bool):
        raise malformed(f"The value at '{at}' can not be converted to a Boolean")
    return raw


def _blob(raw: Any, at: str) -> bytes:
    try:
        return SCALARS["blob"](_text(raw, at))
    except BadScalar as bad:
        raise malformed(f"The value at '{at}' is not base64") from bad


def _moment(raw: Any, at: str) -> datetime:
    """Seconds since 1970, or ISO 8601: clients send what the model's timestampFormat says."""
    try:
        if isinstance(raw, str):
            return timestamp(raw)
        return datetime.fromtimestamp(_number(raw, at), UTC)
    except (BadScalar, ValueError, OverflowError, OSError) as bad:
        raise malformed(f"The value at '{at}' is no timestamp") from bad


_SCALARS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "string": _text,
    **{name: _integer_of(bits) for name, bits in _INTEGER_BITS.items()},
    "double": _number,
    "float": _number,
    "boolean": _boolean,
    "timestamp": _moment,
    "blob": _blob,
}


def _instant(shape: Shape, value: datetime) -> float | str:
    assert value.tzinfo is not None, "a timestamp without a zone"
    if shape.serialization.get("timestampFormat") == "iso8601":
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return round(value.timestamp(), 3)


def _sequence(value: Any) -> Sequence[Any]:
    # A string is a sequence too, and would silently become a list of its characters.
    if isinstance(value, str | bytes):
        raise TypeError(f"a list, not {value!r}")
    return value


_WRITERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "string": str,
    "integer": int,
    "long": int,
    "double": float,
    "float": float,
    "boolean": bool,
    "blob": lambda value: base64.b64encode(value).decode(),
}
