"""XML, outbound, for EC2's protocol and for `query` (STS): the model's nested result
becomes one document. XML is only ever written here, never parsed.

Written as text rather than through a tree: the documents are flat and long, and a tree
costs three times as much. A character that XML 1.0 cannot hold (section 2.2 of the
standard) is written as U+FFFD: a tag's value must not make a whole answer unreadable.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, Final

from openami.wire import models
from openami.wire.models import Shape, StructureShape

_EC2_NAMESPACE: Final = "http://ec2.amazonaws.com/doc/{version}/"
_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
# A bare carriage return would come back as a line feed (XML 1.0, section 2.11).
_SPECIAL: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_UNSAFE: Final = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def serialize(
    service_name: str,
    operation_name: str,
    result: Mapping[str, Any],
    request_id: str,
    version: str = "",
) -> bytes:
    """The answer to one operation, as UTF-8.

    `version` is the API version the client asked for, which EC2 echoes in the namespace.
    A result that does not fit the model is our bug and raises AssertionError or TypeError.
    """
    metadata = models.metadata(service_name)
    out: list[str] = []
    _members(out, _plan(service_name, operation_name), result)
    members, name = "".join(out), operation_name
    if metadata["protocol"] == "ec2":
        namespace = _EC2_NAMESPACE.format(version=version or metadata["apiVersion"])
        inner = f"<requestId>{escaped(request_id)}</requestId>{members}"
    else:
        namespace = metadata["xmlNamespace"]
        inner = (
            f"<{name}Result>{members}</{name}Result><ResponseMetadata>"
            f"<RequestId>{escaped(request_id)}</RequestId></ResponseMetadata>"
        )
    return (
        f'{_DECLARATION}<{name}Response xmlns="{escaped(namespace)}">{inner}</{name}Response>'
    ).encode()


def serialize_error(
    service_name: str, code: str, message: str, request_id: str, status: int = 400
) -> bytes:
    """A refusal in the form of its service: STS has its own, everyone else gets EC2's."""
    told = f"<Code>{escaped(code)}</Code><Message>{escaped(message)}</Message>"
    if service_name == "sts":
        namespace = models.metadata("sts")["xmlNamespace"]
        at_fault = "Sender" if status < 500 else "Receiver"
        body = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>{at_fault}</Type>{told}</Error>'
            f"<RequestId>{escaped(request_id)}</RequestId></ErrorResponse>"
        )
    else:
        body = (
            f"<Response><Errors><Error>{told}</Error></Errors>"
            f"<RequestID>{escaped(request_id)}</RequestID></Response>"
        )
    return (_DECLARATION + body).encode()


class _Structure:
    """How one structure is written: member name → tag and plan. Made when first needed."""

    def __init__(self, shape: StructureShape | None, item_tag: str) -> None:
        self.name = shape.name if shape is not None else "an empty answer"
        self._members: Mapping[str, Shape] = shape.members if shape is not None else {}
        self._item_tag = item_tag

    @cached_property
    def members(self) -> dict[str, tuple[str, "_Plan"]]:
        return {
            name: (str(shape.serialization.get("name", name)), _plan_of(shape, self._item_tag))
            for name, shape in self._members.items()
        }


@dataclass(frozen=True, slots=True)
class _List:
    item: "_Plan"
    item_tag: str


_Scalar = Callable[[Any], str]
_Plan = _Structure | _List | _Scalar


@cache
def _plan(service_name: str, operation_name: str) -> _Structure:
    item_tag = "item" if models.metadata(service_name)["protocol"] == "ec2" else "member"
    return _Structure(models.output_members(service_name, operation_name), item_tag)


def _plan_of(shape: Shape, item_tag: str) -> _Plan:
    match shape.type_name:
        case "structure":
            return _Structure(models.as_structure(shape), item_tag)
        case "list":
            item = models.as_list(shape).member
            tag = str(item.serialization.get("name", item_tag))
            return _List(_plan_of(item, item_tag), tag)
        case scalar:  # neither EC2 nor STS answers with a map: it would be a KeyError
            return _SCALARS[scalar]


def _members(out: list[str], plan: _Structure, value: Mapping[str, Any]) -> None:
    members = plan.members
    for name, each in value.items():
        assert name in members, f"{plan.name} has no member {name}"
        if each is None:
            continue
        tag, member = members[name]
        if callable(member):  # as _element does, without the call: nearly all members are plain
            out.append(f"<{tag}>{member(each)}</{tag}>")
        else:
            _element(out, tag, member, each)


def _element(out: list[str], tag: str, plan: _Plan, value: Any) -> None:
    if isinstance(plan, _Structure):
        out.append(f"<{tag}>")
        _members(out, plan, value)
        out.append(f"</{tag}>")
    elif isinstance(plan, _List):
        out.append(f"<{tag}>")
        for each in _listed(value, tag):
            _element(out, plan.item_tag, plan.item, each)
        out.append(f"</{tag}>")
    else:
        out.append(f"<{tag}>{plan(value)}</{tag}>")


def _listed(value: Any, tag: str) -> Sequence[Any]:
    # A string is a sequence too, and would silently become a list of its characters.
    if isinstance(value, str | bytes):
        raise TypeError(f"{tag} is a list, not {value!r}")
    return value


def escaped(text: str) -> str:
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(lambda found: _SPECIAL.get(found.group(), "\ufffd"), text)


def _string(value: Any) -> str:
    text = str(value)
    return text if _UNSAFE.search(text) is None else escaped(text)


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _integer(value: int) -> str:
    return str(int(value))


def timestamp(value: datetime) -> str:
    assert value.tzinfo is not None, "a timestamp without a zone"
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _blob(value: bytes) -> str:
    return base64.b64encode(value).decode()


_SCALARS: Final[Mapping[str, _Scalar]] = {
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "double": repr,
    "float": repr,
    "boolean": _boolean,
    "timestamp": timestamp,
    "blob": _blob,
}
