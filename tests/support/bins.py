"""The Recycle Bin in tests: its service called without HTTP, and time that passes."""

from datetime import timedelta
from typing import Any

from openami.domain.ids import AccountId, Region
from openami.rbin.operations import OPERATIONS
from openami.services import Services
from openami.workflows import registry
from support.builders import ALICE, HERE, a_caller
from support.fakes import StoppedClock
from support.model_check import held


def ask_bin(
    svc: Services, operation: str, account: AccountId = ALICE, region: Region = HERE, **request: Any
) -> dict[str, Any]:
    """The answer of an operation of the service rbin. Raises EC2Error."""
    answer = OPERATIONS[operation](svc, a_caller(account, region), request)
    return held("rbin", operation, answer)


def a_rule(svc: Services, resource_type: str, days: int, **more: Any) -> str:
    """The id of a new rule that keeps deleted resources for so many days."""
    period = {"RetentionPeriodValue": days, "RetentionPeriodUnit": "DAYS"}
    asked: dict[str, Any] = {"ResourceType": resource_type, "RetentionPeriod": period} | more
    return str(ask_bin(svc, "CreateRule", **asked)["Identifier"])


def pass_days(svc: Services, days: float) -> None:
    """Let the time pass, then sweep as a server does every minute."""
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(days=days))
    registry.sweep(svc)
