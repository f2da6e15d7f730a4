"""Every STS operation that openami answers: clients ask it who they are before anything else."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from openami.domain.caller import Caller
from openami.services import Services

Handler = Callable[[Services, Caller, Mapping[str, Any]], Mapping[str, Any]]


def get_caller_identity(
    _svc: Services, caller: Caller, _request: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Every key of openami is its account's root: there are no users below it."""
    return {
        "UserId": caller.account,
        "Account": caller.account,
        "Arn": f"arn:aws:iam::{caller.account}:root",
    }


OPERATIONS: Final[Mapping[str, Handler]] = {"GetCallerIdentity": get_caller_identity}
