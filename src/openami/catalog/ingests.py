"""Ingest leases: who is writing chunks that no committed manifest names yet.

The order is lease, bytes, manifest; a collector waits for the leases (DESIGN section 4).
"""

from datetime import datetime

from sqlalchemy import delete, exists, insert, select, update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import ingest_leases as leases
from openami.domain.ids import Region
from openami.domain.volume import Volume


def begin(tx: Transaction, resource_id: str, at: datetime, base: Volume | None = None) -> None:
    """Take the lease before the first look at the store. Taking it again is harmless.

    Of the volume `base` the ingest copies what has changed; it relies on the rest being there,
    although the volume may go meanwhile.
    """
    if not tx.scalar(select(exists().where(leases.c.resource_id == resource_id))):
        lies_on = {} if base is None else {"region": base.region, "root": base.root}
        tx.execute(insert(leases).values(resource_id=resource_id, started_at=at, **lies_on))


def rely_on(tx: Transaction, resource_id: str, since_root: str) -> None:
    """What is ingested holds only what changed since this disk, which may lose its snapshot."""
    mine = leases.c.resource_id == resource_id
    tx.execute(update(leases).where(mine).values(since_root=since_root))


def end(tx: Transaction, resource_id: str) -> None:
    """Give the lease back, in the transaction that commits the manifest (or gives up)."""
    tx.execute(delete(leases).where(leases.c.resource_id == resource_id))


def is_active(tx: Transaction, resource_id: str) -> bool:
    return bool(tx.scalar(select(exists().where(leases.c.resource_id == resource_id))))


def all_roots(tx: Transaction, region: Region) -> set[str]:
    """What ingests of the region rely on without asking for it."""
    query = select(leases.c.root).where(leases.c.root.is_not(None), leases.c.region == region)
    return set(tx.scalars(query))


def all_since_roots(tx: Transaction, region: Region) -> set[str]:
    """The earlier disks of the region to which ingests have only the changes."""
    root = leases.c.since_root
    return set(tx.scalars(select(root).where(root.is_not(None), leases.c.region == region)))


def all_active(tx: Transaction) -> list[str]:
    return list(tx.scalars(select(leases.c.resource_id)))
