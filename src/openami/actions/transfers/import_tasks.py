"""ImportSnapshot, ImportImage, their tasks, and CancelImportTask.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ImportImage.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from openami.actions.buckets import check_bucket_of_task
from openami.actions.quotas import Quota, check_room
from openami.catalog import idempotency, import_tasks, snapshots
from openami.catalog import tags as tag_rows
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.filter import Filter, Page
from openami.domain.idempotency import ClientToken
from openami.domain.transfers.import_task import (
    IMAGE_PREFIX,
    SNAPSHOT_PREFIX,
    ImportedDisk,
    ImportEvent,
    ImportState,
    ImportTask,
    ImportTaskId,
)
from openami.services import Services
from openami.workflows import import_task as workflow
from openami.workflows.host_files import NotServed, served

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """What ImportSnapshot and ImportImage are told."""

    disks: tuple[ImportedDisk, ...]
    description: str | None = None
    architecture: str | None = None
    platform: str | None = None
    boot_mode: str | None = None
    tags: Tags = field(default_factory=dict[str, str])
    token: ClientToken | None = None


def import_snapshot(svc: Services, caller: Caller, asked: Importing) -> tuple[ImportTask, Tags]:
    """An active task; the snapshot is there when it is completed."""
    return _begun(svc, caller, asked, SNAPSHOT_PREFIX)


def import_image(svc: Services, caller: Caller, asked: Importing) -> tuple[ImportTask, Tags]:
    """An active task; the image and its snapshots are there when it is completed."""
    return _begun(svc, caller, asked, IMAGE_PREFIX)


def _begun(svc: Services, caller: Caller, asked: Importing, prefix: str) -> tuple[ImportTask, Tags]:
    for bucket in dict.fromkeys(disk.bucket for disk in asked.disks if disk.bucket is not None):
        check_bucket_of_task(svc, caller, bucket)
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            task = import_tasks.fetch_owned(tx, ImportTaskId(earlier), caller)
            return task, tag_rows.of_one(tx, caller.account, task.id)
        _check_room(svc, tx, caller, asked, prefix)
        task = ImportTask(
            id=ImportTaskId(svc.ids.new(prefix)),
            region=caller.region,
            owner=caller.account,
            state=ImportState.ACTIVE,
            created_at=svc.clock.now(),
            disks=tuple(_found(svc, tx, caller, disk) for disk in asked.disks),
            description=asked.description,
            architecture=asked.architecture,
            platform=asked.platform,
            boot_mode=asked.boot_mode,
        )
        import_tasks.add(tx, task)
        kind = "import-image-task" if task.makes_image else "import-snapshot-task"
        tag_rows.put(tx, caller.account, caller.region, (kind, task.id), asked.tags)
        idempotency.remember(tx, caller, asked.token, task.id, task.created_at)
    svc.jobs.wait(workflow.start(svc, task), svc.settings.settle_timeout_s)
    return task, asked.tags


def _check_room(
    svc: Services, tx: Transaction, caller: Caller, asked: Importing, prefix: str
) -> None:
    """Raises ResourceLimitExceeded."""
    limit = svc.settings.import_tasks_max
    if import_tasks.count_active(tx, caller) >= limit:
        raise EC2Error.of(
            "ResourceLimitExceeded", f"You have reached the limit of {limit} active import tasks"
        )
    made = sum(disk.snapshot_id is None for disk in asked.disks)
    if made:
        check_room(svc, tx, Quota.SNAPSHOTS, caller.account, caller.region, more=made)
    if prefix == IMAGE_PREFIX:
        check_room(svc, tx, Quota.IMAGES, caller.account, caller.region)


def _found(svc: Services, tx: Transaction, caller: Caller, disk: ImportedDisk) -> ImportedDisk:
    """The disk, if the caller may read it. An object is looked for by the task, in a bucket that
    is the caller's."""
    if disk.bucket is not None:
        return disk
    if disk.snapshot_id is None:
        try:
            return replace(disk, path=str(served(svc.settings, str(disk.url))))
        except NotServed as refusal:
            raise InvalidParameterValue(str(refusal)) from refusal
    visible = snapshots.fetch_visible(tx, disk.snapshot_id, caller.account, caller.region)
    snapshot = visible.usable()
    size_bytes = snapshot.volume_size_gib << 30
    return replace(disk, is_given=True, size_bytes=size_bytes, root=snapshot.root)


def describe_import_tasks(
    svc: Services,
    caller: Caller,
    prefix: str,
    task_ids: Sequence[ImportTaskId],
    conditions: Sequence[Filter],
    page: Page,
) -> tuple[Sequence[ImportTask], Mapping[str, Tags]]:
    """The caller's tasks of one kind, by id, and their tags."""
    with svc.catalog.read() as tx:
        found = import_tasks.describe(tx, caller, prefix, task_ids, conditions, page)
        return found, tag_rows.of_many(tx, caller.account, [each.id for each in found])


def cancel_import_task(
    svc: Services, caller: Caller, task_id: ImportTaskId, reason: str | None
) -> tuple[ImportState, ImportState]:
    """The states of the task before and after. Its work ends soon, and leaves nothing."""
    with svc.catalog.begin() as tx:
        task = import_tasks.fetch_owned(tx, task_id, caller)
        cancelled = task.after(ImportEvent.CANCEL, reason or "User initiated task cancelation")
        import_tasks.save(tx, cancelled)
    svc.jobs.wait(workflow.start(svc, cancelled), svc.settings.settle_timeout_s)
    return task.state, cancelled.state
