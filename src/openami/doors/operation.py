"""One operation of a front door: its handler, and exactly what of a request it heeds.

A parameter that is not heeded is refused, never ignored: a client that asks for an
encrypted volume must not be handed a plain one in silence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openami.domain.caller import Caller
from openami.domain.errors import UnsupportedOperation
from openami.services import Services

Request = Mapping[str, Any]
Result = Mapping[str, Any]
Handler = Callable[[Services, Caller, Request], Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`heeds` names the request's top-level members (botocore's names) that have their effect.

    `partly` says in one sentence what of the operation is not answered as EC2 does; it is
    told in the README's table.
    """

    handler: Handler
    heeds: frozenset[str] = field(default_factory=frozenset[str])
    partly: str = ""

    def __call__(self, svc: Services, caller: Caller, request: Request) -> Result:
        only(request, "", self.heeds | {"DryRun"})
        return self.handler(svc, caller, request)


def operation(handler: Handler, *heeds: str, partly: str = "") -> Operation:
    return Operation(handler=handler, heeds=frozenset(heeds), partly=partly)


def only(value: Mapping[str, Any], where: str, heeded: frozenset[str] | set[str]) -> None:
    """Refuse a structure with a member beside the heeded ones. `where` is its path: "" or "A."."""
    for name in value:
        if name not in heeded:
            raise UnsupportedOperation(f"The parameter {where}{name} is not supported by openami")
