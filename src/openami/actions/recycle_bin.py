"""What is in the Recycle Bin, and how it comes back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from openami.actions.images import check_name
from openami.catalog import images, recycle_bin, snapshots, tags, volumes
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, ImageNotFound, SnapshotNotFound, VolumeNotFound
from openami.domain.filter import Page
from openami.domain.ids import ImageId, SnapshotId, VolumeId
from openami.domain.image import Image, ImageState
from openami.domain.recycle_bin import IN_BIN, Binned, ResourceType
from openami.domain.snapshot import Snapshot, SnapshotEvent, SnapshotState
from openami.domain.volume import Volume, VolumeEvent
from openami.services import Services

T = TypeVar("T", Image, Snapshot, Volume)

_NOT_FOUND: Final[Mapping[ResourceType, Callable[..., EC2Error]]] = {
    ResourceType.IMAGE: ImageNotFound,
    ResourceType.SNAPSHOT: SnapshotNotFound,
    ResourceType.VOLUME: VolumeNotFound,
}


def list_images_in_recycle_bin(
    svc: Services, caller: Caller, ids: Sequence[ImageId], page: Page
) -> Sequence[tuple[Binned, Image]]:
    """The caller's images in the bin, by id. Raises ImageNotFound for ids that are not there."""
    with svc.catalog.read() as tx:
        listed = _listed(tx, caller, ResourceType.IMAGE, ids, page)
        return _with(listed, lambda each: images.fetch_any(tx, ImageId(each)))


def list_snapshots_in_recycle_bin(
    svc: Services, caller: Caller, ids: Sequence[SnapshotId], page: Page
) -> Sequence[tuple[Binned, Snapshot]]:
    """As `list_images_in_recycle_bin`. Raises SnapshotNotFound."""
    with svc.catalog.read() as tx:
        listed = _listed(tx, caller, ResourceType.SNAPSHOT, ids, page)
        return _with(listed, lambda each: snapshots.fetch_any(tx, SnapshotId(each)))


def list_volumes_in_recycle_bin(
    svc: Services, caller: Caller, ids: Sequence[VolumeId], page: Page
) -> Sequence[tuple[Binned, Volume]]:
    """As `list_images_in_recycle_bin`. Raises VolumeNotFound."""
    with svc.catalog.read() as tx:
        listed = _listed(tx, caller, ResourceType.VOLUME, ids, page)
        return _with(listed, lambda each: volumes.fetch_any(tx, VolumeId(each)))


def _listed(
    tx: Transaction, caller: Caller, resource_type: ResourceType, ids: Sequence[str], page: Page
) -> Sequence[Binned]:
    missing = [
        each
        for each in dict.fromkeys(ids)
        if recycle_bin.find_owned(tx, resource_type, each, caller) is None
    ]
    if missing:
        raise _NOT_FOUND[resource_type](*missing)
    return recycle_bin.of_caller(tx, caller, resource_type, ids, page)


def _with(listed: Sequence[Binned], fetch: Callable[[str], T | None]) -> list[tuple[Binned, T]]:
    found = [(thing, fetch(thing.resource_id)) for thing in listed]
    return [(thing, resource) for thing, resource in found if resource is not None]


def restore_image_from_recycle_bin(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """The image as it was, with its tags and permissions.

    Raises ImageNotFound, InvalidAMIName.Duplicate if its name was given away meanwhile,
    IncorrectState as long as a snapshot of it is in the bin or archived, or if one is gone.
    """
    with svc.catalog.begin() as tx:
        thing = _taken_out(svc, tx, caller, ResourceType.IMAGE, image_id)
        image = images.fetch_any(tx, image_id)
        if image is None:
            raise ImageNotFound(image_id)
        check_name(tx, caller, image.name)
        restored = image.restored(thing.was)
        for mapping in image.block_device_mappings:
            if mapping.ebs is not None and mapping.ebs.snapshot_id is not None:
                snapshot = _its_snapshot(tx, image_id, mapping.ebs.snapshot_id)
                if restored.state is not ImageState.DISABLED:
                    snapshot.at_hand()
        images.save(tx, restored)


def _its_snapshot(tx: Transaction, image_id: ImageId, snapshot_id: SnapshotId) -> Snapshot:
    snapshot = snapshots.fetch_any(tx, snapshot_id)
    if snapshot is None:
        raise EC2Error.of(
            "IncorrectState",
            f"The image '{image_id}' cannot be restored: its snapshot {snapshot_id} is deleted.",
        )
    if snapshot.state is SnapshotState.RECOVERABLE:
        raise EC2Error.of(
            "IncorrectState",
            f"The image '{image_id}' cannot be restored: restore its snapshot {snapshot_id}"
            " from the Recycle Bin first.",
        )
    return snapshot


def restore_snapshot_from_recycle_bin(
    svc: Services, caller: Caller, snapshot_id: SnapshotId
) -> Snapshot:
    """The snapshot as it was. Raises SnapshotNotFound."""
    with svc.catalog.begin() as tx:
        _taken_out(svc, tx, caller, ResourceType.SNAPSHOT, snapshot_id)
        snapshot = snapshots.fetch_any(tx, snapshot_id)
        if snapshot is None:
            raise SnapshotNotFound(snapshot_id)
        restored = snapshot.after(SnapshotEvent.RESTORE)
        snapshots.save(tx, restored)
        return restored


def restore_volume_from_recycle_bin(svc: Services, caller: Caller, volume_id: VolumeId) -> None:
    """The volume with its bytes, available. Raises VolumeNotFound."""
    with svc.catalog.begin() as tx:
        _taken_out(svc, tx, caller, ResourceType.VOLUME, volume_id)
        volume = volumes.fetch_any(tx, volume_id)
        if volume is None:
            raise VolumeNotFound(volume_id)
        volumes.save(tx, volume.after(VolumeEvent.RESTORE))


def _taken_out(
    svc: Services, tx: Transaction, caller: Caller, resource_type: ResourceType, resource_id: str
) -> Binned:
    """Raises the NotFound of its kind for what is not in the bin, or was for its time."""
    thing = recycle_bin.find_owned(tx, resource_type, resource_id, caller)
    if thing is None or thing.exits_at <= svc.clock.now():
        raise _NOT_FOUND[resource_type](resource_id)
    recycle_bin.remove(tx, resource_id)
    for key in IN_BIN:
        tags.remove(tx, caller.account, resource_id, key, None)
    return thing
