"""The rules by which deleted resources go to the Recycle Bin."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from openami.actions.quotas import Quota, check_count
from openami.catalog import retention_rules as rules
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.recycle_bin import (
    RULES_OF_A_TAG_MAX,
    LockState,
    ResourceType,
    RetentionRule,
    RuleNotFound,
    TagPattern,
    TooManyRules,
)
from openami.services import Services

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRequest:
    """What CreateRule is told."""

    resource_type: ResourceType
    retention_days: int
    description: str
    resource_tags: tuple[TagPattern, ...]
    exclude_tags: tuple[TagPattern, ...]
    tags: Mapping[str, str]
    unlock_delay_days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChange:
    """What UpdateRule is told; None leaves a part as it is."""

    retention_days: int | None
    description: str | None
    resource_tags: tuple[TagPattern, ...] | None
    exclude_tags: tuple[TagPattern, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleScope:
    """Which rules ListRules is asked for; empty tuples and None ask for all of the type."""

    resource_type: ResourceType
    resource_tags: tuple[TagPattern, ...] = ()
    exclude_tags: tuple[TagPattern, ...] = ()
    lock_state: LockState | None = None


def create_rule(svc: Services, caller: Caller, asked: RuleRequest) -> RetentionRule:
    """A rule that holds at once. Raises InvalidRule, TooManyRules."""
    with svc.catalog.begin() as tx:
        rule = RetentionRule(
            id=svc.ids.new("rule")[-11:],
            region=caller.region,
            owner=caller.account,
            resource_type=asked.resource_type,
            retention_days=asked.retention_days,
            created_at=svc.clock.now(),
            description=asked.description,
            resource_tags=asked.resource_tags,
            exclude_tags=asked.exclude_tags,
            tags=asked.tags,
            unlock_delay_days=asked.unlock_delay_days,
        )
        _check_quotas(svc, tx, rule)
        rules.add(tx, rule)
    return rule


def _check_quotas(svc: Services, tx: Transaction, rule: RetentionRule) -> None:
    others = [each for each in rules.of_place(tx, rule.owner, rule.region) if each.id != rule.id]
    check_count(svc, Quota.RETENTION_RULES, len(others) + 1)
    for tag in rule.resource_tags:
        if sum(tag in each.resource_tags for each in others) >= RULES_OF_A_TAG_MAX:
            raise TooManyRules(f"The tag {tag.key} is in {RULES_OF_A_TAG_MAX} rules already.")


def get_rule(svc: Services, caller: Caller, rule_id: str) -> RetentionRule:
    """Raises RuleNotFound."""
    with svc.catalog.read() as tx:
        return rules.fetch_owned(tx, rule_id, caller.account, caller.region)


def list_rules(svc: Services, caller: Caller, scope: RuleScope) -> Sequence[RetentionRule]:
    """The caller's rules for a type of resource, by id."""
    with svc.catalog.read() as tx:
        found = rules.of_place(tx, caller.account, caller.region, scope.resource_type)
    now = svc.clock.now()
    return [
        rule
        for rule in found
        if set(scope.resource_tags) <= set(rule.resource_tags)
        and set(scope.exclude_tags) <= set(rule.exclude_tags)
        and scope.lock_state in (None, rule.lock_state(now))
    ]


def update_rule(svc: Services, caller: Caller, rule_id: str, change: RuleChange) -> RetentionRule:
    """Another rule from now on; what is in the bin keeps its time. Raises WrongRuleState."""

    def changed(rule: RetentionRule) -> RetentionRule:
        kept = rule.changeable(svc.clock.now())
        return replace(
            kept,
            retention_days=_or(change.retention_days, kept.retention_days),
            description=_or(change.description, kept.description),
            resource_tags=_or(change.resource_tags, kept.resource_tags),
            exclude_tags=_or(change.exclude_tags, kept.exclude_tags),
        )

    return _change(svc, caller, rule_id, changed)


def _or(given: T | None, kept: T) -> T:
    return kept if given is None else given


def delete_rule(svc: Services, caller: Caller, rule_id: str) -> None:
    """What it brought into the bin stays there for its time. Raises WrongRuleState."""
    with svc.catalog.begin() as tx:
        rule = rules.fetch_owned(tx, rule_id, caller.account, caller.region)
        rules.remove(tx, rule.changeable(svc.clock.now()))


def lock_rule(svc: Services, caller: Caller, rule_id: str, unlock_delay_days: int) -> RetentionRule:
    """Neither changed nor deleted until it is unlocked and the delay has passed."""
    now = svc.clock.now()
    return _change(svc, caller, rule_id, lambda rule: rule.locked(unlock_delay_days, now))


def unlock_rule(svc: Services, caller: Caller, rule_id: str) -> RetentionRule:
    """Begins the delay after which the rule can be changed again."""
    return _change(svc, caller, rule_id, lambda rule: rule.unlocked(svc.clock.now()))


def tag_rule(svc: Services, caller: Caller, arn: str, tags: Mapping[str, str]) -> None:
    """Raises RuleNotFound, TooManyRules for too many tags."""
    _change(
        svc, caller, _id_of(caller, arn), lambda rule: replace(rule, tags={**rule.tags, **tags})
    )


def untag_rule(svc: Services, caller: Caller, arn: str, keys: Sequence[str]) -> None:
    def without(rule: RetentionRule) -> RetentionRule:
        return replace(rule, tags={k: v for k, v in rule.tags.items() if k not in keys})

    _change(svc, caller, _id_of(caller, arn), without)


def rule_of_arn(svc: Services, caller: Caller, arn: str) -> RetentionRule:
    return get_rule(svc, caller, _id_of(caller, arn))


def _id_of(caller: Caller, arn: str) -> str:
    head, _, rule_id = arn.partition("/")
    if head != f"arn:aws:rbin:{caller.region}:{caller.account}:rule":
        raise RuleNotFound(arn)
    return rule_id


def _change(
    svc: Services,
    caller: Caller,
    rule_id: str,
    change: Callable[[RetentionRule], RetentionRule],
) -> RetentionRule:
    with svc.catalog.begin() as tx:
        changed = change(rules.fetch_owned(tx, rule_id, caller.account, caller.region))
        _check_quotas(svc, tx, changed)
        rules.save(tx, changed)
    return changed
