"""What in a JSON answer the model of its operation does not allow."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
}
_BITS = {"integer": 31, "long": 63}


_INSTANT = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]+)?Z")


def is_instant(text: str) -> bool:
    """As all that AWS answers in text has it: in UTC, which `Z` says."""
    return _INSTANT.fullmatch(text) is not None


def is_json(model: OperationModel) -> bool:
    return model.metadata["protocol"] in ("json", "rest-json")


def fits(kind: str, number: int) -> bool:
    """Whether SDKs whose numbers have a size can hold it."""
    return -(1 << _BITS[kind]) <= number < 1 << _BITS[kind]


def json_faults(body: bytes, model: OperationModel) -> Iterator[str]:
    """Members that the model does not know or that are missing, values of another type."""
    if model.http.get("responseCode") == 204:
        if body:
            yield "an answer with the status 204 has a body"
    elif not model.has_streaming_output:  # whose body is bytes, of which no model says more
        yield from _value(json.loads(body), model.output_shape, "")


def json_refusal_faults(body: bytes, model: OperationModel) -> Iterator[str]:
    """What of a refusal lacks its code or words, or is not as the model has that error."""
    told: Mapping[str, Any] = json.loads(body)
    code = told.get("__type")
    if not code or not isinstance(code, str):
        yield f"the refusal has no code: {told}"
    if not (told.get("message") or told.get("Message")):
        yield f"the refusal has no words: {told}"
    for shape in model.service_model.error_shapes:
        if shape.error_code == code:
            # Each error has words, also one whose structure has no member for them.
            beside = {"__type", "message"} - set(shape.members)
            members = {name: each for name, each in told.items() if name not in beside}
            yield from _structure(members, shape, "")


def _value(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _structure(value, shape, path)
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for each in value:
            yield from _value(each, shape.member, path)
    elif isinstance(shape, MapShape):
        if not isinstance(value, dict):
            yield f"{path} is no map"
            return
        for key, each in value.items():
            yield from _scalar(key, shape.key, f"a key of {path}")
            yield from _value(each, shape.value, f"{path}{key}.")
    else:
        yield from _scalar(value, shape, path.removesuffix("."))


def _structure(value: Any, shape: StructureShape, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no structure"
        return
    members = {
        member.serialization.get("name", name): member
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    for name, each in value.items():
        if name not in members:
            yield f"unknown {path}{name}"
        else:
            yield from _value(each, members[name], f"{path}{name}.")
    for required in shape.required_members:
        name = shape.members[required].serialization.get("name", required)
        if name in members and name not in value:
            yield f"{path}{required} is missing"


def _scalar(value: Any, shape: Shape, where: str) -> Iterator[str]:
    if shape.type_name == "timestamp":
        yield from _timestamp(value, shape, where)
        return
    kind = shape.type_name
    if (
        not isinstance(value, _KINDS[kind])
        or (isinstance(value, bool) and kind != "boolean")
        or (kind in _BITS and not fits(kind, value))
    ):
        yield f"{where} is {value!r} and not a {kind}"
        return
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        yield f"{where} is {value!r} and not one of {', '.join(allowed)}"


def _timestamp(value: Any, shape: Shape, where: str) -> Iterator[str]:
    if shape.serialization.get("timestampFormat") == "iso8601":
        if not isinstance(value, str) or not is_instant(value):
            yield f"{where} is {value!r} and no instant"
    elif not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{where} is {value!r} and no number of seconds"
