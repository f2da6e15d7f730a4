"""CreateReplaceRootVolumeTask: what the new root is made of, and whether the instance may have it.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/replace-root.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from openami.actions.snapshot.fast_restores import fast_if_wanted
from openami.catalog import idempotency, images, instances, root_replacements, snapshots, volumes
from openami.catalog import tags as tag_rows
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    IncorrectInstanceState,
    InvalidParameterCombination,
    InvalidParameterValue,
)
from openami.domain.filter import Filter, Page
from openami.domain.idempotency import ClientToken
from openami.domain.ids import (
    ImageId,
    InstanceId,
    ReplaceRootVolumeTaskId,
    SnapshotId,
    VolumeId,
)
from openami.domain.image import Image
from openami.domain.instance import Instance, InstanceState
from openami.domain.instance_type import known_type
from openami.domain.launch import boot_mode_of, check_bootable, check_instance_type, devices_of
from openami.domain.root_replacement import FromImage, ReplaceRootVolumeTask, TaskState
from openami.domain.snapshot import Snapshot
from openami.domain.volume import Volume, VolumeState
from openami.services import Services
from openami.workflows import replace_root_volume as workflow

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """What CreateReplaceRootVolumeTask is told. No source asks for the launch state."""

    instance_id: InstanceId
    snapshot_id: SnapshotId | None = None
    image_id: ImageId | None = None
    volume_id: VolumeId | None = None
    delete_replaced: bool = False
    tags: Tags = field(default_factory=dict[str, str])
    token: ClientToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The new root: a volume to make or one that is there, and what the instance has of it."""

    volume: Volume
    is_made: bool
    later: FromImage


def create_replace_root_volume_task(
    svc: Services, caller: Caller, asked: Replacement
) -> tuple[ReplaceRootVolumeTask, Tags]:
    """A pending task; the machine restarts from the new root as soon as its guest has shut down."""
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            task_id = ReplaceRootVolumeTaskId(earlier)
            task = root_replacements.fetch_owned(tx, task_id, caller)
            return task, tag_rows.of_one(tx, caller.account, task.id)
        task = _begin(svc, tx, caller, asked)
        idempotency.remember(tx, caller, asked.token, task.id, task.started_at)
    svc.jobs.wait(workflow.start(svc, task), svc.settings.settle_timeout_s)
    return task, asked.tags


def _begin(
    svc: Services, tx: Transaction, caller: Caller, asked: Replacement
) -> ReplaceRootVolumeTask:
    instance = _replaceable(tx, caller, asked)
    old = _root_volume(tx, instance)
    source = _source(svc, tx, caller, asked, instance, old)
    task = ReplaceRootVolumeTask(
        id=ReplaceRootVolumeTaskId(svc.ids.new("replacevol")),
        region=caller.region,
        owner=caller.account,
        instance_id=instance.id,
        state=TaskState.PENDING,
        started_at=svc.clock.now(),
        old_volume_id=old.id,
        new_volume_id=source.volume.id,
        made_volume=source.is_made,
        before=FromImage.of(instance),
        later=source.later,
        image_id=asked.image_id,
        snapshot_id=source.volume.snapshot_id,
        delete_replaced=asked.delete_replaced,
    )
    if source.is_made:
        volumes.add(tx, source.volume)
    root_replacements.add(tx, task)
    instances.save(tx, replace(instance, rebooting_for=task.id))
    resource = ("replace-root-volume-task", task.id)
    tag_rows.put(tx, caller.account, caller.region, resource, asked.tags)
    return task


def _replaceable(tx: Transaction, caller: Caller, asked: Replacement) -> Instance:
    given = [asked.snapshot_id, asked.image_id, asked.volume_id]
    if sum(each is not None for each in given) > 1:
        raise InvalidParameterCombination(
            "Specify one of SnapshotId, ImageId and VolumeId, or none of them for the launch state."
        )
    instance = instances.fetch_owned(tx, asked.instance_id, caller.account, caller.region)
    if instance.state is not InstanceState.RUNNING:
        raise IncorrectInstanceState(instance.id, instance.state, "CreateReplaceRootVolumeTask")
    if instance.rebooting_for is not None:
        raise EC2Error.of(
            "IncorrectState", f"Instance '{instance.id}' is rebooted for {instance.rebooting_for}."
        )
    return instance


def _root_volume(tx: Transaction, instance: Instance) -> Volume:
    for volume in volumes.of_instance(tx, instance.id):
        its = volume.attachment
        if its is not None and its.device_name == instance.root_device_name:
            return volume
    raise InvalidParameterValue(
        f"Instance '{instance.id}' has no EBS volume at its root device"
        f" {instance.root_device_name}."
    )


