"""CreateStoreImageTask and DescribeStoreImageTasks: an image as one object in a bucket.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openami.actions.buckets import check_bucket_of_task
from openami.actions.copy_image import check_state, readable
from openami.catalog import images, tags
from openami.catalog.catalog import Transaction
from openami.catalog.transfers import store_image_tasks as tasks
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidRequest,
    UnsupportedOperation,
)
from openami.domain.filter import Filter, Page
from openami.domain.ids import ImageId, StoreImageTaskId
from openami.domain.image import Image
from openami.domain.manifest import Root
from openami.domain.snapshot import Snapshot
from openami.domain.transfers.store_image_task import StoreImageTask, StoreTaskState
from openami.domain.transfers.stored_image import StoredDisk, StoredImage, told
from openami.objects.store import ObjectAbsent, ObjectStoreError
from openami.services import Services
from openami.workflows import store_image as workflow
from openami.workflows.restore_image import snapshot_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """What CreateStoreImageTask is told."""

    image_id: ImageId
    bucket: str
    object_tags: Mapping[str, str] = field(default_factory=dict[str, str])


def create_store_image_task(svc: Services, caller: Caller, asked: Storing) -> str:
    """The key of the object, which is there when the task has completed."""
    now, key = svc.clock.now(), f"{asked.image_id}.bin"
    with svc.catalog.read() as tx:
        images.fetch_usable(tx, asked.image_id, caller.account, caller.region, now)
    is_there = _is_there(svc, caller, asked.bucket, key)
    with svc.catalog.begin() as tx:
        image = images.fetch_usable(tx, asked.image_id, caller.account, caller.region, now)
        check_state(image)
        _check_storable(image, caller)
        stored = _stored(tx, caller, image)
        if is_there or tasks.is_in_progress(tx, caller, image.id, asked.bucket):
            raise InvalidRequest(
                f"The AMI '{image.id}' is already stored in the bucket '{asked.bucket}', or a task"
                " is storing it there."
            )
        _check_room(svc, tx, caller)
        task = StoreImageTask(
            id=StoreImageTaskId(svc.ids.new("store")),
            region=caller.region,
            owner=caller.account,
            image_id=image.id,
            bucket=asked.bucket,
            key=key,
            object_tags=asked.object_tags,
            head=told(stored).decode(),
            size_gib=stored.size_gib,
            state=StoreTaskState.IN_PROGRESS,
            started_at=now,
        )
        tasks.add(tx, task)
    svc.jobs.wait(workflow.start(svc, task), svc.settings.settle_timeout_s)
    return key


def s3_unavailable() -> EC2Error:
    return EC2Error.of("Unavailable", "The S3 store cannot be reached now.", 503)


def _is_there(svc: Services, caller: Caller, bucket: str, key: str) -> bool:
    """Raises what `check_bucket_of_task` raises, and Unavailable."""
    try:
        with svc.buckets.work(bucket):
            check_bucket_of_task(svc, caller, bucket)
            svc.objects.hurried().head(bucket, key)
    except ObjectAbsent:
        return False
    except ObjectStoreError as failure:
        raise s3_unavailable() from failure
    return True


def _check_storable(image: Image, caller: Caller) -> None:
    """Raises InvalidRequest, UnsupportedOperation."""
    directly = image.owner == caller.account or caller.account in image.shared_with
    if image.public and not directly and not image.shared_with_organizations:
        raise InvalidRequest(f"You can't store the AMI '{image.id}': it is only publicly shared.")
    if image.root_device_type != "ebs":
        raise UnsupportedOperation("Only AMIs that are backed by EBS can be stored.")
    if image.virtualization_type != "hvm":
        raise UnsupportedOperation("Paravirtual AMIs cannot be stored.")


def _stored(tx: Transaction, caller: Caller, image: Image) -> StoredImage:
    found = [readable(tx, caller, image, each) for each in snapshot_ids(image)]
    its_tags = tags.of_images(tx, caller.account, {image.id: image.owner})
    of_snapshots = tags.of_many(tx, caller.account, [each.id for each in found])
    return StoredImage(
        image=image,
        tags=its_tags.get(image.id, {}),
        disks=tuple(_disk(each, of_snapshots.get(each.id, {})) for each in found),
    )


def _disk(snapshot: Snapshot, its_tags: Mapping[str, str]) -> StoredDisk:
    snapshot.usable()
    return StoredDisk(
        snapshot_id=snapshot.id,
        size_gib=snapshot.volume_size_gib,
        root=Root.from_text(str(snapshot.root)),
        description=snapshot.description,
        tags=its_tags,
    )


def _check_room(svc: Services, tx: Transaction, caller: Caller) -> None:
    """A task is taken while those in progress are below the limit, however large it is itself."""
    limit = svc.settings.store_image_gib_max
    if tasks.size_gib_in_progress(tx, caller) >= limit:
        raise EC2Error.of(
            "ResourceLimitExceeded",
            f"AMIs of {limit} GB or more are being stored already; try again later.",
        )


def describe_store_image_tasks(
    svc: Services,
    caller: Caller,
    image_ids: Sequence[ImageId],
    conditions: Sequence[Filter],
    page: Page,
) -> Sequence[StoreImageTask]:
    """The caller's tasks of the last 31 days, the latest first."""
    with svc.catalog.read() as tx:
        return tasks.describe(tx, caller, image_ids, conditions, page, svc.clock.now())
