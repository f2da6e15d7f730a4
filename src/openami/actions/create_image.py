"""CreateImage: the volumes of an instance become the snapshots of an image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from openami.actions import images as image_actions
from openami.actions import snapshots as snapshot_actions
from openami.catalog import images, instances, tags, volumes
from openami.catalog.catalog import Transaction
from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    IncorrectInstanceState,
    InvalidBlockDeviceMapping,
    InvalidParameterValue,
)
from openami.domain.ids import ImageId, InstanceId, SnapshotId, VolumeId
from openami.domain.image import Image, ImageState
from openami.domain.instance import Instance, InstanceState
from openami.domain.volume import Volume
from openami.jobs.engine import wait_for_all
from openami.services import Services
from openami.workflows import create_image as workflow
from openami.workflows import store_copies


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """What CreateImage is told."""

    instance_id: InstanceId
    name: str
    description: str | None = None
    no_reboot: bool = False
    mappings: tuple[BlockDeviceMapping, ...] = ()
    image_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    snapshot_tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The image's devices, and which snapshot of them is filled from which volume."""

    mappings: tuple[BlockDeviceMapping, ...]
    filled: dict[SnapshotId, VolumeId]


Noting = Callable[[Transaction, Image], None]
"""What is to be written down in the transaction that makes the image, or not at all."""


def create_image(
    svc: Services, caller: Caller, asked: Creation, noting: Noting = lambda _tx, _image: None
) -> ImageId:
    """A pending image. All its snapshots are of one moment, which is within this call unless the
    guest must shut down first."""
    image_id = ImageId(svc.ids.new("ami"))
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, asked.instance_id, caller.account, caller.region)
        _check_state(instance, asked)
        image_actions.check_new(svc, tx, caller, asked.name)
        plan = _planned(svc, tx, caller, instance, asked, image_id)
        image = _image(svc, tx, instance, asked, image_id, plan.mappings)
        images.add(tx, image)
        tags.put(tx, caller.account, caller.region, ("image", image_id), asked.image_tags)
        if instance.state is InstanceState.RUNNING and not asked.no_reboot:
            instances.save(tx, replace(instance, rebooting_for=image_id))
        noting(tx, image)
    halves = [workflow.start(svc, image, plan.filled), store_copies.job_id_for(image_id)]
    wait_for_all(svc.jobs, halves, svc.settings.settle_timeout_s)
    return image_id


def _check_state(instance: Instance, asked: Creation) -> None:
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        raise IncorrectInstanceState(instance.id, instance.state, "CreateImage")
    if instance.rebooting_for is not None and not asked.no_reboot:
        raise EC2Error.of(
            "IncorrectState", f"Instance '{instance.id}' is rebooted for {instance.rebooting_for}."
        )


def _image(
    svc: Services,
    tx: Transaction,
    instance: Instance,
    asked: Creation,
    image_id: ImageId,
    mappings: tuple[BlockDeviceMapping, ...],
) -> Image:
    source = images.fetch_any(tx, instance.image_id)
    return Image(
        id=image_id,
        region=instance.region,
        owner=instance.owner,
        name=asked.name,
        state=ImageState.PENDING,
        root_device_name=instance.root_device_name,
        block_device_mappings=mappings,
        created_at=svc.clock.now(),
        description=asked.description,
        location=f"{instance.owner}/{asked.name}",
        architecture=instance.architecture,
        virtualization_type="hvm",
        boot_mode=instance.boot_mode,
        ena_support=instance.ena_support,
        sriov_net_support=source.sriov_net_support if source else None,
        imds_support=source.imds_support if source else None,
        source_instance_id=instance.id,
        source_image_id=instance.image_id,
        source_image_region=instance.region,
        watermarks=source.watermarks if source else (),
    )


