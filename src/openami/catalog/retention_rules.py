"""Retention rules of the Recycle Bin in SQL."""

from typing import Any

from sqlalchemy import Select, delete, insert, select
from sqlalchemy import update as sql_update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import retention_rules
from openami.domain.ids import AccountId, Region
from openami.domain.recycle_bin import ResourceType, RetentionRule, RuleNotFound

C = retention_rules.c


def _row(rule: RetentionRule) -> dict[str, Any]:
    return {column.name: getattr(rule, column.name) for column in retention_rules.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[RetentionRule]:
    rows = tx.execute(query).mappings()
    return [RetentionRule(**{str(name): value for name, value in row.items()}) for row in rows]


def add(tx: Transaction, rule: RetentionRule) -> None:
    tx.execute(insert(retention_rules).values(_row(rule)))


def save(tx: Transaction, rule: RetentionRule) -> None:
    tx.execute(sql_update(retention_rules).where(C.id == rule.id).values(_row(rule)))


def remove(tx: Transaction, rule: RetentionRule) -> None:
    tx.execute(delete(retention_rules).where(C.id == rule.id))


def fetch_owned(tx: Transaction, rule_id: str, account: AccountId, region: Region) -> RetentionRule:
    """Raises RuleNotFound."""
    mine = (C.owner == account) & (C.region == region)
    found = _found(tx, select(retention_rules).where(mine, C.id == rule_id))
    if not found:
        raise RuleNotFound(rule_id)
    return found[0]


def of_place(
    tx: Transaction,
    account: AccountId,
    region: Region,
    resource_type: ResourceType | None = None,
) -> list[RetentionRule]:
    """The account's rules in the region by id: all of them, or those for one type of resource."""
    query = select(retention_rules).where(C.owner == account, C.region == region)
    if resource_type is not None:
        query = query.where(C.resource_type == resource_type)
    return _found(tx, query.order_by(C.id))
