"""Buckets in SQL: whose they are. What is in them, the S3 store knows."""

from typing import Any

from sqlalchemy import delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import buckets
from openami.domain.bucket import Bucket
from openami.domain.ids import AccountId


def _row(bucket: Bucket) -> dict[str, Any]:
    return {column.name: getattr(bucket, column.name) for column in buckets.columns}


def add(tx: Transaction, bucket: Bucket) -> None:
    tx.execute(insert(buckets).values(_row(bucket)))


def remove(tx: Transaction, bucket: Bucket) -> bool:
    """Whether it was there: the same one, not a later one of its name."""
    its_row = (
        buckets.c.name == bucket.name,
        buckets.c.owner == bucket.owner,
        buckets.c.created_at == bucket.created_at,
    )
    return tx.execute(delete(buckets).where(*its_row)).rowcount > 0


def find(tx: Transaction, name: str) -> Bucket | None:
    """Whosever it is: names are one space for all accounts, as in S3."""
    row = tx.execute(select(buckets).where(buckets.c.name == name)).mappings().first()
    return None if row is None else Bucket(**{str(key): value for key, value in row.items()})


def owned_by(tx: Transaction, account: AccountId) -> list[Bucket]:
    query = select(buckets).where(buckets.c.owner == account).order_by(buckets.c.name)
    rows = tx.execute(query).mappings()
    return [Bucket(**{str(key): value for key, value in row.items()}) for row in rows]
