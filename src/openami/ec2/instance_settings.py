"""What an account settles for all its instances: metadata defaults, the serial console."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from openami.actions.instance.settings import change_settings, get_settings
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterCombination, InvalidParameterValue
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.run_instances import metadata_change
from openami.services import Services

_MEMBERS: Final[Mapping[str, str]] = {
    "HttpTokens": "http_tokens",
    "HttpEndpoint": "http_endpoint",
    "HttpPutResponseHopLimit": "http_put_response_hop_limit",
    "InstanceMetadataTags": "instance_metadata_tags",
    "HttpTokensEnforced": "http_tokens_enforced",
}
"""The members of a request, and the settings' fields."""

_NO_PREFERENCE: Final = ("no-preference", -1)
_ENFORCED: Final = ("enabled", "disabled", "no-preference")


def get_metadata_defaults(svc: Services, caller: Caller, _request: Request) -> Result:
    settings = get_settings(svc, caller)
    defaults = {member: getattr(settings, field) for member, field in _MEMBERS.items()}
    return {"AccountLevel": {**defaults, "ManagedBy": "account"}}


def modify_metadata_defaults(svc: Services, caller: Caller, request: Request) -> Result:
    given = {member: request[member] for member in _MEMBERS if member in request}
    if not given:
        raise InvalidParameterCombination("Specify at least one of the metadata defaults.")
    _check(given)
    fields = {
        _MEMBERS[member]: None if value in _NO_PREFERENCE else value
        for member, value in given.items()
    }
    change_settings(svc, caller, lambda settings: replace(settings, **fields))
    return {"Return": True}


def _check(given: Mapping[str, Any]) -> None:
    """What a launch takes, and no preference. Raises InvalidParameterValue."""
    enforced = given.get("HttpTokensEnforced", "no-preference")
    if enforced not in _ENFORCED:
        raise InvalidParameterValue(
            f"Value ({enforced}) for parameter HttpTokensEnforced is invalid."
            f" It must be one of {', '.join(_ENFORCED)}."
        )
    said = {
        member: value
        for member, value in given.items()
        if member != "HttpTokensEnforced" and value not in _NO_PREFERENCE
    }
    metadata_change(said, "")


def get_serial_console_access(svc: Services, caller: Caller, _request: Request) -> Result:
    return {"SerialConsoleAccessEnabled": get_settings(svc, caller).serial_console_access}


def _set_serial_console_access(svc: Services, caller: Caller, *, enabled: bool) -> Result:
    settings = change_settings(
        svc, caller, lambda settings: replace(settings, serial_console_access=enabled)
    )
    return {"SerialConsoleAccessEnabled": settings.serial_console_access}


def enable_serial_console_access(svc: Services, caller: Caller, _request: Request) -> Result:
    return _set_serial_console_access(svc, caller, enabled=True)


def disable_serial_console_access(svc: Services, caller: Caller, _request: Request) -> Result:
    return _set_serial_console_access(svc, caller, enabled=False)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GetInstanceMetadataDefaults": operation(get_metadata_defaults),
    "ModifyInstanceMetadataDefaults": operation(modify_metadata_defaults, *_MEMBERS),
    "GetSerialConsoleAccessStatus": operation(get_serial_console_access),
    "EnableSerialConsoleAccess": operation(
        enable_serial_console_access, partly="there is no interactive console"
    ),
    "DisableSerialConsoleAccess": operation(disable_serial_console_access),
}
