"""Security groups: made, changed and removed; running machines follow at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from openami.actions.network import default_network, ensure_default, everything
from openami.catalog import security_groups, tags
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, SecurityGroupNotFound, VpcNotFound
from openami.domain.filter import Filter, Page
from openami.domain.ids import SecurityGroupId, SecurityGroupRuleId, VpcId
from openami.domain.network import SecurityGroup, SecurityGroupRule
from openami.domain.security_group import (
    RULES_MAX,
    Permission,
    check_description,
    check_name,
)
from openami.services import Services
from openami.workflows import machines

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupName:
    """How a request names a group: by id, or by its name in the default VPC."""

    id: SecurityGroupId | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedGroup:
    group: SecurityGroup
    rules: tuple[SecurityGroupRule, ...]
    tags: Tags

    @property
    def id(self) -> SecurityGroupId:
        return self.group.id


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedRule:
    rule: SecurityGroupRule
    owner: str
    tags: Tags

    @property
    def id(self) -> SecurityGroupRuleId:
        return self.rule.id


def create_security_group(
    svc: Services, caller: Caller, name: str, description: str, vpc_id: VpcId | None, tagged: Tags
) -> SecurityGroup:
    """A group that lets nothing in and everything out. Raises InvalidGroup.Duplicate."""
    check_name(name)
    check_description(description)
    with svc.catalog.begin() as tx:
        vpc, _ = ensure_default(svc, tx, caller)
        if vpc_id is not None and vpc_id != vpc.id:
            raise VpcNotFound(vpc_id)
        if security_groups.find_named(tx, vpc.id, name) is not None:
            raise EC2Error.of(
                "InvalidGroup.Duplicate",
                f"The security group '{name}' already exists for VPC '{vpc.id}'",
            )
        group = SecurityGroup(
            id=SecurityGroupId(svc.ids.new("sg")),
            vpc_id=vpc.id,
            region=caller.region,
            owner=caller.account,
            name=name,
            description=description,
        )
        security_groups.add(tx, group)
        security_groups.add_rule(tx, everything(svc, group.id, cidr_ipv4="0.0.0.0/0"))
        tags.put(tx, caller.account, caller.region, ("security-group", group.id), tagged)
    return group


def delete_security_group(svc: Services, caller: Caller, named: GroupName) -> SecurityGroupId:
    """Raises DependencyViolation while an instance or another group's rule needs it."""
    with svc.catalog.begin() as tx:
        group = _named(svc, tx, caller, named)
        if group.name == "default":
            raise EC2Error.of(
                "CannotDelete",
                f'the specified group: "{group.id}" name: "default" cannot be deleted by a user',
            )
        if security_groups.is_used(tx, group.id):
            raise EC2Error.of("DependencyViolation", f"resource {group.id} has a dependent object")
        for rule in security_groups.rules_of(tx, [group.id]):
            tags.remove_all(tx, rule.id)
        security_groups.remove(tx, group.id)
        tags.remove_all(tx, group.id)
    return group.id


def describe_security_groups(
    svc: Services,
    caller: Caller,
    asked: Sequence[GroupName],
    conditions: Sequence[Filter],
    page: Page,
) -> list[DescribedGroup]:
    """By id; those in `asked` if there are any. Raises SecurityGroupNotFound."""
    default_network(svc, caller)  # its default group is there from the first look
    with svc.catalog.read() as tx:
        wanted = {_named(svc, tx, caller, each).id for each in asked}
        if wanted:
            ids = Filter(name="group-id", values=tuple(wanted))
            conditions = (*conditions, ids)
        found = security_groups.describe(tx, caller, conditions, page)
        rules = security_groups.rules_of(tx, [group.id for group in found])
        tagged = tags.of_many(tx, caller.account, [group.id for group in found])
    return [
        DescribedGroup(
            group=group,
            rules=tuple(rule for rule in rules if rule.group_id == group.id),
            tags=tagged.get(group.id, {}),
        )
        for group in found
    ]


