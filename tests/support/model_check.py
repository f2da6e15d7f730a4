"""Every answer that tests get is held against botocore's own model.

What an SDK silently drops or passes through is an error here: an element that the model does
not know, a value outside its enumeration, a number that is none, a required member missing.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.client import BaseClient
from botocore.model import ListShape, OperationModel, Shape, StructureShape

from openami.wire import json_calls, models, xml
from support.json_check import fits, is_instant, is_json, json_faults, json_refusal_faults

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?")
_IS_A: dict[str, Callable[[str], object]] = {
    "string": lambda text: True,
    "boolean": {"true", "false"}.__contains__,
    "integer": lambda text: re.fullmatch("-?[0-9]+", text) and fits("integer", int(text)),
    "long": lambda text: re.fullmatch("-?[0-9]+", text) and fits("long", int(text)),
    "float": _NUMBER.fullmatch,
    "double": _NUMBER.fullmatch,
    "timestamp": is_instant,
}

_BESIDE_THE_MODEL = {
    # "For an internet gateway, the state is available when attached to a VPC": the model's own
    # words for a member whose enumeration lacks the value.
    ("internetGatewaySet.attachmentSet.state", "available"),
}


def watch(client: BaseClient) -> BaseClient:
    """The client, with each of its answers checked: a call raises AssertionError instead."""

    def check(http_response: Any, model: OperationModel, **_: Any) -> None:
        if model.has_streaming_output and http_response.status_code < 300:
            return  # its body is the caller's to read
        told = answer_faults(http_response.status_code, http_response.content, model)
        _assert_none(model.name, told)

    client.meta.events.register("after-call.*", check)
    return client


def held(service: str, operation: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a handler, once what is written of it is as the model has it."""
    model = models.operation(service, operation)
    if is_json(model):
        body = json_calls.serialize(service, operation, answer).body
    else:
        body = xml.serialize(service, operation, answer, "req-1")
    _assert_none(operation, faults(body, model))
    return dict(answer)


def _assert_none(operation: str, told: Iterator[str]) -> None:
    wrong = list(told)
    assert not wrong, f"{operation} answers what its model does not know: {wrong}"


def answer_faults(status: int, body: bytes, model: OperationModel) -> Iterator[str]:
    """What in a whole answer, of success or of refusal, is not as the model has it."""
    if status >= 300:
        yield from refusal_faults(body, model)
        return
    expected = int(model.http.get("responseCode", 200))
    if status != expected:
        yield f"the status is {status} and not {expected}"
    yield from faults(body, model)


def refusal_faults(body: bytes, model: OperationModel) -> Iterator[str]:
    """What of a refusal an SDK would not find where it looks for code, words and request id."""
    if is_json(model):
        yield from json_refusal_faults(body, model)
        return
    root = ElementTree.fromstring(body)
    query = model.metadata["protocol"] == "query"
    found = [(_name(each), (each.text or "").strip()) for each in root.iter() if not len(each)]
    expected = ["Type", "Code", "Message", "RequestId"] if query else _OF_EC2S_REFUSALS
    if _name(root) != ("ErrorResponse" if query else "Response"):
        yield f"the root element of the refusal is {_name(root)}"
    if [name for name, _ in found] != expected or not all(text for _, text in found):
        yield f"the refusal says {found}"


_OF_EC2S_REFUSALS = ["Code", "Message", "RequestID"]


def faults(body: bytes, model: OperationModel) -> Iterator[str]:
    """What in an answer's XML or JSON the operation's model does not allow."""
    if is_json(model):
        yield from json_faults(body, model)
        return
    root = ElementTree.fromstring(body)
    if _name(root) != f"{model.name}Response":
        yield f"the root element is {_name(root)}"
    if model.metadata["protocol"] == "query":
        yield from _query_faults(root, model)
        return
    if not _OF_EC2.fullmatch(root.tag.rpartition("}")[0]):
        yield f"the namespace is {root.tag}"
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


_OF_EC2 = re.compile(r"\{http://ec2\.amazonaws\.com/doc/[0-9]{4}-[0-9]{2}-[0-9]{2}/")


def _query_faults(root: ElementTree.Element, model: OperationModel) -> Iterator[str]:
    shape = model.output_shape
    expected = ["ResponseMetadata"]
    if shape is not None:
        expected = [shape.serialization["resultWrapper"], *expected]
    if [_name(child) for child in root] != expected:
        yield f"the answer has {[_name(child) for child in root]} and not {expected}"
        return
    if shape is not None:
        yield from _structure(root[0], shape, "")
    if [(_name(each), bool(each.text)) for each in root[-1]] != [("RequestId", True)]:
        yield "there is no RequestId"


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
    if (element.text or "").strip():
        yield f"{path.removesuffix('.')} is a structure and has text"
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
    if not _IS_A[shape.type_name](text):
        yield f"{where} is {text!r} and not a {shape.type_name}"
    allowed = getattr(shape, "enum", None)
    if allowed and text not in allowed and (where, text) not in _BESIDE_THE_MODEL:
        yield f"{where} is {text!r} and not one of {', '.join(allowed)}"


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
