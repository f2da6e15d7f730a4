"""Snapshots that are written block by block, in SQL: how far they are, and their blocks so far.

A block's row is written when its chunk is durable, and keeps it as long as the snapshot is pending.
"""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.sql import and_

from openami.catalog.catalog import Catalog, Transaction
from openami.catalog.schema import direct_blocks as blocks
from openami.catalog.schema import direct_snapshots as writings
from openami.catalog.schema import snapshots
from openami.domain.block import HOLE, Digest
from openami.domain.direct.writing import Writing
from openami.domain.ids import AccountId, Region, SnapshotId
from openami.domain.snapshot import SnapshotState

W: Final = writings.c
B: Final = blocks.c
_IN_MEMORY: Final = 10_000


def add(tx: Transaction, writing: Writing) -> None:
    tx.execute(insert(writings).values(_row(writing)))


def save(tx: Transaction, writing: Writing) -> None:
    mine = W.snapshot_id == writing.snapshot_id
    tx.execute(update(writings).where(mine).values(_row(writing)))


def remove(tx: Transaction, snapshot_id: SnapshotId) -> None:
    """Its blocks go by and by: there may be a hundred million."""
    tx.execute(delete(writings).where(W.snapshot_id == snapshot_id))


def find(tx: Transaction, snapshot_id: SnapshotId) -> Writing | None:
    """None for a snapshot that StartSnapshot did not begin."""
    row = tx.execute(select(writings).where(W.snapshot_id == snapshot_id)).mappings().first()
    return None if row is None else _writing(row)


def pending(tx: Transaction) -> list[Writing]:
    """Those whose snapshots are neither completed nor given up."""
    rows = tx.execute(_pending().order_by(W.snapshot_id)).mappings()
    return [_writing(row) for row in rows]


def count_pending(tx: Transaction, account: AccountId, region: Region) -> int:
    mine = _pending().where(W.owner == account, W.region == region)
    return int(tx.scalar(select(func.count()).select_from(mine.subquery())) or 0)


def _pending() -> Any:
    its = and_(snapshots.c.id == W.snapshot_id, snapshots.c.state == SnapshotState.PENDING)
    return select(writings).join(snapshots, its)


def _row(writing: Writing) -> dict[str, Any]:
    return {column.name: getattr(writing, column.name) for column in writings.columns}


def _writing(row: Any) -> Writing:
    return Writing(**{str(name): value for name, value in row.items()})


def put_block(
    tx: Transaction, snapshot_id: SnapshotId, index: int, digest: Digest, checksum: bytes
) -> None:
    """What the block holds from now on, and the SHA256 of it."""
    tx.execute(delete(blocks).where(B.snapshot_id == snapshot_id, B.block_index == index))
    tx.execute(
        insert(blocks).values(
            snapshot_id=snapshot_id, block_index=index, digest=digest, checksum=checksum
        )
    )


def count_blocks(tx: Transaction, snapshot_id: SnapshotId) -> int:
    mine = select(func.count()).select_from(blocks).where(B.snapshot_id == snapshot_id)
    return int(tx.scalar(mine) or 0)


def blocks_after(
    tx: Transaction, snapshot_id: SnapshotId, after: int, limit: int
) -> list[tuple[int, Digest]]:
    """At most `limit` of the blocks that were written, in order, from the one after `after`."""
    query = (
        select(B.block_index, B.digest)
        .where(B.snapshot_id == snapshot_id, B.block_index > after)
        .order_by(B.block_index)
        .limit(limit)
    )
    return [(int(index), Digest(bytes(digest))) for index, digest in tx.execute(query)]


def checksums_after(
    tx: Transaction, snapshot_id: SnapshotId, after: int, limit: int
) -> list[tuple[int, bytes]]:
    """At most `limit` of the blocks' SHA256s, in order, from the one after `after`."""
    query = (
        select(B.block_index, B.checksum)
        .where(B.snapshot_id == snapshot_id, B.block_index > after)
        .order_by(B.block_index)
        .limit(limit)
    )
    return [(int(index), bytes(checksum)) for index, checksum in tx.execute(query)]


def digests(catalog: Catalog, region: Region) -> Iterator[list[Digest]]:
    """The chunks that pending snapshots of the region have by now, part by part.

    Each part is of its own moment. Who asks for roots as well does so afterwards: a snapshot
    that is completed meanwhile is found by its root.
    """
    with catalog.read() as tx:
        writers = [each.snapshot_id for each in pending(tx) if each.region == region]
    for snapshot_id in writers:
        after = -1
        while True:
            with catalog.read() as tx:
                found = blocks_after(tx, snapshot_id, after, _IN_MEMORY)
            if not found:
                break
            yield [digest for _, digest in found if digest != HOLE]
            after = found[-1][0]


def all_digests(tx: Transaction, region: Region) -> frozenset[Digest]:
    """The same of one moment, at once."""
    its = _pending().where(W.region == region).subquery().c.snapshot_id
    query = select(B.digest).distinct().where(B.snapshot_id.in_(select(its)))
    return frozenset(Digest(bytes(digest)) for digest in tx.scalars(query)) - {HOLE}


def stale(tx: Transaction) -> SnapshotId | None:
    """A snapshot that has blocks here and is not written any more: it is not pending, or gone."""
    last = ""
    # From one snapshot to the next by the index: the blocks in between may be very many.
    while found := tx.scalar(select(func.min(B.snapshot_id)).where(B.snapshot_id > last)):
        its = (snapshots.c.id == found) & (snapshots.c.state == SnapshotState.PENDING)
        if tx.scalar(select(snapshots.c.id).where(its)) is None:
            return SnapshotId(found)
        last = str(found)
    return None


def purge_blocks(tx: Transaction, snapshot_id: SnapshotId, limit: int) -> None:
    """Forget the first `limit` of its blocks, or fewer."""
    mine = select(B.block_index).where(B.snapshot_id == snapshot_id).order_by(B.block_index)
    last = tx.scalar(mine.offset(limit - 1).limit(1))
    first = B.snapshot_id == snapshot_id
    if last is not None:
        first &= B.block_index <= last
    tx.execute(delete(blocks).where(first))
