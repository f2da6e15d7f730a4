"""What is held of a region's store, and by whom."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from openami.catalog.catalog import Transaction
from openami.catalog.direct import writings
from openami.catalog.schema import image_devices, images, snapshots
from openami.catalog.storage import roots as holders
from openami.domain.block import Digest
from openami.domain.ids import ImageId, Region, SnapshotId


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Roots are texts, as the catalog keeps them; those in the Recycle Bin count as all others."""

    snapshots: Mapping[SnapshotId, str]
    images: Mapping[ImageId, frozenset[SnapshotId]]
    names: Mapping[ImageId, str]
    others: frozenset[str]
    """What volumes lie on, and what is on its way from one place to another."""
    written: frozenset[Digest]
    """Chunks of snapshots that are being written block by block."""


def of_region(tx: Transaction, region: Region) -> Holdings:
    """Everything of one moment."""
    its_snapshots = select(snapshots.c.id, snapshots.c.root).where(
        snapshots.c.region == region, snapshots.c.root.is_not(None)
    )
    roots = {SnapshotId(each): str(root) for each, root in tx.execute(its_snapshots)}
    devices = (
        select(images.c.id, images.c.name, image_devices.c.snapshot_id)
        .join(image_devices, image_devices.c.image_id == images.c.id)
        .where(images.c.region == region)
        .order_by(images.c.name, images.c.id)
    )
    names: dict[ImageId, str] = {}
    found: dict[ImageId, frozenset[SnapshotId]] = {}
    for image_id, name, snapshot_id in tx.execute(devices):
        if snapshot_id in roots:
            names[image_id] = name
            found[image_id] = found.get(image_id, frozenset()) | {snapshot_id}
    others = frozenset(holders.beside_snapshots(tx, region))
    written = writings.all_digests(tx, region)
    return Holdings(snapshots=roots, images=found, names=names, others=others, written=written)
