"""Collection in SQL: a region's round, the ingests it waits for, and what is condemned.

An object is its kind's letter and its digest, as the stores name it.
"""

from collections.abc import Collection, Iterator
from itertools import groupby, islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, delete, exists, insert, literal, select, update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import (
    collection_awaited,
    collection_rounds,
    condemned,
    direct_snapshots,
    ingest_leases,
)
from openami.domain.block import Digest
from openami.domain.collection import Round
from openami.domain.ids import Region

Named = tuple[str, Digest]

C: Final = condemned.c
_DIGESTS_AT_ONCE: Final = 500
"""SQLite takes a few thousand parameters in a statement."""


def find(tx: Transaction, region: Region) -> Round | None:
    query = select(collection_rounds).where(collection_rounds.c.region == region)
    row = tx.execute(query).mappings().first()
    return None if row is None else Round(**{str(name): value for name, value in row.items()})


def steps(tx: Transaction, region: Region) -> int:
    """As long as this is the same, nothing goes that a writer has found or had spared meanwhile,
    but what is among the condemned now."""
    last = find(tx, region)
    return 0 if last is None else last.steps


def failing(tx: Transaction) -> list[Round]:
    """The rounds that did not get on when they were last tried."""
    query = select(collection_rounds).where(collection_rounds.c.failures > 0)
    rows = tx.execute(query.order_by(collection_rounds.c.region)).mappings()
    return [Round(**{str(name): value for name, value in row.items()}) for row in rows]


def save(tx: Transaction, one: Round) -> None:
    """Write down how far a region's round is; it is the only one that the region has."""
    row = {column.name: getattr(one, column.name) for column in collection_rounds.columns}
    tx.execute(delete(collection_rounds).where(collection_rounds.c.region == one.region))
    tx.execute(insert(collection_rounds).values(row))


def condemn(tx: Transaction, region: Region, named: Collection[Named]) -> None:
    """Write down what no disk seems to need. Doing so again is harmless."""
    known = condemned_among(tx, region, named)
    rows = [
        {"region": region, "kind": kind, "digest": digest, "doomed": False}
        for kind, digest in named
        if (kind, digest) not in known
    ]
    if rows:
        tx.execute(insert(condemned), rows)


def await_ingests(tx: Transaction, region: Region) -> None:
    """From now on the round waits for every ingest that is under way in the region.

    A snapshot that is written block by block is none, but while its manifest is being made: its
    rows hold what was written, and each put looks once more.
    """
    tx.execute(delete(collection_awaited).where(collection_awaited.c.region == region))
    rests = exists().where(
        direct_snapshots.c.snapshot_id == ingest_leases.c.resource_id,
        direct_snapshots.c.at_work.is_(False),
    )
    under_way = select(literal(region), ingest_leases.c.resource_id).where(
        (ingest_leases.c.region == region) | ingest_leases.c.region.is_(None), ~rests
    )
    tx.execute(insert(collection_awaited).from_select(["region", "resource_id"], under_way))


def await_no_more(tx: Transaction, resource_id: str) -> None:
    """It relies on nothing that it found, and will look anew, knowing what is condemned."""
    tx.execute(delete(collection_awaited).where(collection_awaited.c.resource_id == resource_id))


def awaited(tx: Transaction, region: Region) -> list[str]:
    """The ingests that were under way and still are."""
    query = (
        select(collection_awaited.c.resource_id)
        .join(ingest_leases, ingest_leases.c.resource_id == collection_awaited.c.resource_id)
        .where(collection_awaited.c.region == region)
        .order_by(collection_awaited.c.resource_id)
    )
    return list(tx.scalars(query))


def condemned_after(
    tx: Transaction, region: Region, after: Named | None, limit: int
) -> list[Named]:
    """At most `limit` of what is condemned and not doomed, in order, after `after`."""
    query = select(C.kind, C.digest).where(C.region == region, C.doomed.is_(False))
    if after is not None:
        kind, digest = after
        query = query.where((C.kind > kind) | ((C.kind == kind) & (C.digest > digest)))
    return _named(tx, query.order_by(C.kind, C.digest).limit(limit))


def doomed(tx: Transaction, region: Region, limit: int) -> list[Named]:
    """At most `limit` of what is being deleted."""
    query = select(C.kind, C.digest).where(C.region == region, C.doomed.is_(True))
    return _named(tx, query.order_by(C.kind, C.digest).limit(limit))


def any_condemned(tx: Transaction, region: Region) -> bool:
    """Or doomed."""
    return tx.scalar(select(C.kind).where(C.region == region).limit(1)) is not None


def condemned_among(tx: Transaction, region: Region, named: Collection[Named]) -> set[Named]:
    """Those that are condemned or doomed."""
    return {each for part in _parts(region, named) for each in _found(tx, part)}


def doom(tx: Transaction, region: Region, named: Collection[Named]) -> None:
    """Those that are condemned still will be deleted, whoever asks for them."""
    for part in _parts(region, named):
        tx.execute(update(condemned).where(part, C.doomed.is_(False)).values(doomed=True))


def reprieve(tx: Transaction, region: Region) -> None:
    """What was being deleted and is still there is only condemned again."""
    tx.execute(update(condemned).where(C.region == region, C.doomed.is_(True)).values(doomed=False))


def spare(tx: Transaction, region: Region, named: Collection[Named]) -> None:
    """Take away the condemnation of those that are not doomed."""
    for part in _parts(region, named):
        tx.execute(delete(condemned).where(part, C.doomed.is_(False)))


def deleted(tx: Transaction, region: Region, named: Collection[Named]) -> None:
    """The doomed objects are gone: who waits for that may write them again."""
    for part in _parts(region, named):
        tx.execute(delete(condemned).where(part, C.doomed.is_(True)))


def _found(tx: Transaction, which: ColumnElement[bool]) -> list[Named]:
    return _named(tx, select(C.kind, C.digest).where(which))


def _named(tx: Transaction, query: Select[Any, Any]) -> list[Named]:
    return [(str(kind), Digest(bytes(digest))) for kind, digest in tx.execute(query)]


def _parts(region: Region, named: Collection[Named]) -> Iterator[ColumnElement[bool]]:
    """Conditions that are true of these rows, each short enough for a statement."""
    for kind, group in groupby(sorted(named), key=lambda each: each[0]):
        while part := [bytes(digest) for _, digest in islice(group, _DIGESTS_AT_ONCE)]:
            yield (C.region == region) & (C.kind == kind) & C.digest.in_(part)
