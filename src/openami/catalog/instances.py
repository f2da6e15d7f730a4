"""Instances in SQL, with the security groups they are in. Their volumes are in catalog/volumes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy import update as sql_update

from openami.catalog import filters, prepared
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.instance_filters import FILTERS
from openami.catalog.schema import instance_security_groups as members
from openami.catalog.schema import instances
from openami.domain.caller import Caller
from openami.domain.errors import InstanceNotFound
from openami.domain.filter import Filter, Page
from openami.domain.ids import AccountId, InstanceId, Region, ReservationId, SubnetId
from openami.domain.instance import Instance, InstanceState

S = InstanceState
LIVE = (S.PENDING, S.RUNNING, S.STOPPING, S.SHUTTING_DOWN)
"""The states in which an instance may have a machine, and so needs memory of the host."""


# Of all columns: named with the values, each would be an object anew each time, ten times as slow.
_BY_ID: Final = prepared.Prepared(select(instances).where(instances.c.id == bindparam("its_id")))
_OF_RESERVATION: Final = prepared.Prepared(
    select(instances)
    .where(instances.c.reservation_id == bindparam("reservation_id"))
    .order_by(instances.c.launch_index)
)
_PRIVATE_IPS: Final = prepared.Prepared(
    select(instances.c.private_ip).where(
        instances.c.subnet_id == bindparam("subnet_id"), instances.c.state != S.TERMINATED
    )
)
_PUBLIC_IPS: Final = prepared.Prepared(
    select(instances.c.public_ip).where(instances.c.public_ip.is_not(None))
)
_PORT_NUMBERS: Final = prepared.Prepared(
    select(instances.c.port_number).where(instances.c.port_number.is_not(None))
)
_LIVE_TYPES: Final = prepared.Prepared(
    select(instances.c.instance_type, func.count(literal(1)).label("count"))
    .where(instances.c.state.in_(LIVE))
    .group_by(instances.c.instance_type)
)
_SAVE: Final = sql_update(instances).where(instances.c.id == bindparam("its_id"))


def _instance(row: RowMapping) -> Instance:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    return Instance(**values)


def _row(instance: Instance) -> dict[str, Any]:
    return {column.name: getattr(instance, column.name) for column in instances.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[Instance]:
    return [_instance(row) for row in tx.execute(query).mappings()]


def add(tx: Transaction, instance: Instance) -> None:
    tx.execute(insert(instances), _row(instance))
    _write_groups(tx, instance)


def save(tx: Transaction, instance: Instance) -> None:
    """Write a changed instance. One that is terminated holds nothing any more."""
    tx.execute(_SAVE, {**_row(instance), "its_id": instance.id})
    tx.execute(delete(members).where(members.c.instance_id == instance.id))
    if instance.state is not S.TERMINATED:
        _write_groups(tx, instance)


def _write_groups(tx: Transaction, instance: Instance) -> None:
    for group_id in instance.security_group_ids:
        tx.execute(insert(members), {"instance_id": instance.id, "group_id": group_id})


def remove(tx: Transaction, instance_id: InstanceId) -> None:
    tx.execute(delete(members).where(members.c.instance_id == instance_id))
    tx.execute(delete(instances).where(instances.c.id == instance_id))


def _of(account: AccountId, region: Region) -> ColumnElement[bool]:
    return (instances.c.owner == account) & (instances.c.region == region)


def fetch_owned(
    tx: Transaction, instance_id: InstanceId, account: AccountId, region: Region
) -> Instance:
    """Raises InstanceNotFound."""
    return fetch_all_owned(tx, [instance_id], account, region)[0]


def fetch_all_owned(
    tx: Transaction, instance_ids: Sequence[InstanceId], account: AccountId, region: Region
) -> list[Instance]:
    """In the order asked, each once. Raises InstanceNotFound that names all that are missing."""
    query = select(instances).where(_of(account, region), instances.c.id.in_(instance_ids))
    found = {instance.id: instance for instance in _found(tx, query)}
    missing = [each for each in instance_ids if each not in found]
    if missing:
        raise InstanceNotFound(*dict.fromkeys(missing))
    return [found[each] for each in dict.fromkeys(instance_ids)]


def fetch_any(tx: Transaction, instance_id: InstanceId) -> Instance | None:
    """For workflows and the host: whoever owns it; None if it is gone."""
    found = _BY_ID.rows(tx, its_id=instance_id)
    return Instance(**prepared.fields(found[0])) if found else None


def in_state(tx: Transaction, *states: InstanceState) -> list[Instance]:
    """For sweeps: every instance of the host in one of the states, oldest launch first."""
    query = select(instances).where(instances.c.state.in_(states))
    return _found(tx, query.order_by(instances.c.launched_at, instances.c.launch_index))


def of_reservation(tx: Transaction, reservation_id: ReservationId) -> list[Instance]:
    found = _OF_RESERVATION.rows(tx, reservation_id=reservation_id)
    return [Instance(**prepared.fields(row)) for row in found]


def terminated_before(tx: Transaction, moment: datetime) -> list[Instance]:
    query = select(instances).where(
        instances.c.state == S.TERMINATED, instances.c.terminated_at < moment
    )
    return _found(tx, query)


def describe(
    tx: Transaction,
    caller: Caller,
    instance_ids: Sequence[InstanceId],
    conditions: Sequence[Filter],
    page: Page,
    known: Mapping[str, Condition] = FILTERS,
) -> list[Instance]:
    """The caller's instances in the region, by id. Raises InstanceNotFound for ids not theirs.

    `known` is the table of the filters that may be used.
    """
    query = select(instances).where(
        _of(caller.account, caller.region),
        filters.where(conditions, known, instances.c.id, caller.account),
    )
    if instance_ids:
        fetch_all_owned(tx, instance_ids, caller.account, caller.region)
        query = query.where(instances.c.id.in_(instance_ids))
    if page.after is not None:
        query = query.where(instances.c.id > page.after)
    return _found(tx, query.order_by(instances.c.id).limit(page.limit))


def used_private_ips(tx: Transaction, subnet_id: SubnetId) -> set[str]:
    return {row.private_ip for row in _PRIVATE_IPS.rows(tx, subnet_id=subnet_id)}


def used_public_ips(tx: Transaction) -> set[str]:
    return {row.public_ip for row in _PUBLIC_IPS.rows(tx)}


def used_port_numbers(tx: Transaction) -> set[int]:
    return {row.port_number for row in _PORT_NUMBERS.rows(tx)}


def live_types(tx: Transaction) -> Mapping[str, int]:
    """Instance type → how many instances of it need memory of the host now."""
    return {name: count for name, count in _LIVE_TYPES.rows(tx)}