def describe_security_group_rules(
    svc: Services,
    caller: Caller,
    rule_ids: Sequence[SecurityGroupRuleId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[DescribedRule]:
    """By id. Raises InvalidSecurityGroupRuleId.NotFound."""
    if rule_ids:
        ids = Filter(name="security-group-rule-id", values=tuple(rule_ids))
        conditions = (*conditions, ids)
    with svc.catalog.read() as tx:
        found = security_groups.describe_rules(tx, caller, conditions, page)
        tagged = tags.of_many(tx, caller.account, [rule.id for rule in found])
    if rule_ids:
        _check_all_found(rule_ids, found)
    return [
        DescribedRule(rule=rule, owner=caller.account, tags=tagged.get(rule.id, {}))
        for rule in found
    ]


def _check_all_found(
    rule_ids: Sequence[SecurityGroupRuleId], found: Sequence[SecurityGroupRule]
) -> None:
    missing = set(rule_ids) - {rule.id for rule in found}
    if missing:
        raise EC2Error.of(
            "InvalidSecurityGroupRuleId.NotFound",
            f"The security group rule ID '{min(missing)}' does not exist",
        )


def authorize(
    svc: Services,
    caller: Caller,
    named: GroupName,
    permissions: Sequence[Permission],
    *,
    egress: bool,
    tagged: Tags,
) -> list[DescribedRule]:
    """Add rules, all or none. Raises InvalidPermission.Duplicate and what names a full group."""
    with svc.catalog.begin() as tx:
        group = _named(svc, tx, caller, named)
        present = _of_direction(tx, group, egress=egress)
        made: list[SecurityGroupRule] = []
        for permission in _resolved(tx, caller, group, permissions):
            if any(permission.same_as(rule) for rule in (*present, *made)):
                raise permission.duplicate()
            made.append(_rule(svc, group, permission, egress=egress))
        if len(present) + len(made) > RULES_MAX:
            raise EC2Error.of(
                "RulesPerSecurityGroupLimitExceeded",
                f"The maximum number of rules per security group has been reached ({RULES_MAX}).",
            )
        for rule in made:
            security_groups.add_rule(tx, rule)
            resource = ("security-group-rule", rule.id)
            tags.put(tx, caller.account, caller.region, resource, tagged)
    if not egress:
        _follow(svc, group.id)
    return [DescribedRule(rule=rule, owner=caller.account, tags=tagged) for rule in made]


def _resolved(
    tx: Transaction, caller: Caller, group: SecurityGroup, permissions: Sequence[Permission]
) -> list[Permission]:
    """The permissions with the ids of the groups they name. Raises SecurityGroupNotFound."""
    resolved: list[Permission] = []
    for each in permissions:
        if each.source_group_name is not None:
            found = security_groups.fetch_named(tx, group.vpc_id, each.source_group_name)
            resolved.append(replace(each, source_group_id=found.id, source_group_name=None))
        else:
            if each.source_group_id is not None:
                security_groups.fetch_owned(tx, each.source_group_id, caller)
            resolved.append(each)
    return resolved


def _rule(
    svc: Services, group: SecurityGroup, permission: Permission, *, egress: bool
) -> SecurityGroupRule:
    return SecurityGroupRule(
        id=SecurityGroupRuleId(svc.ids.new("sgr")),
        group_id=group.id,
        is_egress=egress,
        protocol=permission.protocol,
        from_port=permission.from_port,
        to_port=permission.to_port,
        cidr_ipv4=permission.cidr_ipv4,
        cidr_ipv6=permission.cidr_ipv6,
        source_group_id=permission.source_group_id,
        description=permission.description,
    )


def revoke(
    svc: Services,
    caller: Caller,
    named: GroupName,
    permissions: Sequence[Permission],
    *,
    egress: bool,
) -> list[SecurityGroupRule]:
    """Remove the rules that say so. Raises InvalidPermission.NotFound if one is not there."""
    with svc.catalog.begin() as tx:
        group = _named(svc, tx, caller, named)
        present = _of_direction(tx, group, egress=egress)
        gone: list[SecurityGroupRule] = []
        for permission in _resolved(tx, caller, group, permissions):
            matching = [rule for rule in present if permission.same_as(rule)]
            if not matching:
                raise EC2Error.of(
                    "InvalidPermission.NotFound",
                    "The specified rule does not exist in this security group.",
                )
            gone += matching
        _remove(tx, gone)
    if not egress:
        _follow(svc, group.id)
    return gone


def revoke_by_id(
    svc: Services,
    caller: Caller,
    named: GroupName,
    rule_ids: Sequence[SecurityGroupRuleId],
    *,
    egress: bool,
) -> list[SecurityGroupRule]:
    """Remove the rules of those ids. Raises InvalidSecurityGroupRuleId.NotFound."""
    with svc.catalog.begin() as tx:
        group = _named(svc, tx, caller, named)
        gone = [rule for rule in _of_direction(tx, group, egress=egress) if rule.id in rule_ids]
        _check_all_found(rule_ids, gone)
        _remove(tx, gone)
    if not egress:
        _follow(svc, group.id)
    return gone


def _remove(tx: Transaction, gone: Sequence[SecurityGroupRule]) -> None:
    security_groups.remove_rules(tx, [rule.id for rule in gone])
    for rule in gone:
        tags.remove_all(tx, rule.id)


def _of_direction(
    tx: Transaction, group: SecurityGroup, *, egress: bool
) -> list[SecurityGroupRule]:
    rules = security_groups.rules_of(tx, [group.id])
    return [rule for rule in rules if rule.is_egress == egress]


def _named(svc: Services, tx: Transaction, caller: Caller, named: GroupName) -> SecurityGroup:
    if named.id is not None:
        return security_groups.fetch_owned(tx, named.id, caller)
    vpc, _ = ensure_default(svc, tx, caller)  # the group "default" is always there
    found = security_groups.find_named(tx, vpc.id, named.name or "")
    if found is None:
        raise SecurityGroupNotFound(named.name or "")
    return found


def _follow(svc: Services, group_id: SecurityGroupId) -> None:
    """The firewalls of the group's running members do as the catalog says now."""
    with svc.catalog.read() as tx:
        members = security_groups.running_members(tx, [group_id])
    machines.refresh(svc, members)
