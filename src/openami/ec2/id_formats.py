"""The formats of ids. All are long: the time in which one could choose ended in 2018.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue, UnsupportedOperation
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import page
from openami.services import Services

_RESOURCES: Final = (
    *("image", "instance", "network-interface", "reservation", "security-group"),
    *("snapshot", "subnet", "volume", "vpc"),
)
_EVERYBODY: Final = "all"
_PRINCIPAL: Final = re.compile(r"arn:aws:iam::(\d{12}):(root|(?:user|role)/[\w+=,.@/-]{1,512})")


def _checked_resource(name: str) -> str:
    if name not in _RESOURCES:
        raise InvalidParameterValue(f"The resource type '{name}' is not known.")
    return name


def _checked_principal(caller: Caller, arn: str) -> None:
    """The root, a user or a role of the caller's account."""
    found = _PRINCIPAL.fullmatch(arn)
    if found is None or found[1] != caller.account:
        raise InvalidParameterValue(f"The principal '{arn}' is not one of your account.")


def _statuses(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"Resource": each, "UseLongIds": True} for each in names]


def describe_id_format(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller
    asked = request.get("Resource")
    return {"Statuses": _statuses(_RESOURCES if asked is None else (_checked_resource(asked),))}


def describe_aggregate_id_format(svc: Services, caller: Caller, request: Request) -> Result:
    return {"UseLongIdsAggregated": True, **describe_id_format(svc, caller, request)}


def describe_identity_id_format(svc: Services, caller: Caller, request: Request) -> Result:
    _checked_principal(caller, request["PrincipalArn"])
    return describe_id_format(svc, caller, request)


def describe_principal_id_format(svc: Services, caller: Caller, request: Request) -> Result:
    """The account's root, which is its only principal here."""
    del svc
    page(request, 5, 1000)
    names = tuple(map(_checked_resource, request.get("Resources", ()))) or _RESOURCES
    root = {"Arn": f"arn:aws:iam::{caller.account}:root", "Statuses": _statuses(names)}
    return {"Principals": [root]}


def modify_id_format(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller
    resource = _checked_resource(request["Resource"])
    if not request["UseLongIds"]:
        raise UnsupportedOperation(f"The ids of type '{resource}' cannot be short any more.")
    return {}


def modify_identity_id_format(svc: Services, caller: Caller, request: Request) -> Result:
    if request["PrincipalArn"] != _EVERYBODY:
        _checked_principal(caller, request["PrincipalArn"])
    return modify_id_format(svc, caller, request)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeIdFormat": operation(describe_id_format, "Resource"),
    "DescribeAggregateIdFormat": operation(describe_aggregate_id_format),
    "DescribeIdentityIdFormat": operation(describe_identity_id_format, "Resource", "PrincipalArn"),
    "DescribePrincipalIdFormat": operation(
        describe_principal_id_format, "Resources", "MaxResults", "NextToken"
    ),
    "ModifyIdFormat": operation(
        modify_id_format, "Resource", "UseLongIds", partly="ids are long, and stay so"
    ),
    "ModifyIdentityIdFormat": operation(
        modify_identity_id_format,
        *("Resource", "UseLongIds", "PrincipalArn"),
        partly="ids are long, and stay so",
    ),
}
