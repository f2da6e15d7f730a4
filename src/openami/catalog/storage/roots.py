"""Everything that relies on the bytes of a region's store, in one place.

But for blocks of snapshots that are written one by one, which no disk has yet: catalog/direct.
A kind of holder that is missing here would lose its bytes to the collector, so a test compares
the list with the schema.
"""

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import exists, select

from openami.catalog import (
    fast_restores,
    import_tasks,
    ingests,
    snapshot_copies,
    snapshots,
    volumes,
)
from openami.catalog.catalog import Transaction
from openami.catalog.schema import snapshots as snapshot_rows
from openami.catalog.transfers import export_tasks, store_image_tasks
from openami.domain.ids import Region
from openami.domain.snapshot import StorageTier

SNAPSHOTS: Final = "snapshot.root"

HOLDERS: Final[Mapping[str, Callable[[Transaction, Region], set[str]]]] = {
    SNAPSHOTS: snapshots.all_roots,  # those in the Recycle Bin and in the archive, too
    "volume.root": volumes.all_roots,
    "snapshot_copy.root": snapshot_copies.all_roots,
    "ingest_lease.root": ingests.all_roots,
    "ingest_lease.since_root": ingests.all_since_roots,
    "import_task.disks": import_tasks.all_roots,
    "store_image_task.head": store_image_tasks.all_roots,
    "export_task.root": export_tasks.all_roots,
    "fast_restore.root": fast_restores.all_roots,
}
"""The column that names the roots → those that have to be readable in a region, as texts."""


def of_region(tx: Transaction, region: Region) -> set[str]:
    """All of one moment."""
    return {root for found in HOLDERS.values() for root in found(tx, region)}


def beside_snapshots(tx: Transaction, region: Region) -> set[str]:
    """What all others than snapshots rely on."""
    others = (found for name, found in HOLDERS.items() if name != SNAPSHOTS)
    return {root for found in others for root in found(tx, region)}


def any_archived(tx: Transaction, region: Region) -> bool:
    """Whether the region's archive has something to hold."""
    S = snapshot_rows.c  # noqa: N806, as everywhere
    archived = (S.region == region) & (S.storage_tier == StorageTier.ARCHIVE)
    return bool(tx.scalar(select(exists().where(archived))))
