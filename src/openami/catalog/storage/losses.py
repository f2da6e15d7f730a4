"""What is known to be lost of a region's store, from when it was met until it is found again.

An object is its kind's letter and its digest, as the stores name it.
"""

from collections.abc import Collection
from typing import Final

from sqlalchemy import delete, func, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import known_losses
from openami.catalog.storage.collection import Named
from openami.domain.block import Digest
from openami.domain.ids import Region

L: Final = known_losses.c
KEPT_MAX: Final = 100
"""Per region, once so many are known: a disk that is lost as a whole must not fill the catalog."""


def known(tx: Transaction, region: Region) -> set[Named]:
    rows = tx.execute(select(L.kind, L.digest).where(L.region == region))
    return {(str(kind), Digest(bytes(digest))) for kind, digest in rows}


def regions(tx: Transaction) -> dict[Region, int]:
    """Region → how many objects are known to be lost, where any is."""
    query = select(L.region, func.count()).group_by(L.region).order_by(L.region)
    return {Region(region): count for region, count in tx.execute(query)}


def note(tx: Transaction, region: Region, lost: Collection[Named]) -> None:
    """Write down as many of them as are kept; those that are known stay."""
    before = known(tx, region)
    fresh = [each for each in dict.fromkeys(lost) if each not in before]
    rows = [
        {"region": region, "kind": kind, "digest": digest}
        for kind, digest in fresh[: max(0, KEPT_MAX - len(before))]
    ]
    if rows:
        tx.execute(insert(known_losses), rows)


def forget(tx: Transaction, region: Region, found: Collection[Named]) -> None:
    """They are there again, or nobody relies on them any more."""
    for kind, digest in found:
        tx.execute(
            delete(known_losses).where(L.region == region, L.kind == kind, L.digest == digest)
        )
