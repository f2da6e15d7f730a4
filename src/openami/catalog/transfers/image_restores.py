"""Images that are being restored out of buckets, in SQL."""

from typing import Any, Final

from sqlalchemy import Select, delete, func, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import image_restores
from openami.domain.caller import Caller
from openami.domain.ids import ImageId
from openami.domain.transfers.image_restore import ImageRestore

C: Final = image_restores.c


def add(tx: Transaction, restore: ImageRestore) -> None:
    row = {column.name: getattr(restore, column.name) for column in image_restores.columns}
    tx.execute(insert(image_restores).values(row))


def end(tx: Transaction, image_id: ImageId) -> None:
    """The image has its bytes, or will never."""
    tx.execute(delete(image_restores).where(C.image_id == image_id))


def fetch_any(tx: Transaction, image_id: ImageId) -> ImageRestore | None:
    """For workflows; None if the image is not being restored."""
    found = _found(tx, select(image_restores).where(C.image_id == image_id))
    return found[0] if found else None


def every(tx: Transaction) -> list[ImageRestore]:
    return _found(tx, select(image_restores).order_by(C.image_id))


def size_gib(tx: Transaction, caller: Caller) -> int:
    """What the account restores in the region now."""
    query = select(func.sum(C.size_gib)).where(C.owner == caller.account, C.region == caller.region)
    return int(tx.scalar(query) or 0)


def _found(tx: Transaction, query: Select[Any]) -> list[ImageRestore]:
    rows = tx.execute(query).mappings()
    return [ImageRestore(**{str(name): value for name, value in row.items()}) for row in rows]
