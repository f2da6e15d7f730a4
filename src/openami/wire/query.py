"""EC2's query protocol and its parent `query` (STS), inbound.

A flat form (`Filter.1.Value.2=x`) becomes the nested request of botocore's model. The
form is folded into a tree first and the tree is walked against the model: a parameter
that the model does not have is refused rather than ignored, lists may be numbered with
gaps, and the work is bounded by the number of parameters whatever the numbers say.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Final

from openami.wire import models
from openami.wire.models import Shape, StructureShape
from openami.wire.refusal import WireRefusal
from openami.wire.scalars import SCALARS, BadScalar, Scalar

# EC2's deepest parameter today has 13 levels, each list adding one for its number.
DEPTH_MAX: Final = 32
# The most items that EC2 takes in any list is 1,000; this leaves room and bounds the work.
LIST_LENGTH_MAX: Final = 5_000
_POSITION: Final = re.compile(r"[1-9][0-9]{0,8}")

Request = dict[str, Any]


def parse(service_name: str, operation_name: str, form: Mapping[str, str]) -> Request:
    """The request in `form`, under the names of botocore's model.

    Timestamps are aware and in UTC, blobs are bytes. Raises WireRefusal with
    UnknownParameter, MissingParameter or InvalidParameterValue.
    """
    return _structure(_plan(service_name, operation_name), _folded(form), "")


@dataclass(slots=True)
class _Node:
    """One level of the form: the text at this name, and what follows its dots."""

    text: str | None = None
    children: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])


def _folded(form: Mapping[str, str]) -> _Node:
    root = _Node()
    for name, text in form.items():
        parts = name.split(".")
        if len(parts) > DEPTH_MAX:
            raise _unknown(name)
        node = root
        for part in parts:
            node = node.children.setdefault(part, _Node())
        node.text = text
    return root


class _Structure:
    """How one structure reads: wire name → member name and plan. Made when first needed."""

    def __init__(self, shape: StructureShape | None, ec2: bool) -> None:
        self._members: Mapping[str, Shape] = shape.members if shape is not None else {}
        self._required: list[str] = shape.required_members if shape is not None else []
        self._ec2 = ec2

    @cached_property
    def members(self) -> dict[str, tuple[str, "_Plan"]]:
        return {
            self._wire_name(name, shape): (name, _plan_of(shape, self._ec2))
            for name, shape in self._members.items()
        }

    @cached_property
    def required(self) -> tuple[tuple[str, str], ...]:
        """Member name and wire name of what must be there."""
        return tuple((n, self._wire_name(n, self._members[n])) for n in self._required)

    def _wire_name(self, name: str, shape: Shape) -> str:
        said = shape.serialization
        if not self._ec2:
            return str(said.get("name", name))
        if "queryName" in said:
            return str(said["queryName"])
        given = str(said.get("name", name))
        return given[:1].upper() + given[1:]


@dataclass(frozen=True, slots=True)
class _List:
    item: "_Plan"
    wrapper: str | None  # "member" in `Foo.member.1`; EC2 has none


_Plan = _Structure | _List | Scalar


@cache
def _plan(service_name: str, operation_name: str) -> _Structure:
    ec2 = models.metadata(service_name)["protocol"] == "ec2"
    return _Structure(models.input_members(service_name, operation_name), ec2)


def _plan_of(shape: Shape, ec2: bool) -> _Plan:
    match shape.type_name:
        case "structure":
            return _Structure(models.as_structure(shape), ec2)
        case "list":
            item = models.as_list(shape).member
            flat = ec2 or bool(shape.serialization.get("flattened"))
            wrapper = None if flat else str(item.serialization.get("name", "member"))
            return _List(_plan_of(item, ec2), wrapper)
        case scalar:  # neither EC2 nor STS takes a map: it would be a KeyError
            return SCALARS[scalar]


def _value(plan: _Plan, node: _Node, at: str) -> Any:
    if isinstance(plan, _Structure):
        _refuse_text(node, at)
        return _structure(plan, node, f"{at}.")
    if isinstance(plan, _List):
        _refuse_text(node, at)
        return list(_items(plan, node, at))
    if node.children or node.text is None:
        raise _unknown(_first_name(node, at))
    try:
        return plan(node.text)
    except BadScalar as bad:
        raise WireRefusal(
            "InvalidParameterValue",
            f"Value ({node.text[:100]}) for parameter {at} is invalid. {bad}",
        ) from bad


def _structure(plan: _Structure, node: _Node, prefix: str) -> Request:
    members = plan.members
    found: Request = {}
    for part, child in node.children.items():
        known = members.get(part)
        if known is None:
            raise _unknown(_first_name(child, prefix + part))
        name, member = known
        found[name] = _value(member, child, prefix + part)
    for name, wire_name in plan.required:
        if name not in found:
            raise WireRefusal(
                "MissingParameter", f"The request must contain the parameter {prefix}{wire_name}"
            )
    return found


def _items(plan: _List, node: _Node, at: str) -> Iterator[Any]:
    if plan.wrapper is not None and node.children:
        inner = node.children.get(plan.wrapper)
        if inner is None or len(node.children) > 1:
            raise _unknown(_first_name(node, at))
        node, at = inner, f"{at}.{plan.wrapper}"
    if len(node.children) > LIST_LENGTH_MAX:
        raise WireRefusal(
            "InvalidParameterValue", f"The parameter {at} has more than {LIST_LENGTH_MAX} items"
        )
    for part in node.children:
        if _POSITION.fullmatch(part) is None:
            raise _unknown(_first_name(node.children[part], f"{at}.{part}"))
    # The numbers give the order and nothing else: some clients leave gaps.
    for part in sorted(node.children, key=int):
        yield _value(plan.item, node.children[part], f"{at}.{part}")


def _refuse_text(node: _Node, at: str) -> None:
    """`Foo=` is how clients write an empty list or structure; `Foo=x` means nothing there."""
    if node.text:
        raise _unknown(at)


def _first_name(node: _Node, at: str) -> str:
    """The full name of a parameter at or under `node`, as the client wrote it."""
    while node.text is None and node.children:
        part, node = next(iter(node.children.items()))
        at = f"{at}.{part}"
    return at


def _unknown(name: str) -> WireRefusal:
    return WireRefusal("UnknownParameter", f"The parameter {name[:200]} is not recognized")
