"""Every answer that a client of a test gets is held against botocore's own model.

What the SDK silently drops or passes through is an error here: an element that the model does
not know, a value outside its enumeration, a number that is none, a required member missing.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

from botocore.client import BaseClient
from botocore.model import ListShape, OperationModel, Shape, StructureShape

from support.json_check import json_faults

_FORMS = {
    "boolean": re.compile(r"true|false"),
    "integer": re.compile(r"-?[0-9]+"),
    "long": re.compile(r"-?[0-9]+"),
    "float": re.compile(r"-?[0-9.]+"),
    "double": re.compile(r"-?[0-9.]+"),
    "timestamp": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z"),
}

_BESIDE_THE_MODEL = {
    # "For an internet gateway, the state is available when attached to a VPC": the model's own
    # words for a member whose enumeration lacks the value.
    ("internetGatewaySet.attachmentSet.state", "available"),
}


def watch(client: BaseClient) -> BaseClient:
    """The client, with each of its answers checked: a call raises AssertionError instead."""

    def check(http_response: Any, model: OperationModel, **_: Any) -> None:
        # Of S3 the answers are the store's, and a look at one would use up its stream.
        if http_response.status_code < 300 and model.metadata["protocol"] != "rest-xml":
            wrong = list(faults(http_response.content, model))
            assert not wrong, f"{model.name} answers what its model does not know: {wrong}"

    client.meta.events.register("after-call.*", check)
    return client


def faults(body: bytes, model: OperationModel) -> Iterator[str]:
    """What in an answer's XML or JSON the operation's model does not allow."""
    if model.metadata["protocol"] in ("json", "rest-json"):
        yield from json_faults(body, model)
        return
    root = ElementTree.fromstring(body)
    if model.metadata["protocol"] == "query":
        yield from _query_faults(root, model)
        return
    if _name(root) != f"{model.name}Response":
        yield f"the root element is {_name(root)}"
    identifiers = [child for child in root if _name(child) == "requestId"]
    if len(identifiers) != 1 or not identifiers[0].text:
        yield "there is no requestId"
    for child in identifiers:
        root.remove(child)
    if model.output_shape is not None:
        yield from _structure(root, model.output_shape, "")
    else:
        # An operation without an output may say <return>true</return>, as EC2 does.
        yield from (f"unknown {_name(child)}" for child in root if _name(child) != "return")


def _query_faults(root: ElementTree.Element, model: OperationModel) -> Iterator[str]:
    shape = model.output_shape
    wrapper = None if shape is None else shape.serialization.get("resultWrapper")
    for child in root:
        if _name(child) == wrapper and shape is not None:
            yield from _structure(child, shape, "")
        elif _name(child) != "ResponseMetadata":
            yield f"unknown {_name(child)}"


def _value(element: ElementTree.Element, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _structure(element, shape, path)
    elif isinstance(shape, ListShape):
        yield from _list(element, shape, path)
    else:
        yield from _scalar(element, shape, path)


def _structure(element: ElementTree.Element, shape: StructureShape, path: str) -> Iterator[str]:
    members = {
        member.serialization.get("name", name): member for name, member in shape.members.items()
    }
    seen: set[str] = set()
    for child in element:
        name = _name(child)
        if name not in members:
            yield f"unknown {path}{name}"
            continue
        if name in seen:
            yield f"{path}{name} is there twice"
        seen.add(name)
        yield from _value(child, members[name], f"{path}{name}.")
    for required in shape.required_members:
        if shape.members[required].serialization.get("name", required) not in seen:
            yield f"{path}{required} is missing"


def _list(element: ElementTree.Element, shape: ListShape, path: str) -> Iterator[str]:
    entry = shape.member.serialization.get("name", "member")
    if (element.text or "").strip():
        yield f"{path} is a list and has text"
    for child in element:
        if _name(child) != entry:
            yield f"unknown {path}{_name(child)}: the entries are {entry}"
        else:
            yield from _value(child, shape.member, path)


def _scalar(element: ElementTree.Element, shape: Shape, path: str) -> Iterator[str]:
    where, text = path.removesuffix("."), element.text or ""
    if len(element):
        yield f"{where} has elements and is a {shape.type_name}"
    form = _FORMS.get(shape.type_name)
    if form is not None and form.fullmatch(text) is None:
        yield f"{where} is {text!r} and not a {shape.type_name}"
    allowed = getattr(shape, "enum", None)
    if allowed and text not in allowed and (where, text) not in _BESIDE_THE_MODEL:
        yield f"{where} is {text!r} and not one of {', '.join(allowed)}"


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
