"""One operation on one resource, and what each of three accounts gets of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAY: Final = "may"
"""It would succeed. Sent as a dry run where the operation knows one, else for real."""

SEES: Final = "sees"
"""It succeeds, and its answer names the resource, or shows what the row says."""

NOTHING: Final = "nothing"
"""It succeeds, and its answer does not name the resource."""

OUTCOMES: Final = (MAY, SEES, NOTHING)


@dataclass(frozen=True, kw_only=True)
class Access:
    """`stranger`, `reader`, `owner`: one of OUTCOMES, or the code of the refusal.

    Texts in `request` like "{image}" stand for resources of the owner. Roles are asked in the
    order stranger, reader, owner. Where a row is sent for real (no dry run) and its owner's
    success uses the resource up, the resource is one that no other row names.
    """

    operation: str
    request: Mapping[str, Any]
    stranger: str
    reader: str
    owner: str = MAY
    service: str = "ec2"
    shows: str = ""

    @property
    def outcomes(self) -> tuple[str, ...]:
        return (self.stranger, self.reader, self.owner)

    @property
    def resource(self) -> str:
        """The name of the resource that the row is about: the first placeholder of the request."""
        return next(_placeholders(self.request))

    @property
    def id(self) -> str:
        members = " and ".join(self.request)
        return f"{self.operation} by {members} of {self.resource}"


def _placeholders(value: Any) -> Any:
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _placeholders(each)
    elif isinstance(value, list):
        for each in value:
            yield from _placeholders(each)
    elif isinstance(value, str) and value.startswith("{"):
        yield value[1:-1]


def own(operation: str, code: str, owner: str = MAY, **request: Any) -> Access:
    """Of what cannot be shared: for everybody but its owner it does not exist."""
    return Access(operation=operation, request=request, stranger=code, reader=code, owner=owner)


def shared(operation: str, stranger: str, reader: str, owner: str = MAY, **request: Any) -> Access:
    """Of what can be shared: the reader gets something else than a stranger."""
    return Access(
        operation=operation, request=request, stranger=stranger, reader=reader, owner=owner
    )
