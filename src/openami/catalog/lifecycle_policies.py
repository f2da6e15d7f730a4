"""Lifecycle policies in SQL. Their plans are never searched in: there are at most a hundred."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, delete, insert, select
from sqlalchemy import update as sql_update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import lifecycle_policies as policies
from openami.catalog.schema import lifecycle_runs as runs
from openami.domain.caller import Caller
from openami.domain.lifecycle_policy import (
    CopyRule,
    CreateRule,
    CustomPlan,
    DefaultPlan,
    Exclusions,
    FastRestoreRule,
    LifecyclePolicy,
    Limit,
    Pairs,
    Period,
    Plan,
    PolicyId,
    PolicyType,
    Schedule,
    ShareRule,
    Target,
    Unit,
)
from openami.domain.lifecycle_rules import PolicyNotFound

Raw = dict[str, Any]


def _row(policy: LifecyclePolicy) -> Raw:
    row = {column.name: getattr(policy, column.name) for column in policies.columns}
    kind = "default" if isinstance(policy.plan, DefaultPlan) else "custom"
    row["plan"] = json.dumps({kind: dataclasses.asdict(policy.plan)})
    row["tags"] = json.dumps(dict(policy.tags))
    row["ran_through"] = json.dumps(
        {name: moment.isoformat() for name, moment in policy.ran_through.items()}
    )
    return row


def _policy(row: RowMapping) -> LifecyclePolicy:
    values: Raw = {str(name): value for name, value in row.items()}
    values["plan"] = _plan(json.loads(values["plan"]))
    values["tags"] = json.loads(values["tags"])
    values["ran_through"] = {
        name: datetime.fromisoformat(text)
        for name, text in json.loads(values["ran_through"]).items()
    }
    return LifecyclePolicy(**values)


def _found(tx: Transaction, query: Select[Any]) -> list[LifecyclePolicy]:
    return [_policy(row) for row in tx.execute(query).mappings()]


def add(tx: Transaction, policy: LifecyclePolicy) -> None:
    tx.execute(insert(policies).values(_row(policy)))


def save(tx: Transaction, policy: LifecyclePolicy) -> None:
    tx.execute(sql_update(policies).where(policies.c.id == policy.id).values(_row(policy)))


def remove(tx: Transaction, policy_id: PolicyId) -> None:
    """With its runs: what they made is nobody's but its owner's any more."""
    tx.execute(delete(runs).where(runs.c.policy_id == policy_id))
    tx.execute(delete(policies).where(policies.c.id == policy_id))


def owned(tx: Transaction, caller: Caller) -> list[LifecyclePolicy]:
    """The caller's policies in the region, oldest first; not those that were deleted."""
    query = select(policies).where(
        policies.c.owner == caller.account,
        policies.c.region == caller.region,
        policies.c.deleted_at.is_(None),
    )
    return _found(tx, query.order_by(policies.c.created_at, policies.c.id))


def fetch_owned(tx: Transaction, policy_id: str, caller: Caller) -> LifecyclePolicy:
    """Raises PolicyNotFound."""
    for policy in owned(tx, caller):
        if policy.id == policy_id:
            return policy
    raise PolicyNotFound(policy_id)


def fetch_any(tx: Transaction, policy_id: PolicyId) -> LifecyclePolicy | None:
    """For the sweep: whoever owns it, deleted or not."""
    found = _found(tx, select(policies).where(policies.c.id == policy_id))
    return found[0] if found else None


def everyone(tx: Transaction) -> list[LifecyclePolicy]:
    """For the sweep: every policy there is, also those that were deleted."""
    return _found(tx, select(policies).order_by(policies.c.created_at, policies.c.id))


def _plan(raw: Mapping[str, Raw]) -> Plan:
    if "default" in raw:
        return _default(raw["default"])
    custom = raw["custom"]
    excluded = custom["exclude_data_volume_tags"]
    return CustomPlan(
        policy_type=PolicyType(custom["policy_type"]),
        target=Target(custom["target"]),
        target_tags=_pairs(custom["target_tags"]),
        schedules=tuple(_schedule(each) for each in custom["schedules"]),
        no_reboot=custom["no_reboot"],
        exclude_boot_volume=custom["exclude_boot_volume"],
        exclude_data_volume_tags=None if excluded is None else _pairs(excluded),
    )


def _default(raw: Raw) -> DefaultPlan:
    left_out = raw["exclusions"]
    return DefaultPlan(
        target=Target(raw["target"]),
        create_days=raw["create_days"],
        retain_days=raw["retain_days"],
        copy_tags=raw["copy_tags"],
        extend_deletion=raw["extend_deletion"],
        copy_regions=tuple(raw["copy_regions"]),
        exclusions=None
        if left_out is None
        else Exclusions(
            boot_volumes=left_out["boot_volumes"],
            volume_types=tuple(left_out["volume_types"]),
            tags=_pairs(left_out["tags"]),
        ),
    )


def _pairs(raw: Sequence[Sequence[str]]) -> Pairs:
    return tuple((key, value) for key, value in raw)


def _period(raw: Raw | None) -> Period | None:
    return None if raw is None else Period(interval=raw["interval"], unit=Unit(raw["unit"]))


def _limit(raw: Raw) -> Limit:
    return Limit(count=raw["count"], age=_period(raw["age"]))


def _fast_restore(raw: Raw) -> FastRestoreRule:
    return FastRestoreRule(
        zones=tuple(raw["zones"]), by_id=raw["by_id"], lasts=_limit(raw["lasts"])
    )


def _schedule(raw: Raw) -> Schedule:
    return Schedule(
        name=raw["name"],
        named=raw["named"],
        create=CreateRule(**raw["create"]),
        retain=_limit(raw["retain"]),
        copy_tags=raw["copy_tags"],
        tags_to_add=_pairs(raw["tags_to_add"]),
        variable_tags=_pairs(raw["variable_tags"]),
        deprecate=None if raw["deprecate"] is None else _limit(raw["deprecate"]),
        copies=tuple(
            CopyRule(
                region=each["region"],
                copy_tags=each["copy_tags"],
                retain=_period(each["retain"]),
                deprecate=_period(each["deprecate"]),
            )
            for each in raw["copies"]
        ),
        shares=tuple(
            ShareRule(accounts=tuple(each["accounts"]), unshare=_period(each["unshare"]))
            for each in raw["shares"]
        ),
        fast_restore=None if raw["fast_restore"] is None else _fast_restore(raw["fast_restore"]),
        archive=None if raw["archive"] is None else _limit(raw["archive"]),
    )
