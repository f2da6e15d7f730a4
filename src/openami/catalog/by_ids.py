"""Rows of many resources by their ids, with statements that are made once.

To build a statement costs SQLAlchemy five times what SQLite takes to run it, so what every
listing needs is built when its module is read, with `IDS` where the ids go.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from sqlalchemy import BindParameter, Row, Select, bindparam

from openami.catalog.catalog import Transaction

IDS: Final[BindParameter[Any]] = bindparam("ids", expanding=True)
_AT_ONCE: Final = 500  # SQL engines limit the values of one IN


def rows(
    tx: Transaction, statement: Select[*tuple[Any, ...]], ids: Iterable[str], **values: Any
) -> Iterator[Row[*tuple[Any, ...]]]:
    """The rows of `statement`, which has `in_(IDS)`, for all of `ids`."""
    wanted = iter(ids)
    while part := list(islice(wanted, _AT_ONCE)):
        yield from tx.execute(statement, {"ids": part, **values})


def fields(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Column name → value. SQLAlchemy's public method has a name that no column can have."""
    return row._asdict()  # pyright: ignore[reportPrivateUsage]
