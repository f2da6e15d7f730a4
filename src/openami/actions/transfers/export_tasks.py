"""ExportImage, CreateInstanceExportTask, and what is told and asked of their tasks.

https://docs.aws.amazon.com/vm-import/latest/userguide/vmexport_image.html and vmexport.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from openami.actions.buckets import check_bucket_of_task
from openami.actions.copy_image import readable
from openami.catalog import idempotency, images, instances, tags, volumes
from openami.catalog.catalog import Transaction
from openami.catalog.transfers import export_tasks
from openami.domain.bucket import checked_object_key
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, IncorrectInstanceState, InvalidParameterValue
from openami.domain.filter import Filter, Page
from openami.domain.idempotency import ClientToken
from openami.domain.ids import ExportTaskId, ImageId, InstanceId
from openami.domain.image import Image, ImageState
from openami.domain.instance import Instance, InstanceState
from openami.domain.snapshot import Snapshot
from openami.domain.transfers.export_task import (
    SIZE_GIB_MAX,
    DiskImageFormat,
    ExportEvent,
    ExportState,
    ExportTask,
)
from openami.domain.volume import Volume
from openami.services import Services
from openami.workflows import export_disk as workflow

IMAGE_KIND: Final = "export-image-task"
INSTANCE_KIND: Final = "export-instance-task"
Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the file goes, and what it is to be."""

    bucket: str
    prefix: str = ""
    disk_format: DiskImageFormat
    description: str | None = None
    tags: Tags = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageExport:
    """What ExportImage is told."""

    image_id: ImageId
    target: Target
    role_name: str | None = None
    token: ClientToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceExport:
    """What CreateInstanceExportTask is told."""

    instance_id: InstanceId
    target: Target
    target_environment: str
    as_ova: bool = False


def export_image(svc: Services, caller: Caller, asked: ImageExport) -> tuple[ExportTask, Tags]:
    """A task whose content is the image's one disk, whatever becomes of the image."""
    target = asked.target
    with svc.catalog.read() as tx:
        images.fetch_owned(tx, asked.image_id, caller.account, caller.region)
    check_bucket_of_task(svc, caller, target.bucket)
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            task = export_tasks.fetch_owned(tx, ExportTaskId(earlier), caller)
            return task, tags.of_one(tx, caller.account, task.id)
        image = images.fetch_owned(tx, asked.image_id, caller.account, caller.region)
        snapshot = _only_disk(tx, caller, image)
        task = ExportTask(
            id=ExportTaskId(svc.ids.new("export-ami")),
            region=caller.region,
            owner=caller.account,
            image_id=image.id,
            disk_format=target.disk_format,
            bucket=target.bucket,
            prefix=target.prefix,
            role_name=asked.role_name,
            description=target.description,
            size_gib=snapshot.volume_size_gib,
            root=snapshot.root,
            state=ExportState.ACTIVE,
            started_at=svc.clock.now(),
            status_message="validating",
        )
        _begin(svc, tx, caller, task, IMAGE_KIND, target.tags)
        idempotency.remember(tx, caller, asked.token, task.id, task.started_at)
    svc.jobs.wait(workflow.start(svc, task), svc.settings.settle_timeout_s)
    return task, target.tags


def _only_disk(tx: Transaction, caller: Caller, image: Image) -> Snapshot:
    """Raises InvalidAMIID.Unavailable, NotExportable, IncorrectState, InvalidRequest."""
    if image.state is not ImageState.AVAILABLE:
        raise EC2Error.of(
            "InvalidAMIID.Unavailable", f"The image ID '{image.id}' is currently {image.state}."
        )
    ebs = [each.ebs for each in image.block_device_mappings if each.ebs is not None]
    if image.root_device_type != "ebs" or len(ebs) != 1 or ebs[0].snapshot_id is None:
        raise _not_exportable(f"The image '{image.id}' is not one EBS disk; only such is exported.")
    return readable(tx, caller, image, ebs[0].snapshot_id).usable()


