"""What is to be taken out of the S3 store when it answers again, in SQL."""

from typing import Final

from sqlalchemy import ColumnElement, and_, delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import left_uploads
from openami.domain.ids import AccountId
from openami.domain.transfers.left_upload import LeftUpload

C: Final = left_uploads.c


def add(tx: Transaction, left: LeftUpload) -> None:
    """Once for an object; where the object itself is left, that stays known."""
    earlier = find(tx, left.bucket, left.key)
    forget(tx, left.bucket, left.key)
    row = {column.name: getattr(left, column.name) for column in left_uploads.columns}
    row["is_object"] = left.is_object or (earlier is not None and earlier.is_object)
    tx.execute(insert(left_uploads).values(row))


def forget(tx: Transaction, bucket: str, key: str) -> None:
    tx.execute(delete(left_uploads).where(_at(bucket, key)))


def find(tx: Transaction, bucket: str, key: str) -> LeftUpload | None:
    return next(iter(_found(tx, _at(bucket, key))), None)


def every(tx: Transaction) -> list[LeftUpload]:
    return _found(tx)


def _at(bucket: str, key: str) -> ColumnElement[bool]:
    return and_(C.bucket == bucket, C.key == key)


def _found(tx: Transaction, *conditions: ColumnElement[bool]) -> list[LeftUpload]:
    query = select(left_uploads).where(*conditions).order_by(C.bucket, C.key)
    return [
        LeftUpload(
            bucket=row["bucket"],
            key=row["key"],
            owner=AccountId(row["owner"]),
            is_object=row["is_object"],
        )
        for row in tx.execute(query).mappings()
    ]
