"""Ingest leases: who is writing chunks that no committed manifest names yet.

The order is lease, bytes, manifest; a collector waits for the leases (DESIGN section 4).
"""

from datetime import datetime

from sqlalchemy import delete, exists, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import ingest_leases as leases


def begin(tx: Transaction, resource_id: str, at: datetime) -> None:
    """Take the lease before the first look at the store. Taking it again is harmless."""
    if not tx.scalar(select(exists().where(leases.c.resource_id == resource_id))):
        tx.execute(insert(leases).values(resource_id=resource_id, started_at=at))


def end(tx: Transaction, resource_id: str) -> None:
    """Give the lease back, in the transaction that commits the manifest (or gives up)."""
    tx.execute(delete(leases).where(leases.c.resource_id == resource_id))


def is_active(tx: Transaction, resource_id: str) -> bool:
    return bool(tx.scalar(select(exists().where(leases.c.resource_id == resource_id))))


def all_active(tx: Transaction) -> list[str]:
    return list(tx.scalars(select(leases.c.resource_id)))
