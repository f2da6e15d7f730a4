"""CreateRestoreImageTask: a stored image becomes an image of the caller's.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from openami.actions.buckets import check_bucket_of_task
from openami.actions.images import check_new
from openami.actions.quotas import Quota, check_room
from openami.actions.transfers.store_image import s3_unavailable
from openami.blockstore.archive import NotAnArchive, Source
from openami.catalog import images, snapshots, tags
from openami.catalog.catalog import Transaction
from openami.catalog.transfers import image_restores
from openami.domain.block_device import BlockDeviceMapping
from openami.domain.bucket import checked_object_key
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import Image, ImageState
from openami.domain.snapshot import NO_VOLUME, Snapshot, SnapshotState
from openami.domain.transfers.image_restore import ImageRestore
from openami.domain.transfers.stored_image import NotAStoredImage, StoredDisk, StoredImage
from openami.objects.store import ObjectAbsent, ObjectChanged, ObjectStoreError, stream
from openami.services import Services
from openami.workflows import restore_image as workflow

_HEAD_PART_BYTES: Final = 256 << 10
"""Most heads are smaller, and a slow store gives so much in the time that a request has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """What CreateRestoreImageTask is told."""

    bucket: str
    key: str
    name: str | None = None
    image_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    snapshot_tags: Mapping[str, str] = field(default_factory=dict[str, str])


def create_restore_image_task(svc: Services, caller: Caller, asked: Restoring) -> ImageId:
    """A pending image; its disks follow."""
    checked_object_key(asked.key)
    stored, etag = _looked_at(svc, caller, asked)
    with svc.catalog.begin() as tx:
        name = stored.image.name if asked.name is None else asked.name
        check_new(svc, tx, caller, name)
        _check_room(svc, tx, caller, stored.size_gib)
        image_id = ImageId(svc.ids.new("ami"))
        made = {
            disk.snapshot_id: _snapshot(svc, tx, caller, asked, disk, stored.image, image_id)
            for disk in stored.disks
        }
        images.add(tx, _image(svc, caller, stored.image, image_id, name, made))
        _tag(tx, caller, ("image", image_id), {**stored.tags, **asked.image_tags})
        restore = ImageRestore(
            image_id=image_id,
            region=caller.region,
            owner=caller.account,
            bucket=asked.bucket,
            key=asked.key,
            etag=etag,
            size_gib=stored.size_gib,
        )
        image_restores.add(tx, restore)
    svc.jobs.wait(workflow.start(svc, restore), svc.settings.settle_timeout_s)
    return image_id


def _looked_at(svc: Services, caller: Caller, asked: Restoring) -> tuple[StoredImage, str]:
    """What the object says of itself at its head, and the ETag by which it is known again."""
    objects, place = svc.objects.hurried(), (asked.bucket, asked.key)
    try:
        with svc.buckets.work(asked.bucket):
            check_bucket_of_task(svc, caller, asked.bucket)
            info = objects.head(*place)
            source = Source(stream(objects, *place, info, part_bytes=_HEAD_PART_BYTES))
            return workflow.head_of(source, svc), info.etag
    except (ObjectAbsent, ObjectChanged) as absent:
        raise EC2Error.of("NoSuchKey", "The specified key does not exist.", 404) from absent
    except ObjectStoreError as failure:
        raise s3_unavailable() from failure
    except (NotAnArchive, NotAStoredImage) as wrong:
        raise InvalidParameterValue(
            f"The object '{asked.key}' is not an AMI that CreateStoreImageTask stored: {wrong}."
        ) from wrong


def _check_room(svc: Services, tx: Transaction, caller: Caller, more_gib: int) -> None:
    """Raises ResourceLimitExceeded."""
    limit = svc.settings.restore_image_gib_max
    running_gib = image_restores.size_gib(tx, caller)
    if running_gib + more_gib > limit:
        raise EC2Error.of(
            "ResourceLimitExceeded",
            f"At most {limit} GB of AMIs are restored at once: {running_gib} GB are being restored,"
            f" and this AMI has {more_gib} GB.",
        )


def _snapshot(
    svc: Services,
    tx: Transaction,
    caller: Caller,
    asked: Restoring,
    disk: StoredDisk,
    source: Image,
    image_id: ImageId,
) -> SnapshotId:
    """A pending snapshot with its tags."""
    snapshot = Snapshot(
        id=SnapshotId(svc.ids.new("snap")),
        region=caller.region,
        owner=caller.account,
        volume_id=NO_VOLUME,
        volume_size_gib=disk.size_gib,
        state=SnapshotState.PENDING,
        started_at=svc.clock.now(),
        description=f"Restored for {image_id} from {disk.snapshot_id} of {source.id}",
    )
    check_room(svc, tx, Quota.SNAPSHOTS, caller.account, caller.region)
    snapshots.add(tx, snapshot)
    _tag(tx, caller, ("snapshot", snapshot.id), {**disk.tags, **asked.snapshot_tags})
    return snapshot.id


def _image(
    svc: Services,
    caller: Caller,
    source: Image,
    image_id: ImageId,
    name: str,
    made: Mapping[SnapshotId, SnapshotId],
) -> Image:
    return replace(
        source,
        id=image_id,
        region=caller.region,
        owner=caller.account,
        name=name,
        state=ImageState.PENDING,
        created_at=svc.clock.now(),
        location=f"{caller.account}/{name}",
        block_device_mappings=tuple(_mapping(each, made) for each in source.block_device_mappings),
    )


def _mapping(
    mapping: BlockDeviceMapping, made: Mapping[SnapshotId, SnapshotId]
) -> BlockDeviceMapping:
    if mapping.ebs is None or mapping.ebs.snapshot_id is None:
        return mapping
    return replace(mapping, ebs=replace(mapping.ebs, snapshot_id=made[mapping.ebs.snapshot_id]))


def _tag(
    tx: Transaction, caller: Caller, resource: tuple[str, str], its_tags: Mapping[str, str]
) -> None:
    tags.put(tx, caller.account, caller.region, resource, its_tags)