def _source(
    svc: Services,
    tx: Transaction,
    caller: Caller,
    asked: Replacement,
    instance: Instance,
    old: Volume,
) -> _Source:
    later = FromImage.of(instance)
    if asked.volume_id is not None:
        volume = _given_volume(tx, caller, asked.volume_id, instance)
        return _Source(volume=volume, is_made=False, later=later)
    size_gib, snapshot_id, root = old.size_gib, old.snapshot_id, old.root
    if asked.snapshot_id is not None:
        snapshot = _given_snapshot(tx, caller, asked.snapshot_id, instance, old)
        snapshot_id, root = snapshot.id, snapshot.root
        size_gib = max(size_gib, snapshot.volume_size_gib)
    elif asked.image_id is not None:
        now = svc.clock.now()
        image = images.fetch_launchable(tx, asked.image_id, caller.account, caller.region, now)
        snapshot, its_size_gib = _its_root(tx, image, instance)
        snapshot_id, root = snapshot.id, snapshot.root
        size_gib, later = max(size_gib, its_size_gib), _later(instance, image)
    elif root is None:
        raise InvalidParameterValue(
            f"The root volume '{old.id}' was not made from a snapshot: it has no launch state."
        )
    volume = Volume(
        id=VolumeId(svc.ids.new("vol")),
        region=old.region,
        availability_zone=old.availability_zone,
        owner=old.owner,
        size_gib=size_gib,
        state=VolumeState.CREATING,
        created_at=svc.clock.now(),
        volume_type=old.volume_type,
        iops=old.iops,
        throughput=old.throughput,
        snapshot_id=snapshot_id,
        root=root,
    )
    return _Source(volume=fast_if_wanted(tx, volume), is_made=True, later=later)


def _given_volume(
    tx: Transaction, caller: Caller, volume_id: VolumeId, instance: Instance
) -> Volume:
    volume = volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
    if volume.attachment is not None:
        raise EC2Error.of("VolumeInUse", f"{volume.id} is already attached to an instance")
    if volume.state is not VolumeState.AVAILABLE:
        raise EC2Error.of("IncorrectState", f"Volume '{volume.id}' is not 'available'.")
    if volume.availability_zone != instance.availability_zone:
        raise EC2Error.of(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance"
            f" '{instance.id}'",
        )
    return volume


def _given_snapshot(
    tx: Transaction, caller: Caller, snapshot_id: SnapshotId, instance: Instance, old: Volume
) -> Snapshot:
    """One taken of the instance's root volume, or of a root that it had before; no copy of one."""
    snapshot = snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
    lineage = root_replacements.former_roots(tx, instance.id) | {old.id}
    if snapshot.volume_id not in lineage:
        raise InvalidParameterValue(
            f"The snapshot '{snapshot.id}' does not belong to the lineage of the root volume"
            f" '{old.id}' of instance '{instance.id}'."
        )
    return snapshot.usable()


def _its_root(tx: Transaction, image: Image, instance: Instance) -> tuple[Snapshot, int]:
    """The snapshot of the image's root and the size of that device. Its other disks are left."""
    kind = known_type(instance.instance_type)
    check_bootable(image, kind)
    check_instance_type(image, kind)
    if image.architecture != instance.architecture:
        raise InvalidParameterValue(
            f"The image '{image.id}' is for {image.architecture} and the instance"
            f" '{instance.id}' for {instance.architecture}."
        )
    if instance.ena_support and not image.ena_support:
        raise InvalidParameterValue(
            f"The instance '{instance.id}' is enabled for ENA, which the image '{image.id}'"
            " does not support."
        )
    ebs = next(iter(devices_of(image, ()).values()))
    assert ebs.snapshot_id is not None
    # Who may launch an image may use its snapshots: those that its owner may use.
    snapshot = snapshots.fetch_visible(tx, ebs.snapshot_id, image.owner, image.region)
    size_gib = ebs.volume_size_gib or 0
    return snapshot.usable(), max(size_gib, snapshot.volume_size_gib)


def _later(instance: Instance, image: Image) -> FromImage:
    return FromImage(
        image_id=image.id,
        boot_mode=image.boot_mode,
        current_boot_mode=boot_mode_of(image, known_type(instance.instance_type)),
        ena_support=image.ena_support,
    )


def describe_replace_root_volume_tasks(
    svc: Services,
    caller: Caller,
    task_ids: Sequence[ReplaceRootVolumeTaskId],
    conditions: Sequence[Filter],
    page: Page,
) -> tuple[Sequence[ReplaceRootVolumeTask], Mapping[str, Tags]]:
    """The caller's tasks, by id, and their tags."""
    with svc.catalog.read() as tx:
        found = root_replacements.describe(tx, caller, task_ids, conditions, page)
        return found, tag_rows.of_many(tx, caller.account, [each.id for each in found])
