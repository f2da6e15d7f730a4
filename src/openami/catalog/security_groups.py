"""Security groups and their rules in SQL."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import bindparam, delete, exists, insert, select

from openami.catalog import filters, prepared
from openami.catalog.catalog import Transaction
from openami.catalog.schema import instance_security_groups as members
from openami.catalog.schema import instances
from openami.catalog.schema import security_group_rules as rules
from openami.catalog.schema import security_groups as groups
from openami.domain.caller import Caller
from openami.domain.errors import SecurityGroupNotFound
from openami.domain.filter import Filter, Page
from openami.domain.ids import InstanceId, SecurityGroupId, SecurityGroupRuleId, VpcId
from openami.domain.instance import InstanceState
from openami.domain.network import SecurityGroup, SecurityGroupRule

_OF_GROUP = rules.c.group_id == groups.c.id

_NAMED: Final = prepared.Prepared(
    select(groups).where(
        groups.c.vpc_id == bindparam("of_vpc"), groups.c.name == bindparam("its_name")
    )
)
_NAMES: Final = prepared.Prepared(
    select(groups.c.id, groups.c.name).where(groups.c.id.in_(prepared.IDS))
)
_RULES: Final = prepared.Prepared(
    select(rules).where(rules.c.group_id.in_(prepared.IDS)).order_by(rules.c.group_id, rules.c.id)
)
_ADDRESSES: Final = prepared.Prepared(
    select(members.c.group_id, instances.c.private_ip)
    .join(instances, instances.c.id == members.c.instance_id)
    .where(members.c.group_id.in_(prepared.IDS), instances.c.state != InstanceState.TERMINATED)
    .order_by(members.c.group_id, instances.c.private_ip)
)

FILTERS = {
    "group-id": filters.column(groups.c.id),
    "group-name": filters.column(groups.c.name),
    "description": filters.column(groups.c.description),
    "vpc-id": filters.column(groups.c.vpc_id),
    "owner-id": filters.column(groups.c.owner),
    **{
        f"{prefix}ip-permission.{name}": filters.child(
            _OF_GROUP & (rules.c.is_egress == egress), column
        )
        for prefix, egress in (("", False), ("egress.", True))
        for name, column in (
            ("cidr", rules.c.cidr_ipv4),
            ("ipv6-cidr", rules.c.cidr_ipv6),
            ("from-port", rules.c.from_port),
            ("to-port", rules.c.to_port),
            ("protocol", rules.c.protocol),
            ("group-id", rules.c.source_group_id),
        )
    },
}

RULE_FILTERS = {
    "group-id": filters.column(rules.c.group_id),
    "security-group-rule-id": filters.column(rules.c.id),
}


def fetch_owned(tx: Transaction, group_id: str, caller: Caller) -> SecurityGroup:
    """Raises SecurityGroupNotFound."""
    query = select(groups).where(
        groups.c.id == group_id, groups.c.owner == caller.account, groups.c.region == caller.region
    )
    row = tx.execute(query).mappings().first()
    if row is None:
        raise SecurityGroupNotFound(group_id)
    return SecurityGroup(**row)


def find_named(tx: Transaction, vpc_id: VpcId, name: str) -> SecurityGroup | None:
    found = _NAMED.rows(tx, of_vpc=vpc_id, its_name=name)
    return SecurityGroup(**prepared.fields(found[0])) if found else None


def fetch_named(tx: Transaction, vpc_id: VpcId, name: str) -> SecurityGroup:
    """Raises SecurityGroupNotFound."""
    found = find_named(tx, vpc_id, name)
    if found is None:
        raise SecurityGroupNotFound(name)
    return found


def names_of(tx: Transaction, group_ids: Iterable[str]) -> dict[str, str]:
    return {group_id: name for group_id, name in _NAMES.rows_of(tx, sorted(set(group_ids)))}


def add(tx: Transaction, group: SecurityGroup) -> None:
    tx.execute(
        insert(groups).values(
            id=group.id,
            vpc_id=group.vpc_id,
            region=group.region,
            owner=group.owner,
            name=group.name,
            description=group.description,
        )
    )


def remove(tx: Transaction, group_id: SecurityGroupId) -> None:
    tx.execute(delete(rules).where(rules.c.group_id == group_id))
    tx.execute(delete(groups).where(groups.c.id == group_id))


def describe(
    tx: Transaction, caller: Caller, conditions: Sequence[Filter], page: Page
) -> list[SecurityGroup]:
    query = select(groups).where(
        groups.c.owner == caller.account,
        groups.c.region == caller.region,
        filters.where(conditions, FILTERS, groups.c.id, caller.account),
    )
    if page.after is not None:
        query = query.where(groups.c.id > page.after)
    rows = tx.execute(query.order_by(groups.c.id).limit(page.limit)).mappings()
    return [SecurityGroup(**row) for row in rows]


def add_rule(tx: Transaction, rule: SecurityGroupRule) -> None:
    tx.execute(
        insert(rules).values(
            id=rule.id,
            group_id=rule.group_id,
            is_egress=rule.is_egress,
            protocol=rule.protocol,
            from_port=rule.from_port,
            to_port=rule.to_port,
            cidr_ipv4=rule.cidr_ipv4,
            cidr_ipv6=rule.cidr_ipv6,
            source_group_id=rule.source_group_id,
            description=rule.description,
        )
    )


def remove_rules(tx: Transaction, rule_ids: Iterable[SecurityGroupRuleId]) -> None:
    tx.execute(delete(rules).where(rules.c.id.in_(list(rule_ids))))


def rules_of(tx: Transaction, group_ids: Iterable[str]) -> list[SecurityGroupRule]:
    """All rules of the groups, oldest group first and in the order of their ids."""
    rows = _RULES.rows_of(tx, sorted(set(group_ids)))  # which keeps their order, however many
    return [SecurityGroupRule(**prepared.fields(row)) for row in rows]


def describe_rules(
    tx: Transaction, caller: Caller, conditions: Sequence[Filter], page: Page
) -> list[SecurityGroupRule]:
    query = (
        select(rules)
        .join(groups, _OF_GROUP)
        .where(
            groups.c.owner == caller.account,
            groups.c.region == caller.region,
            filters.where(conditions, RULE_FILTERS, rules.c.id, caller.account),
        )
    )
    if page.after is not None:
        query = query.where(rules.c.id > page.after)
    rows = tx.execute(query.order_by(rules.c.id).limit(page.limit)).mappings()
    return [SecurityGroupRule(**row) for row in rows]


def is_used(tx: Transaction, group_id: SecurityGroupId) -> bool:
    """Whether an instance is in the group, or a rule of another group names it."""
    by_instance = exists().where(members.c.group_id == group_id)
    by_rule = exists().where(rules.c.source_group_id == group_id, rules.c.group_id != group_id)
    return bool(tx.scalar(select(by_instance | by_rule)))


def addresses_of(tx: Transaction, group_ids: Iterable[str]) -> dict[str, list[str]]:
    """Group → the private addresses of the instances in it."""
    found: dict[str, list[str]] = {}
    for group_id, address in _ADDRESSES.rows_of(tx, sorted(set(group_ids))):
        found.setdefault(group_id, []).append(address)
    return found


def running_members(tx: Transaction, group_ids: Iterable[str]) -> list[InstanceId]:
    """The running instances whose firewall these groups' rules make."""
    query = (
        select(members.c.instance_id)
        .join(instances, instances.c.id == members.c.instance_id)
        .where(members.c.group_id.in_(set(group_ids)), instances.c.state == InstanceState.RUNNING)
        .distinct()
        .order_by(members.c.instance_id)
    )
    return [InstanceId(each) for each in tx.scalars(query)]


def groups_that_name(tx: Transaction, group_ids: Iterable[str]) -> set[SecurityGroupId]:
    """The groups with an ingress rule whose source is one of `group_ids`."""
    query = select(rules.c.group_id).where(
        rules.c.source_group_id.in_(set(group_ids)), rules.c.is_egress.is_(False)
    )
    return {SecurityGroupId(each) for each in tx.scalars(query)}
