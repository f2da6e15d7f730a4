"""What is in the Recycle Bin, in SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import binned
from openami.domain.caller import Caller
from openami.domain.filter import Page
from openami.domain.recycle_bin import Binned, ResourceType

C = binned.c


def _found(tx: Transaction, query: Select[Any]) -> list[Binned]:
    rows = tx.execute(query).mappings()
    return [Binned(**{str(name): value for name, value in row.items()}) for row in rows]


def add(tx: Transaction, thing: Binned) -> None:
    row = {column.name: getattr(thing, column.name) for column in binned.columns}
    tx.execute(insert(binned).values(row))


def remove(tx: Transaction, resource_id: str) -> None:
    tx.execute(delete(binned).where(C.resource_id == resource_id))


def find_owned(
    tx: Transaction, resource_type: ResourceType, resource_id: str, caller: Caller
) -> Binned | None:
    """None for what the caller does not have in the bin."""
    mine = (C.owner == caller.account) & (C.region == caller.region)
    this = (C.resource_id == resource_id) & (C.resource_type == resource_type)
    found = _found(tx, select(binned).where(mine, this))
    return found[0] if found else None


def of_caller(
    tx: Transaction,
    caller: Caller,
    resource_type: ResourceType,
    ids: Sequence[str],
    page: Page,
) -> list[Binned]:
    """What the caller has in the bin, by id; with `ids`, only these."""
    query = select(binned).where(
        C.owner == caller.account, C.region == caller.region, C.resource_type == resource_type
    )
    if ids:
        query = query.where(C.resource_id.in_(ids))
    if page.after is not None:
        query = query.where(C.resource_id > page.after)
    return _found(tx, query.order_by(C.resource_id).limit(page.limit))


def expired(tx: Transaction, now: datetime) -> list[Binned]:
    """For the sweep: whose time in the bin is over, whoever owns it."""
    return _found(tx, select(binned).where(C.exits_at <= now).order_by(C.resource_id))