def _planned(
    svc: Services,
    tx: Transaction,
    caller: Caller,
    instance: Instance,
    asked: Creation,
    image_id: ImageId,
) -> _Plan:
    overrides = {mapping.device_name: mapping for mapping in asked.mappings}
    attached = _root_first(instance, volumes.of_instance(tx, instance.id))
    mappings: list[BlockDeviceMapping] = []
    filled: dict[SnapshotId, VolumeId] = {}
    for device_name, volume in attached:
        override = overrides.pop(device_name, None)
        _check_override(device_name, volume, override, instance.root_device_name)
        if override is not None and override.no_device:
            continue
        snapshot = snapshot_actions.begin(
            svc,
            tx,
            volume,
            f"Created by CreateImage({instance.id}) for {image_id}",
            asked.snapshot_tags,
        )
        filled[snapshot.id] = volume.id
        mappings.append(_mapping(device_name, volume, snapshot.id, override))
    taken = {device_name for device_name, _ in attached} | set(overrides)
    mappings += [each for each in _ephemeral(tx, instance) if each.device_name not in taken]
    mappings += [
        image_actions.resolved(tx, caller, override, instance.root_device_name)
        for override in overrides.values()
        if not override.no_device
    ]
    return _Plan(mappings=tuple(mappings), filled=filled)


def _ephemeral(tx: Transaction, instance: Instance) -> list[BlockDeviceMapping]:
    """The instance's instance-store disks; mapped for types that have some, also if it has none."""
    source = images.fetch_any(tx, instance.image_id)
    mapped = source.block_device_mappings if source is not None else ()
    found = {each.device_name: each for each in mapped if each.virtual_name is not None}
    for disk in instance.ephemeral_disks:
        found[disk.device_name] = BlockDeviceMapping(
            device_name=disk.device_name, virtual_name=disk.virtual_name
        )
    return list(found.values())


def _root_first(instance: Instance, attached: Sequence[Volume]) -> list[tuple[str, Volume]]:
    placed = [(each.attachment.device_name, each) for each in attached if each.attachment]
    placed.sort(key=lambda each: (each[0] != instance.root_device_name, each[0]))
    if not placed or placed[0][0] != instance.root_device_name:
        raise InvalidParameterValue(
            f"Instance '{instance.id}' has no EBS volume at its root device"
            f" {instance.root_device_name}."
        )
    return placed


def _check_override(
    device_name: str, volume: Volume, override: BlockDeviceMapping | None, root_device_name: str
) -> None:
    """Of a device that is there, only DeleteOnTermination may change; all but the root may go.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html
    """
    if override is None:
        return
    if override.no_device:
        if device_name == root_device_name:
            raise InvalidBlockDeviceMapping(f"The root device {device_name} cannot be left out.")
        return
    same = EbsDevice(
        volume_size_gib=volume.size_gib, volume_type=volume.volume_type, encrypted=False
    )
    given = override.ebs
    if given is None or any(
        value is not None and value != getattr(same, name)
        for name, value in (
            ("snapshot_id", given.snapshot_id),
            ("volume_size_gib", given.volume_size_gib),
            ("volume_type", given.volume_type),
            ("encrypted", given.encrypted),
            ("iops", given.iops),
            ("throughput", given.throughput),
        )
    ):
        raise InvalidBlockDeviceMapping(
            f"Only DeleteOnTermination of the existing device {device_name} can be changed."
        )


def _mapping(
    device_name: str, volume: Volume, snapshot_id: SnapshotId, override: BlockDeviceMapping | None
) -> BlockDeviceMapping:
    assert volume.attachment is not None
    deleted = volume.attachment.delete_on_termination
    if override is not None and override.ebs is not None:
        given = override.ebs.delete_on_termination
        deleted = deleted if given is None else given
    return BlockDeviceMapping(
        device_name=device_name,
        ebs=EbsDevice(
            snapshot_id=snapshot_id,
            volume_size_gib=volume.size_gib,
            volume_type=volume.volume_type,
            iops=None if volume.volume_type == "gp2" else volume.effective_iops,
            throughput=volume.effective_throughput,
            delete_on_termination=deleted,
        ),
    )
