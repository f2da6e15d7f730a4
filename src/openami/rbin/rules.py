"""Retention rules: made, listed, changed, locked and tagged."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import retention_rules as actions
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.recycle_bin import (
    InvalidRule,
    LockState,
    ResourceType,
    RetentionRule,
    TagPattern,
)
from openami.doors.operation import Operation, Request, Result, operation
from openami.services import Services

PAGE_MAX: Final = 1000


def create_rule(svc: Services, caller: Caller, request: Request) -> Result:
    lock = request.get("LockConfiguration")
    asked = actions.RuleRequest(
        resource_type=ResourceType(request["ResourceType"]),
        retention_days=request["RetentionPeriod"]["RetentionPeriodValue"],
        description=request.get("Description", ""),
        resource_tags=_patterns(request, "ResourceTags") or (),
        exclude_tags=_patterns(request, "ExcludeResourceTags") or (),
        tags=_tags(request.get("Tags", ())),
        unlock_delay_days=None if lock is None else _delay(lock),
    )
    rule = actions.create_rule(svc, caller, asked)
    return _without(rule_answer(svc, rule), "LockEndTime") | {"Tags": _pairs(rule.tags)}


def _patterns(request: Request, name: str) -> tuple[TagPattern, ...] | None:
    """None if nothing is said of them."""
    if name not in request:
        return None
    return tuple(
        TagPattern(each["ResourceTagKey"], each.get("ResourceTagValue")) for each in request[name]
    )


def _tags(given: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    for tag in given:
        if tag["Key"].lower().startswith("aws:"):
            raise InvalidRule(f"Tag keys starting with 'aws:' are reserved: {tag['Key']}")
    return {tag["Key"]: tag["Value"] for tag in given}


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _delay(lock: Mapping[str, Any]) -> int:
    return int(lock["UnlockDelay"]["UnlockDelayValue"])


def rule_answer(svc: Services, rule: RetentionRule) -> dict[str, Any]:
    """A rule as all operations tell it. What it lacks is absent."""
    now = svc.clock.now()
    state = rule.lock_state(now)
    answer: dict[str, Any] = {
        "Identifier": rule.id,
        "RuleArn": rule.arn,
        "Description": rule.description,
        "ResourceType": rule.resource_type,
        "RetentionPeriod": {
            "RetentionPeriodValue": rule.retention_days,
            "RetentionPeriodUnit": "DAYS",
        },
        "ResourceTags": [_pattern(each) for each in rule.resource_tags],
        "ExcludeResourceTags": [_pattern(each) for each in rule.exclude_tags],
        "Status": "available",
        "LockState": state,
    }
    if rule.unlock_delay_days is not None:
        delay = {"UnlockDelayValue": rule.unlock_delay_days, "UnlockDelayUnit": "DAYS"}
        answer["LockConfiguration"] = {"UnlockDelay": delay}
    if state is LockState.PENDING_UNLOCK:
        answer["LockEndTime"] = rule.unlocks_at
    return {name: value for name, value in answer.items() if value is not None}


def _pattern(pattern: TagPattern) -> dict[str, str]:
    value = {} if pattern.value is None else {"ResourceTagValue": pattern.value}
    return {"ResourceTagKey": pattern.key, **value}


def _without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


def get_rule(svc: Services, caller: Caller, request: Request) -> Result:
    return rule_answer(svc, actions.get_rule(svc, caller, request["Identifier"]))


_SUMMARY: Final = ("Identifier", "Description", "RetentionPeriod", "LockState", "RuleArn")


def list_rules(svc: Services, caller: Caller, request: Request) -> Result:
    state = request.get("LockState")
    scope = actions.RuleScope(
        resource_type=ResourceType(request["ResourceType"]),
        resource_tags=_patterns(request, "ResourceTags") or (),
        exclude_tags=_patterns(request, "ExcludeResourceTags") or (),
        lock_state=None if state is None else LockState(state),
    )
    after = _place(request.get("NextToken"))
    limit: int = request.get("MaxResults", PAGE_MAX)
    found = [rule for rule in actions.list_rules(svc, caller, scope) if rule.id > after]
    shown = [rule_answer(svc, rule) for rule in found[:limit]]
    rules = [{name: each[name] for name in _SUMMARY if name in each} for each in shown]
    answer: dict[str, Any] = {"Rules": rules}
    if len(found) <= limit:
        return answer
    return {**answer, "NextToken": base64.b64encode(found[limit - 1].id.encode()).decode()}


def _place(token: str | None) -> str:
    """The id after which a page begins."""
    if token is None:
        return ""
    try:
        place = base64.b64decode(token, validate=True).decode()
    except (ValueError, binascii.Error):
        place = ""
    if len(place) != 11:
        raise EC2Error.of(
            "ValidationException", f"The token '{token}' is invalid.", Reason="INVALID_PAGE_TOKEN"
        )
    return place


def update_rule(svc: Services, caller: Caller, request: Request) -> Result:
    if "ResourceType" in request:
        raise InvalidRule("The resource type of a retention rule cannot be changed.")
    period = request.get("RetentionPeriod")
    change = actions.RuleChange(
        retention_days=None if period is None else period["RetentionPeriodValue"],
        description=request.get("Description"),
        resource_tags=_patterns(request, "ResourceTags"),
        exclude_tags=_patterns(request, "ExcludeResourceTags"),
    )
    rule = actions.update_rule(svc, caller, request["Identifier"], change)
    return _without(rule_answer(svc, rule), "LockConfiguration")


def delete_rule(svc: Services, caller: Caller, request: Request) -> Result:
    actions.delete_rule(svc, caller, request["Identifier"])
    return {}


def lock_rule(svc: Services, caller: Caller, request: Request) -> Result:
    days = _delay(request["LockConfiguration"])
    return rule_answer(svc, actions.lock_rule(svc, caller, request["Identifier"], days))


def unlock_rule(svc: Services, caller: Caller, request: Request) -> Result:
    return rule_answer(svc, actions.unlock_rule(svc, caller, request["Identifier"]))


def tag_resource(svc: Services, caller: Caller, request: Request) -> Result:
    actions.tag_rule(svc, caller, request["ResourceArn"], _tags(request["Tags"]))
    return {}


def untag_resource(svc: Services, caller: Caller, request: Request) -> Result:
    actions.untag_rule(svc, caller, request["ResourceArn"], request["TagKeys"])
    return {}


def list_tags_for_resource(svc: Services, caller: Caller, request: Request) -> Result:
    return {"Tags": _pairs(actions.rule_of_arn(svc, caller, request["ResourceArn"]).tags)}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateRule": operation(
        create_rule,
        *("RetentionPeriod", "Description", "Tags", "ResourceType", "ResourceTags"),
        *("LockConfiguration", "ExcludeResourceTags"),
    ),
    "GetRule": operation(get_rule, "Identifier"),
    "ListRules": operation(
        list_rules,
        *("ResourceType", "ResourceTags", "ExcludeResourceTags", "LockState"),
        *("MaxResults", "NextToken"),
    ),
    "UpdateRule": operation(
        update_rule,
        *("Identifier", "RetentionPeriod", "Description", "ResourceType", "ResourceTags"),
        "ExcludeResourceTags",
    ),
    "DeleteRule": operation(delete_rule, "Identifier"),
    "LockRule": operation(lock_rule, "Identifier", "LockConfiguration"),
    "UnlockRule": operation(unlock_rule, "Identifier"),
    "TagResource": operation(tag_resource, "ResourceArn", "Tags"),
    "UntagResource": operation(untag_resource, "ResourceArn", "TagKeys"),
    "ListTagsForResource": operation(list_tags_for_resource, "ResourceArn"),
}
