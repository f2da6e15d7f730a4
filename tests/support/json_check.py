"""What in a JSON answer the model of its operation does not allow."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "blob": str,
}


def json_faults(body: bytes, model: OperationModel) -> Iterator[str]:
    """Members that the model does not know or that are missing, values of another type."""
    shape = model.output_shape
    if shape is None or "payload" in shape.serialization:
        return
    if model.http.get("responseCode") == 204:
        if body:
            yield "an answer with the status 204 has a body"
        return
    yield from _value(json.loads(body), shape, "")


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
    if not isinstance(value, _KINDS[shape.type_name]) or (
        isinstance(value, bool) and shape.type_name != "boolean"
    ):
        yield f"{where} is {value!r} and not a {shape.type_name}"
        return
    if shape.type_name == "blob":
        base64.b64decode(value, validate=True)
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        yield f"{where} is {value!r} and not one of {', '.join(allowed)}"


def _timestamp(value: Any, shape: Shape, where: str) -> Iterator[str]:
    if shape.serialization.get("timestampFormat") == "iso8601":
        datetime.fromisoformat(value)
    elif not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{where} is {value!r} and no number of seconds"
