"""Lifecycle policies by DLM's names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from openami.actions.lifecycle import policies as actions
from openami.dlm import answers, plans
from openami.domain.caller import Caller
from openami.domain.lifecycle_policy import (
    CustomPlan,
    DefaultPlan,
    LifecyclePolicy,
    Pairs,
    Plan,
    PolicyState,
)
from openami.domain.lifecycle_rules import exclusive, missing, refuse
from openami.doors.operation import Operation, Request, Result, operation
from openami.services import Services


def create_lifecycle_policy(svc: Services, caller: Caller, request: Request) -> Result:
    absent = [each for each in ("ExecutionRoleArn", "Description", "State") if each not in request]
    if absent:
        raise missing(*absent)
    wanted = actions.Wanted(
        description=request["Description"],
        state=_settable(request["State"]),
        execution_role_arn=request["ExecutionRoleArn"],
        plan=plans.plan(request),
        tags=dict(request.get("Tags") or {}),
    )
    return {"PolicyId": actions.create_lifecycle_policy(svc, caller, wanted)}


def _settable(state: str) -> PolicyState:
    refuse(state not in ("ENABLED", "DISABLED"), f"State is ENABLED or DISABLED, not '{state}'")
    return PolicyState(state)


def get_lifecycle_policy(svc: Services, caller: Caller, request: Request) -> Result:
    found = actions.get_lifecycle_policy(svc, caller, request["PolicyId"])
    return {"Policy": answers.policy(found)}


def get_lifecycle_policies(svc: Services, caller: Caller, request: Request) -> Result:
    found = actions.get_lifecycle_policies(svc, caller, request.get("PolicyIds") or ())
    tests = [
        test(request[name]) for name, test in _FILTERS.items() if request.get(name) is not None
    ]
    shown = [answers.summary(each) for each in found if all(test(each) for test in tests)]
    return {"Policies": shown}


Test = Callable[[LifecyclePolicy], bool]


def _of_type(types: Sequence[str]) -> Test:
    return lambda policy: policy.plan.target in types


def _of_default_type(kind: str) -> Test:
    return lambda policy: (
        isinstance(policy.plan, DefaultPlan) and kind in ("ALL", str(policy.plan.target))
    )


def _having(pairs_of: Callable[[CustomPlan], Pairs], wanted: Sequence[str]) -> Test:
    """Whether one of the pairs is one of `wanted`, which are like "key=value"."""
    return lambda policy: (
        isinstance(policy.plan, CustomPlan)
        and any(f"{key}={value}" in wanted for key, value in pairs_of(policy.plan))
    )


def _added(plan: CustomPlan) -> Pairs:
    return tuple(pair for schedule in plan.schedules for pair in schedule.tags_to_add)


_FILTERS: Final[Mapping[str, Callable[[Any], Test]]] = {
    "State": lambda state: lambda policy: policy.state == state,
    "ResourceTypes": _of_type,
    "TargetTags": lambda wanted: _having(lambda plan: plan.target_tags, wanted),
    "TagsToAdd": lambda wanted: _having(_added, wanted),
    "DefaultPolicyType": _of_default_type,
}


def update_lifecycle_policy(svc: Services, caller: Caller, request: Request) -> Result:
    state = request.get("State")
    change = actions.Change(
        description=request.get("Description"),
        state=None if state is None else _settable(state),
        execution_role_arn=request.get("ExecutionRoleArn"),
        plan=lambda before: _changed(before, request),
    )
    actions.update_lifecycle_policy(svc, caller, request["PolicyId"], change)
    return {}


def _changed(before: Plan, request: Request) -> Plan:
    """The policy's kind, its type and what it is for stay as they are."""
    details: Mapping[str, Any] | None = request.get("PolicyDetails")
    beside = {name: request[name] for name in plans.DEFAULTS_MEMBERS if name in request}
    if isinstance(before, DefaultPlan):
        if details and beside:
            raise exclusive("PolicyDetails", *beside)
        return plans.default(before, details or beside)
    refuse(bool(beside), f"{', '.join(beside)} can only be specified for a default policy")
    if not details:
        return before
    told = answers.details(before)
    after = plans.custom({**told, **details})
    refuse(
        (after.policy_type, after.target) != (before.policy_type, before.target),
        "The PolicyType and the ResourceTypes of a policy cannot be changed",
    )
    return after


def delete_lifecycle_policy(svc: Services, caller: Caller, request: Request) -> Result:
    actions.delete_lifecycle_policy(svc, caller, request["PolicyId"])
    return {}


def tag_resource(svc: Services, caller: Caller, request: Request) -> Result:
    actions.tag_resource(svc, caller, request["ResourceArn"], request.get("Tags") or {})
    return {}


def untag_resource(svc: Services, caller: Caller, request: Request) -> Result:
    actions.untag_resource(svc, caller, request["ResourceArn"], request.get("TagKeys") or ())
    return {}


def list_tags_for_resource(svc: Services, caller: Caller, request: Request) -> Result:
    found = actions.list_tags_for_resource(svc, caller, request["ResourceArn"])
    return {"Tags": dict(found)}


_PARTLY: Final = "no policies on events, no Scripts, Outposts or encryption"

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateLifecyclePolicy": operation(
        create_lifecycle_policy,
        *("ExecutionRoleArn", "Description", "State", "PolicyDetails", "Tags", "DefaultPolicy"),
        *plans.DEFAULTS_MEMBERS,
        partly=_PARTLY,
    ),
    "GetLifecyclePolicy": operation(get_lifecycle_policy, "PolicyId"),
    "GetLifecyclePolicies": operation(get_lifecycle_policies, "PolicyIds", *_FILTERS),
    "UpdateLifecyclePolicy": operation(
        update_lifecycle_policy,
        *("PolicyId", "ExecutionRoleArn", "Description", "State", "PolicyDetails"),
        *plans.DEFAULTS_MEMBERS,
        partly=_PARTLY,
    ),
    "DeleteLifecyclePolicy": operation(delete_lifecycle_policy, "PolicyId"),
    "TagResource": operation(tag_resource, "ResourceArn", "Tags"),
    "UntagResource": operation(untag_resource, "ResourceArn", "TagKeys"),
    "ListTagsForResource": operation(list_tags_for_resource, "ResourceArn"),
}
