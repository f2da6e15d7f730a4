"""One operation on one resource, and what each of three accounts gets of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAY: Final = "may"
"""It would succeed. Sent as a dry run where the operation knows one, else for real."""

SEES: Final = "sees"
"""It succeeds, and its answer names the resource, or shows what the row says."""

NOTHING: Final = "nothing"
"""It succeeds, and its answer does not name the resource."""

ROLES: Final = ("stranger", "reader", "owner")
OWN: Final = "my_"
"""How the names begin of what each of the three has of its own."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """`stranger`, `reader`, `owner`: MAY, SEES, NOTHING, or the code of the refusal.

    Texts in `request` like "{image}" stand for resources of the owner, those like "{my_image}"
    for one of whoever asks. `hides` are texts that only the owner's answer has.

    Roles are asked in the order stranger, reader, owner. Where a row is sent for real (no dry
    run) and its owner's success uses the resource up, the resource is one that no other row
    names.
    """

    operation: str
    request: Mapping[str, Any]
    stranger: str
    reader: str
    owner: str = MAY
    service: str = "ec2"
    shows: str = ""
    hides: tuple[str, ...] = ()

    def expected(self, role: str) -> str:
        return {"stranger": self.stranger, "reader": self.reader, "owner": self.owner}[role]

    def is_blind(self, role: str) -> bool:
        """Whether to the role it is as if the resource had never been."""
        return role != "owner" and self.expected(role) == self.stranger

    @property
    def outcomes(self) -> tuple[str, ...]:
        return (self.stranger, self.reader, self.owner)

    @property
    def foreign(self) -> tuple[tuple[str, str], ...]:
        """The members that name what is the owner's, as "A.B", each with the resource's name."""
        return tuple(each for each in members(self.request) if not each[1].startswith(OWN))

    @property
    def resource(self) -> str:
        """The name of the resource that the row is about: the first that is the owner's."""
        named = [*self.foreign, *members(self.request)]
        return named[0][1] if named else ""

    @property
    def id(self) -> str:
        return " ".join(
            [self.operation, *(f"{path}={text}" for path, text in _leaves(self.request))]
        )


def members(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The members of a request that name a resource, each with the resource's name."""
    for path, value in _leaves(request):
        if isinstance(value, str) and value.startswith("{"):
            yield path, value[1:-1]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What is neither a structure nor a list, each with its path, as "A.B"."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each, path)
    else:
        yield path, value


def own(operation: str, code: str, owner: str = MAY, **request: Any) -> Access:
    """Of what cannot be shared: for everybody but its owner it does not exist."""
    return Access(operation=operation, request=request, stranger=code, reader=code, owner=owner)


def shared(operation: str, stranger: str, reader: str, owner: str = MAY, **request: Any) -> Access:
    """Of what can be shared: the reader gets something else than a stranger."""
    return Access(
        operation=operation, request=request, stranger=stranger, reader=reader, owner=owner
    )
