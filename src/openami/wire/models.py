"""botocore's service models: the description of the API that we share with our clients.

botocore has no type hints; this module is the one place that casts, so that everything
that walks a model is checked.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, cast

# botocore ships no stubs.
from botocore.loaders import Loader  # pyright: ignore[reportMissingTypeStubs]
from botocore.model import (  # pyright: ignore[reportMissingTypeStubs]
    OperationModel,
    ServiceModel,
)


class Shape(Protocol):
    """A type of the model where it is used. `type_name` is "structure", "list", "string", …"""

    @property
    def name(self) -> str: ...
    @property
    def type_name(self) -> str: ...
    @property
    def serialization(self) -> Mapping[str, Any]:
        """How it is named on the wire: "name", "queryName", "flattened", "location"."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What it may be: "min", "max", "pattern", "enum", "sensitive"."""
        ...


class StructureShape(Shape, Protocol):
    """`type_name` is "structure"."""

    @property
    def members(self) -> Mapping[str, Shape]: ...
    @property
    def required_members(self) -> list[str]: ...


class ListShape(Shape, Protocol):
    """`type_name` is "list"."""

    @property
    def member(self) -> Shape: ...


class MapShape(Shape, Protocol):
    """`type_name` is "map"."""

    @property
    def key(self) -> Shape: ...
    @property
    def value(self) -> Shape: ...


@cache
def service(name: str) -> ServiceModel:
    """The model of "ec2", "sts", "ssm", …. Reading EC2's takes half a second, once."""
    loader = cast("Any", Loader())
    return ServiceModel(loader.load_service_model(name, "service-2"), name)


@cache
def operation(service_name: str, operation_name: str) -> OperationModel:
    """The model of one operation. Raises botocore's OperationNotFoundError."""
    return cast("Any", service(service_name)).operation_model(operation_name)


@cache
def operation_names(service_name: str) -> frozenset[str]:
    """Every operation that AWS has, whether or not openami answers it."""
    return frozenset(cast("Any", service(service_name)).operation_names)


@cache
def metadata(service_name: str) -> Mapping[str, str]:
    """What the model says of its service: "apiVersion", "protocol", "xmlNamespace", …"""
    return cast("Mapping[str, str]", cast("Any", service(service_name)).metadata)


def input_members(service_name: str, operation_name: str) -> StructureShape | None:
    """What the operation takes; None for an operation that takes nothing."""
    model = cast("Any", operation(service_name, operation_name))
    return cast("StructureShape | None", model.input_shape)


def output_members(service_name: str, operation_name: str) -> StructureShape | None:
    """What the operation answers; None for an operation that answers nothing."""
    model = cast("Any", operation(service_name, operation_name))
    return cast("StructureShape | None", model.output_shape)


def as_structure(shape: Shape) -> StructureShape:
    assert shape.type_name == "structure"
    return cast("StructureShape", shape)


def as_list(shape: Shape) -> ListShape:
    assert shape.type_name == "list"
    return cast("ListShape", shape)


def as_map(shape: Shape) -> MapShape:
    assert shape.type_name == "map"
    return cast("MapShape", shape)


def http(service_name: str, operation_name: str) -> Mapping[str, Any]:
    """Where a REST operation is: "method", "requestUri" and "responseCode" if it is not 200."""
    model = cast("Any", operation(service_name, operation_name))
    return cast("Mapping[str, Any]", model.http)


def takes_unsigned_body(service_name: str, operation_name: str) -> bool:
    """Whether clients may leave the body out of what they sign: over TLS they do."""
    model = cast("Any", operation(service_name, operation_name))
    return bool(model.auth_type == "v4-unsigned-body")


@cache
def error_shapes(service_name: str) -> Mapping[str, StructureShape]:
    """The service's errors by their codes. EC2's model lists none."""
    found: dict[str, StructureShape] = {}
    for shape in cast("Any", service(service_name)).error_shapes:
        found[str(shape.error_code)] = cast("StructureShape", shape)
    return found