def create_instance_export_task(
    svc: Services, caller: Caller, asked: InstanceExport
) -> tuple[ExportTask, Tags]:
    """A task whose content is the root volume at one moment, which is when its turn has come."""
    target = asked.target
    with svc.catalog.read() as tx:
        instances.fetch_owned(tx, asked.instance_id, caller.account, caller.region)
    check_bucket_of_task(svc, caller, target.bucket)
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, asked.instance_id, caller.account, caller.region)
        volume = _only_volume(tx, instance)
        task = ExportTask(
            id=ExportTaskId(svc.ids.new("export-i")),
            region=caller.region,
            owner=caller.account,
            instance_id=instance.id,
            volume_id=volume.id,
            disk_format=target.disk_format,
            as_ova=asked.as_ova,
            target_environment=asked.target_environment,
            bucket=target.bucket,
            prefix=target.prefix,
            description=target.description,
            size_gib=volume.size_gib,
            state=ExportState.ACTIVE,
            started_at=svc.clock.now(),
            status_message="validating",
        )
        _begin(svc, tx, caller, task, INSTANCE_KIND, target.tags)
    svc.jobs.wait(workflow.start(svc, task), svc.settings.settle_timeout_s)
    return task, target.tags


def _only_volume(tx: Transaction, instance: Instance) -> Volume:
    """Raises IncorrectInstanceState, NotExportable."""
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        raise IncorrectInstanceState(instance.id, instance.state, "an export")
    found = volumes.of_instance(tx, instance.id)
    if instance.ephemeral_disks:
        raise _not_exportable(f"The instance '{instance.id}' has instance store volumes.")
    if len(found) != 1:
        raise _not_exportable(
            f"The instance '{instance.id}' has {len(found)} volumes; an instance with exactly one"
            " virtual disk is exported."
        )
    return found[0]


def _not_exportable(why: str) -> EC2Error:
    return EC2Error.of("NotExportable", why)


def _begin(
    svc: Services, tx: Transaction, caller: Caller, task: ExportTask, kind: str, its_tags: Tags
) -> None:
    """Raises NotExportable, InvalidParameterValue, ResourceLimitExceeded."""
    checked_object_key(task.key)
    if task.size_gib > SIZE_GIB_MAX:
        raise _not_exportable(
            f"The disk has {task.size_gib} GiB; at most {SIZE_GIB_MAX} are exported."
        )
    limit = svc.settings.export_tasks_max
    if export_tasks.count_running(tx, caller) >= limit:
        raise EC2Error.of(
            "ResourceLimitExceeded", f"The limit of {limit} export tasks at once is reached."
        )
    export_tasks.add(tx, task)
    tags.put(tx, caller.account, caller.region, (kind, task.id), its_tags)


def describe_export_image_tasks(
    svc: Services,
    caller: Caller,
    task_ids: Sequence[ExportTaskId],
    conditions: Sequence[Filter],
    page: Page,
) -> tuple[Sequence[ExportTask], Mapping[str, Tags]]:
    """The caller's exports of images, by id, with their tags."""
    with svc.catalog.read() as tx:
        found = export_tasks.describe_images(tx, caller, task_ids, conditions, page)
        return found, tags.of_many(tx, caller.account, [each.id for each in found])


def describe_export_tasks(
    svc: Services, caller: Caller, task_ids: Sequence[ExportTaskId], conditions: Sequence[Filter]
) -> tuple[Sequence[ExportTask], Mapping[str, Tags]]:
    """The caller's exports of instances, by id, with their tags."""
    with svc.catalog.read() as tx:
        found = export_tasks.describe_instances(tx, caller, task_ids, conditions)
        return found, tags.of_many(tx, caller.account, [each.id for each in found])


def cancel_export_task(svc: Services, caller: Caller, task_id: ExportTaskId) -> None:
    """End an active task; all that it made is removed. Raises IncorrectState for one that ended."""
    with svc.catalog.begin() as tx:
        task = export_tasks.fetch_owned(tx, task_id, caller)
        if task.state is not ExportState.ACTIVE:
            raise InvalidParameterValue(f"The export task '{task_id}' is not active.")
        cancelled = task.after(ExportEvent.CANCEL)
        export_tasks.save(tx, cancelled)
    svc.jobs.wait(workflow.start(svc, cancelled), svc.settings.settle_timeout_s)
