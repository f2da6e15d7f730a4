"""What is in the Recycle Bin, and how it comes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """What is in the bin: how it is found, and what is said of what is not there."""

    resource_type: ResourceType
    fetch: Callable[[Transaction, str], T | None]
    not_found: Callable[..., EC2Error]


IMAGES: Final = Kind(
    resource_type=ResourceType.IMAGE,
    fetch=lambda tx, each: images.fetch_any(tx, ImageId(each)),
    not_found=ImageNotFound,
)
SNAPSHOTS: Final = Kind(
    resource_type=ResourceType.SNAPSHOT,
    fetch=lambda tx, each: snapshots.fetch_any(tx, SnapshotId(each)),
    not_found=SnapshotNotFound,
)
VOLUMES: Final = Kind(
    resource_type=ResourceType.VOLUME,
    fetch=lambda tx, each: volumes.fetch_any(tx, VolumeId(each)),
    not_found=VolumeNotFound,
)


def list_in_recycle_bin(
    svc: Services, caller: Caller, kind: Kind[T], ids: Sequence[str], page: Page
) -> Sequence[tuple[Binned, T]]:
    """What the caller has in the bin, by id. Raises the kind's NotFound for other ids."""
    with svc.catalog.read() as tx:
        wanted = dict.fromkeys(ids)
        missing = [
            each
            for each in wanted
            if recycle_bin.find_owned(tx, kind.resource_type, each, caller) is None
        ]
        if missing:
            raise kind.not_found(*missing)
        listed = recycle_bin.of_caller(tx, caller, kind.resource_type, ids, page)
        found = [(thing, kind.fetch(tx, thing.resource_id)) for thing in listed]
        return [(thing, resource) for thing, resource in found if resource is not None]


def restore_image_from_recycle_bin(svc: Services, caller: Caller, image_id: ImageId) -> None:
    """The image as it was, with its tags and permissions.

    Raises ImageNotFound, InvalidAMIName.Duplicate if its name was given away meanwhile,
    IncorrectState as long as a snapshot of it is in the bin or archived, or if one is gone.
    """
    with svc.catalog.begin() as tx:
        thing, image = _taken_out(svc, tx, caller, IMAGES, image_id)
        check_name(tx, caller, image.name)
        restored = image.restored(thing.was)
        for mapping in image.block_device_mappings:
            if mapping.ebs is not None and mapping.ebs.snapshot_id is not None:
                snapshot = _its_snapshot(tx, image, mapping.ebs.snapshot_id)
                if restored.state is not ImageState.DISABLED:
                    snapshot.at_hand()
        images.save(tx, restored)


def _its_snapshot(tx: Transaction, image: Image, snapshot_id: SnapshotId) -> Snapshot:
    """Of another account's, no more is told than that the image cannot have it."""
    snapshot = snapshots.fetch_any(tx, snapshot_id)
    if snapshot is not None and snapshot.owner != image.owner:
        snapshot = snapshots.find_visible(tx, snapshot_id, image.owner, image.region)
    if snapshot is None:
        raise EC2Error.of(
            "IncorrectState",
            f"The image '{image.id}' cannot be restored: its snapshot {snapshot_id} is deleted.",
        )
    if snapshot.state is SnapshotState.RECOVERABLE:
        raise EC2Error.of(
            "IncorrectState",
            f"The image '{image.id}' cannot be restored: restore its snapshot {snapshot_id}"
            " from the Recycle Bin first.",
        )
    return snapshot


def restore_snapshot_from_recycle_bin(
    svc: Services, caller: Caller, snapshot_id: SnapshotId
) -> Snapshot:
    """The snapshot as it was. Raises SnapshotNotFound."""
    with svc.catalog.begin() as tx:
        _, snapshot = _taken_out(svc, tx, caller, SNAPSHOTS, snapshot_id)
        restored = snapshot.after(SnapshotEvent.RESTORE)
        snapshots.save(tx, restored)
        return restored


def restore_volume_from_recycle_bin(svc: Services, caller: Caller, volume_id: VolumeId) -> None:
    """The volume with its bytes, available. Raises VolumeNotFound."""
    with svc.catalog.begin() as tx:
        _, volume = _taken_out(svc, tx, caller, VOLUMES, volume_id)
        volumes.save(tx, volume.after(VolumeEvent.RESTORE))


def _taken_out(
    svc: Services, tx: Transaction, caller: Caller, kind: Kind[T], resource_id: str
) -> tuple[Binned, T]:
    """Raises the NotFound of its kind for what is not in the bin, or was for its time."""
    thing = recycle_bin.find_owned(tx, kind.resource_type, resource_id, caller)
    resource = kind.fetch(tx, resource_id)
    if thing is None or resource is None or thing.exits_at <= svc.clock.now():
        raise kind.not_found(resource_id)
    recycle_bin.remove(tx, resource_id)
    for key in IN_BIN:
        tags.remove(tx, caller.account, resource_id, key, None)
    return thing, resource
