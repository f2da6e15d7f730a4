"""Event windows in SQL."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy import update as sql_update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import event_windows as table
from openami.domain.errors import EC2Error
from openami.domain.event_window import EventWindow
from openami.domain.ids import AccountId, EventWindowId, InstanceId, Region


def _row(window: EventWindow) -> dict[str, Any]:
    return {column.name: getattr(window, column.name) for column in table.columns}


def add(tx: Transaction, window: EventWindow) -> None:
    tx.execute(insert(table).values(_row(window)))


def save(tx: Transaction, window: EventWindow) -> None:
    tx.execute(sql_update(table).where(table.c.id == window.id).values(_row(window)))


def remove(tx: Transaction, window_id: EventWindowId) -> None:
    tx.execute(delete(table).where(table.c.id == window_id))


def _of(account: AccountId, region: Region) -> ColumnElement[bool]:
    return (table.c.owner == account) & (table.c.region == region)


def all_owned(tx: Transaction, account: AccountId, region: Region) -> list[EventWindow]:
    """By id."""
    query = select(table).where(_of(account, region)).order_by(table.c.id)
    return [EventWindow(**row) for row in tx.execute(query).mappings()]


def fetch_owned(
    tx: Transaction, window_id: EventWindowId, account: AccountId, region: Region
) -> EventWindow:
    """Raises InvalidInstanceEventWindowID.NotFound."""
    return fetch_all_owned(tx, [window_id], account, region)[0]


def fetch_all_owned(
    tx: Transaction, window_ids: Sequence[EventWindowId], account: AccountId, region: Region
) -> list[EventWindow]:
    """Each once. Raises InvalidInstanceEventWindowID.NotFound for the first that is missing."""
    query = select(table).where(_of(account, region), table.c.id.in_(window_ids))
    found = {row["id"]: EventWindow(**row) for row in tx.execute(query).mappings()}
    for window_id in window_ids:
        if window_id not in found:
            raise EC2Error.of(
                "InvalidInstanceEventWindowID.NotFound",
                f"The instance event window ID '{window_id}' does not exist",
            )
    return [found[each] for each in dict.fromkeys(window_ids)]


def forget_instance(
    tx: Transaction, account: AccountId, region: Region, instance_id: InstanceId
) -> None:
    """The instance is gone: it is no target any more."""
    for window in all_owned(tx, account, region):
        if instance_id in window.instance_ids:
            left = tuple(each for each in window.instance_ids if each != instance_id)
            save(tx, replace(window, instance_ids=left))
