"""Into the Recycle Bin, and what becomes of what nobody restores in time."""

from openami.catalog import (
    ingests,
    recycle_bin,
    retention_rules,
    snapshot_copies,
    snapshot_locks,
    snapshot_tiers,
    snapshots,
    tags,
    volumes,
)
from openami.catalog.catalog import Transaction
from openami.catalog.direct import writings
from openami.domain.ids import AccountId, Region, SnapshotId, VolumeId
from openami.domain.image import Image
from openami.domain.recycle_bin import IN_BIN, NOUNS, Binned, ResourceType, retention
from openami.domain.snapshot import Snapshot, SnapshotEvent, SnapshotState
from openami.domain.volume import Volume, VolumeEvent, VolumeState
from openami.services import Services


def retain_image(svc: Services, tx: Transaction, image: Image) -> None:
    """Note an image that is being deregistered, if a rule of its owner keeps it."""
    _retains(svc, tx, ResourceType.IMAGE, image, image.state)


def retain_or_remove_snapshot(svc: Services, tx: Transaction, snapshot_id: SnapshotId) -> None:
    """To the bin if a rule says so. Only one that is complete has anything worth keeping."""
    snapshot = snapshots.fetch_any(tx, snapshot_id)
    if snapshot is None or snapshot.state is SnapshotState.RECOVERABLE:
        return
    if snapshot.state is SnapshotState.COMPLETED and _retains(
        svc, tx, ResourceType.SNAPSHOT, snapshot, snapshot.state
    ):
        snapshots.save(tx, snapshot.after(SnapshotEvent.RECYCLE))
        return
    _remove_snapshot(tx, snapshot_id)


def retains_volume(svc: Services, tx: Transaction, volume: Volume) -> bool:
    """Whether a rule keeps a volume, in use or not, that is being deleted; moves it if so."""
    usable = volume.state in (VolumeState.AVAILABLE, VolumeState.IN_USE)
    if not usable or not _retains(svc, tx, ResourceType.VOLUME, volume, VolumeState.AVAILABLE):
        return False
    volumes.save(tx, volume.recycled())
    return True


def _retains(
    svc: Services,
    tx: Transaction,
    resource_type: ResourceType,
    resource: Image | Snapshot | Volume,
    was: str,
) -> bool:
    owner: AccountId = resource.owner
    region: Region = resource.region
    rules = retention_rules.of_place(tx, owner, region, resource_type)
    kept_for = retention(rules, tags.of_one(tx, owner, resource.id))
    if kept_for is None:
        return False
    now = svc.clock.now()
    thing = Binned(
        resource_id=resource.id,
        resource_type=resource_type,
        region=region,
        owner=owner,
        entered_at=now,
        exits_at=now + kept_for,
        was=was,
    )
    recycle_bin.add(tx, thing)
    tags.put(tx, owner, region, (NOUNS[resource_type], resource.id), IN_BIN)
    return True


def resume(svc: Services) -> None:
    """Empty the bin of what was in it for its time.

    Each in one transaction: after a crash it is in the bin still, or on its way out of here. The
    bytes of a volume are its deletion's to remove, and an image is then one that is deregistered.
    """
    with svc.catalog.read() as tx:
        if not recycle_bin.expired(tx, svc.clock.now()):
            return
    with svc.catalog.begin() as tx:
        for thing in recycle_bin.expired(tx, svc.clock.now()):
            recycle_bin.remove(tx, thing.resource_id)
            for key in IN_BIN:
                tags.remove(tx, thing.owner, thing.resource_id, key, None)
            if thing.resource_type is ResourceType.SNAPSHOT:
                _remove_snapshot(tx, SnapshotId(thing.resource_id))
            if thing.resource_type is ResourceType.VOLUME:
                _delete_volume(tx, VolumeId(thing.resource_id))


def _remove_snapshot(tx: Transaction, snapshot_id: SnapshotId) -> None:
    snapshot_locks.remove(tx, snapshot_id)
    snapshot_tiers.remove(tx, snapshot_id)
    snapshots.remove(tx, snapshot_id)
    tags.remove_all(tx, snapshot_id)
    ingests.end(tx, snapshot_id)
    snapshot_copies.end(tx, snapshot_id)
    writings.remove(tx, snapshot_id)


def _delete_volume(tx: Transaction, volume_id: VolumeId) -> None:
    volume = volumes.fetch_any(tx, volume_id)
    if volume is not None:
        volumes.save(tx, volume.after(VolumeEvent.DELETE))
