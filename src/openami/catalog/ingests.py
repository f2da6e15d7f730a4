"""Ingest leases: who is writing chunks that no committed manifest names yet.

The order is lease, bytes, manifest; a collector waits for the leases (DESIGN section 4).
"""

from datetime import datetime

from sqlalchemy import delete, exists, insert, select, update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import export_tasks, import_tasks, snapshots, volumes
from openami.catalog.schema import ingest_leases as leases
from openami.domain.ids import Region
from openami.domain.snapshot import SnapshotState
from openami.domain.transfers.export_task import ExportState
from openami.domain.transfers.import_task import UNFINISHED
from openami.domain.volume import Volume, VolumeState


def begin(
    tx: Transaction, resource_id: str, region: Region, at: datetime, base: Volume | None = None
) -> None:
    """Take the lease before the first look at the region's store. Again is harmless.

    Of the volume `base` the ingest copies what has changed; it relies on the rest being there,
    although the volume may go meanwhile.
    """
    if not tx.scalar(select(exists().where(leases.c.resource_id == resource_id))):
        root = None if base is None else base.root
        row = {"resource_id": resource_id, "region": region, "started_at": at, "root": root}
        tx.execute(insert(leases).values(row))


def rely_on(tx: Transaction, resource_id: str, since_root: str) -> None:
    """What is ingested holds only what changed since this disk, which may lose its snapshot."""
    mine = leases.c.resource_id == resource_id
    tx.execute(update(leases).where(mine).values(since_root=since_root))


def since_root(tx: Transaction, resource_id: str) -> str | None:
    """What `rely_on` was told."""
    return tx.scalar(select(leases.c.since_root).where(leases.c.resource_id == resource_id))


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


def useless(tx: Transaction) -> list[str]:
    """Leases of what is not being filled any more, so that nothing can be committed under them.

    A row and its lease are made in one transaction, so one that has just begun is not among them.
    """
    filled = (
        (snapshots, snapshots.c.state == SnapshotState.PENDING),
        (volumes, volumes.c.state == VolumeState.CREATING),
        (import_tasks, import_tasks.c.state.in_(UNFINISHED)),
        (export_tasks, export_tasks.c.state.in_((ExportState.ACTIVE, ExportState.CANCELLING))),
    )
    query = select(leases.c.resource_id).order_by(leases.c.resource_id)
    for table, is_being_filled in filled:
        mine = (table.c.id == leases.c.resource_id) & is_being_filled
        query = query.where(~exists().where(mine))
    return list(tx.scalars(query))
