"""Which tags of instances would be told in notifications of events that are scheduled for them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from openami.actions.instance.settings import change_settings, get_settings
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterCombination, InvalidParameterValue
from openami.domain.instance_settings import InstanceSettings
from openami.ec2.operation import Operation, Request, Result, operation
from openami.services import Services


def describe(svc: Services, caller: Caller, _request: Request) -> Result:
    return _answer(get_settings(svc, caller))


def register(svc: Services, caller: Caller, request: Request) -> Result:
    every, keys = _asked(request["InstanceTagAttribute"], all_by=True)
    return _answer(
        change_settings(
            svc,
            caller,
            lambda its: replace(its, notifies_all_tags=True) if every else its.notifying(keys),
        )
    )


def deregister(svc: Services, caller: Caller, request: Request) -> Result:
    every, keys = _asked(request["InstanceTagAttribute"], all_by=False)
    return _answer(
        change_settings(
            svc,
            caller,
            lambda its: (
                replace(its, notifies_all_tags=False, notified_tag_keys=())
                if every
                else its.not_notifying(keys)
            ),
        )
    )


def _asked(raw: Mapping[str, Any], *, all_by: bool) -> tuple[bool, Sequence[str]]:
    """Whether all tags are meant, which IncludeAllTagsOfInstance says by `all_by`, or which."""
    keys: Sequence[str] = raw.get("InstanceTagKeys", ())
    said = raw.get("IncludeAllTagsOfInstance")
    if said is not None and said is not all_by:
        raise InvalidParameterValue(
            f"Value ({str(said).lower()}) for parameter IncludeAllTagsOfInstance is invalid."
        )
    if (said is None) == (not keys):
        raise InvalidParameterCombination(
            "Specify either IncludeAllTagsOfInstance or InstanceTagKeys."
        )
    return said is not None, keys


def _answer(its: InstanceSettings) -> Result:
    return {
        "InstanceTagAttribute": {
            "InstanceTagKeys": its.notified_tag_keys,
            "IncludeAllTagsOfInstance": its.notifies_all_tags,
        }
    }


_PARTLY: Final = "openami sends no notifications"

OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeInstanceEventNotificationAttributes": operation(describe),
    "RegisterInstanceEventNotificationAttributes": operation(
        register, "InstanceTagAttribute", partly=_PARTLY
    ),
    "DeregisterInstanceEventNotificationAttributes": operation(deregister, "InstanceTagAttribute"),
}
