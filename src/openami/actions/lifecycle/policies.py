"""Lifecycle policies: made, told, changed, deleted. What they do is in lifecycle_runs.

https://docs.aws.amazon.com/dlm/latest/APIReference/API_Operations.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from openami.actions.quotas import Quota, check_count
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.lifecycle_policy import (
    CustomPlan,
    DefaultPlan,
    LifecyclePolicy,
    Plan,
    PolicyId,
    PolicyState,
    with_names_of,
)
from openami.domain.lifecycle_rules import (
    POLICY_TAGS_MAX,
    PolicyLimitExceeded,
    PolicyNotFound,
    check_change,
    check_plan,
    check_policy,
    check_policy_tags,
    refuse,
)
from openami.services import Services

_ARN = re.compile(r"arn:aws:dlm:([a-z0-9-]+):([0-9]{12}):policy/(policy-[0-9a-f]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What CreateLifecyclePolicy is told."""

    description: str
    state: PolicyState
    execution_role_arn: str
    plan: Plan
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What UpdateLifecyclePolicy is told; None leaves a thing as it is."""

    description: str | None = None
    state: PolicyState | None = None
    execution_role_arn: str | None = None
    plan: Callable[[Plan], Plan] = lambda plan: plan


def create_lifecycle_policy(svc: Services, caller: Caller, wanted: Wanted) -> PolicyId:
    """Its first run is the first that its schedules plan after this moment."""
    now = svc.clock.now()
    policy = LifecyclePolicy(
        id=PolicyId(svc.ids.new("policy")),
        region=caller.region,
        owner=caller.account,
        description=wanted.description,
        state=wanted.state,
        execution_role_arn=wanted.execution_role_arn,
        created_at=now,
        modified_at=now,
        plan=wanted.plan,
        tags=wanted.tags,
    )
    check_policy(policy)
    check_plan(policy, svc.settings.regions, now)
    with svc.catalog.begin() as tx:
        _check_room(svc, policies.owned(tx, caller), policy)
        policies.add(tx, policy)
    return policy.id


def _check_room(svc: Services, held: Sequence[LifecyclePolicy], policy: LifecyclePolicy) -> None:
    plan = policy.plan
    if isinstance(plan, DefaultPlan):
        targets = [each.plan.target for each in held if isinstance(each.plan, DefaultPlan)]
        if plan.target in targets:
            raise PolicyLimitExceeded(
                f"There is a default policy for {plan.target} in this Region already"
            )
    else:
        custom = sum(isinstance(each.plan, CustomPlan) for each in held)
        check_count(svc, Quota.LIFECYCLE_POLICIES, custom + 1)


def get_lifecycle_policy(svc: Services, caller: Caller, policy_id: str) -> LifecyclePolicy:
    with svc.catalog.read() as tx:
        return policies.fetch_owned(tx, policy_id, caller)


def get_lifecycle_policies(
    svc: Services, caller: Caller, ids: Sequence[str]
) -> Sequence[LifecyclePolicy]:
    """The caller's policies, oldest first. Raises PolicyNotFound for an id not theirs."""
    with svc.catalog.read() as tx:
        found = policies.owned(tx, caller)
    unknown = [each for each in ids if each not in {policy.id for policy in found}]
    if unknown:
        raise PolicyNotFound(*unknown)
    return [policy for policy in found if not ids or policy.id in ids]


def update_lifecycle_policy(svc: Services, caller: Caller, policy_id: str, change: Change) -> None:
    """Nothing is made up for: a schedule that is new, or runs again, begins now."""
    now = svc.clock.now()
    with svc.catalog.begin() as tx:
        before = policies.fetch_owned(tx, policy_id, caller)
        state = before.state if change.state is None else change.state
        after = replace(
            before,
            description=_given(change.description, before.description),
            execution_role_arn=_given(change.execution_role_arn, before.execution_role_arn),
            state=state,
            status_message=before.status_message if state is PolicyState.ERROR else None,
            plan=_named_as(before.plan, change.plan(before.plan)),
            modified_at=now,
        )
        check_policy(after)
        if after.plan != before.plan:  # what it says already may have had its time
            check_plan(after, svc.settings.regions, now)
            check_change(before, after)
            runs.leave_all_but(tx, after.id, [each.name for each in after.schedules])
        policies.save(tx, replace(after, ran_through=_ran_through(before, after, now)))


def _named_as(before: Plan, after: Plan) -> Plan:
    if isinstance(before, CustomPlan) and isinstance(after, CustomPlan):
        return replace(after, schedules=with_names_of(before.schedules, after.schedules))
    return after


def _given(value: str | None, otherwise: str) -> str:
    return otherwise if value is None else value


def _ran_through(
    before: LifecyclePolicy, after: LifecyclePolicy, now: datetime
) -> Mapping[str, datetime]:
    rules = {schedule.name: schedule.create for schedule in before.schedules}
    return {
        schedule.name: before.ran_through.get(schedule.name, before.created_at)
        if before.runs and rules.get(schedule.name) == schedule.create
        else now
        for schedule in after.schedules
    }


def delete_lifecycle_policy(svc: Services, caller: Caller, policy_id: str) -> None:
    """What it made stays, unless it is a default policy that extends deletion."""
    with svc.catalog.begin() as tx:
        policy = policies.fetch_owned(tx, policy_id, caller)
        if policy.deletes_after_its_end and runs.any_of(tx, policy.id):
            policies.save(tx, replace(policy, deleted_at=svc.clock.now()))
        else:
            policies.remove(tx, policy.id)


def tag_resource(svc: Services, caller: Caller, arn: str, tags: Mapping[str, str]) -> None:
    check_policy_tags(tags)
    with svc.catalog.begin() as tx:
        policy = _by_arn(tx, caller, arn)
        after = {**policy.tags, **tags}
        refuse(len(after) > POLICY_TAGS_MAX, f"A policy has at most {POLICY_TAGS_MAX} tags")
        policies.save(tx, replace(policy, tags=after))


def untag_resource(svc: Services, caller: Caller, arn: str, keys: Sequence[str]) -> None:
    with svc.catalog.begin() as tx:
        policy = _by_arn(tx, caller, arn)
        kept = {key: value for key, value in policy.tags.items() if key not in keys}
        policies.save(tx, replace(policy, tags=kept))


def list_tags_for_resource(svc: Services, caller: Caller, arn: str) -> Mapping[str, str]:
    with svc.catalog.read() as tx:
        return _by_arn(tx, caller, arn).tags


def _by_arn(tx: Transaction, caller: Caller, arn: str) -> LifecyclePolicy:
    """Raises InvalidLifecycleRequest for what is no ARN of a policy, PolicyNotFound."""
    found = _ARN.fullmatch(arn)
    refuse(found is None, f"'{arn[:200]}' is not the ARN of a lifecycle policy")
    assert found is not None
    held = (
        policies.owned(tx, caller) if found.group(1, 2) == (caller.region, caller.account) else ()
    )
    for policy in held:
        if policy.id == found[3]:
            return policy
    raise PolicyNotFound(arn)
