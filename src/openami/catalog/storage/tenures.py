"""What the catalog has written into its stores, to see whether another writes there, too."""

from sqlalchemy import delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import tenures
from openami.domain.collection import Tenure
from openami.domain.ids import Region


def find(tx: Transaction, region: Region) -> Tenure | None:
    row = tx.execute(select(tenures).where(tenures.c.region == region)).mappings().first()
    return None if row is None else Tenure(**{str(name): value for name, value in row.items()})


def disputed(tx: Transaction) -> list[Region]:
    """The regions in whose stores another server has been at work."""
    query = select(tenures.c.region).where(tenures.c.is_disputed.is_(True))
    return [Region(each) for each in tx.scalars(query.order_by(tenures.c.region))]


def save(tx: Transaction, one: Tenure) -> None:
    row = {column.name: getattr(one, column.name) for column in tenures.columns}
    tx.execute(delete(tenures).where(tenures.c.region == one.region))
    tx.execute(insert(tenures).values(row))
