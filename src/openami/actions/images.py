"""Images: registered from snapshots, listed, deregistered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from openami.actions import snapshots as snapshot_actions
from openami.actions.quotas import Quota, check_room
from openami.actions.snapshot.locks import check_deletable
from openami.catalog import allowed_images, images, public_catalogue, snapshots, tags
from openami.catalog.catalog import Transaction
from openami.catalog.images import Scope as Scope
from openami.domain.block_device import BlockDeviceMapping, EbsDevice, check_volume
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidBlockDeviceMapping,
    MissingParameter,
    OperationNotPermitted,
    SnapshotNotFound,
    UnsupportedOperation,
)
from openami.domain.filter import Filter, Page
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import Image, ImageState, checked_image_name
from openami.services import Services
from openami.workflows import recycle_bin as bin_workflow
from openami.workflows import store_copies

Tags = Mapping[str, Mapping[str, str]]
"""Resource id → its tags, as the caller sees them."""

DEFAULT_ROOT_DEVICE: Final = "/dev/sda1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Images with their tags, and whether the caller's account allows them where it has a rule.

    `parameter_names` are the public parameters that name images of the public catalogue.
    """

    images: Sequence[Image]
    tags: Tags
    allowed: Mapping[ImageId, bool]
    parameter_names: Mapping[ImageId, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What RegisterImage is told. The defaults are EC2's, which are those of 2006."""

    name: str
    description: str | None = None
    architecture: str = "i386"
    virtualization_type: str = "paravirtual"
    root_device_name: str = DEFAULT_ROOT_DEVICE
    mappings: tuple[BlockDeviceMapping, ...] = ()
    boot_mode: str | None = None
    imds_support: str | None = None
    ena_support: bool = False
    sriov_net_support: str | None = None
    tags: Mapping[str, str] | None = None


def register_image(svc: Services, caller: Caller, asked: Registration) -> ImageId:
    """An image over snapshots that are there: available at once."""
    with svc.catalog.begin() as tx:
        check_new(svc, tx, caller, asked.name)
        mappings = tuple(
            resolved(tx, caller, mapping, asked.root_device_name)
            for mapping in asked.mappings
            if not mapping.no_device
        )
        _check_root(mappings, asked.root_device_name)
        image = Image(
            id=ImageId(svc.ids.new("ami")),
            region=caller.region,
            owner=caller.account,
            name=asked.name,
            state=ImageState.AVAILABLE,
            root_device_name=asked.root_device_name,
            block_device_mappings=mappings,
            created_at=svc.clock.now(),
            description=asked.description,
            location=f"{caller.account}/{asked.name}",
            architecture=asked.architecture,
            virtualization_type=asked.virtualization_type,
            boot_mode=asked.boot_mode,
            ena_support=asked.ena_support,
            sriov_net_support=asked.sriov_net_support,
            imds_support=asked.imds_support,
        )
        images.add(tx, image)
        tags.put(tx, caller.account, caller.region, ("image", image.id), asked.tags or {})
    return image.id


def check_new(svc: Services, tx: Transaction, caller: Caller, name: str) -> None:
    """Raises as `check_name`, and ResourceLimitExceeded for one image too many."""
    check_name(tx, caller, name)
    check_room(svc, tx, Quota.IMAGES, caller.account, caller.region)


def check_name(tx: Transaction, caller: Caller, name: str) -> None:
    """Raises InvalidAMIName.Malformed, InvalidAMIName.Duplicate."""
    checked_image_name(name)
    user = images.id_by_name(tx, name, caller.account, caller.region)
    if user is not None:
        raise EC2Error.of(
            "InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {user}"
        )


def resolved(
    tx: Transaction, caller: Caller, mapping: BlockDeviceMapping, root_device_name: str
) -> BlockDeviceMapping:
    """The mapping with all that the request left open, as EC2 fills it in.

    Raises SnapshotNotFound, IncorrectState for a snapshot that is not complete,
    InvalidBlockDeviceMapping, MissingParameter, UnsupportedOperation.
    """
    ebs = mapping.ebs
    if ebs is None:
        return mapping
    if ebs.snapshot_id is not None and ebs.encrypted is not None:
        raise InvalidBlockDeviceMapping(
            f"the encrypted flag cannot be specified since device {mapping.device_name}"
            " has a snapshot specified."
        )
    if ebs.encrypted:
        raise UnsupportedOperation("openami does not encrypt volumes yet")
    full = replace(
        ebs,
        volume_size_gib=_size_gib(tx, caller, ebs),
        volume_type=ebs.volume_type or "gp2",
        delete_on_termination=_first(
            ebs.delete_on_termination, mapping.device_name == root_device_name
        ),
        encrypted=None,
    )
    check_volume(full, mapping.device_name)
    return replace(mapping, ebs=full)


def _first(given: bool | None, default: bool) -> bool:
    return default if given is None else given


def _size_gib(tx: Transaction, caller: Caller, ebs: EbsDevice) -> int:
    if ebs.snapshot_id is None:
        if ebs.volume_size_gib is None:
            raise MissingParameter("size/snapshot")
        return ebs.volume_size_gib
    snapshot = snapshots.fetch_visible(tx, ebs.snapshot_id, caller.account, caller.region).usable()
    size_gib = ebs.volume_size_gib or snapshot.volume_size_gib
    if size_gib < snapshot.volume_size_gib:
        raise InvalidBlockDeviceMapping(
            f"Volume of size {size_gib}GB is smaller than snapshot '{snapshot.id}',"
            f" expect size >= {snapshot.volume_size_gib}GB"
        )
    return size_gib


def _check_root(mappings: Sequence[BlockDeviceMapping], root_device_name: str) -> None:
    root = next((each for each in mappings if each.device_name == root_device_name), None)
    if root is None or root.ebs is None or root.ebs.snapshot_id is None:
        raise InvalidBlockDeviceMapping(
            f"The root device {root_device_name} needs a block device mapping with a snapshot."
        )


def describe_images(
    svc: Services, caller: Caller, scope: Scope, conditions: Sequence[Filter], page: Page
) -> Listing:
    """The images that the caller may see, by id."""
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        settings = allowed_images.settings_of(tx, caller.account, caller.region)
        found = images.describe(tx, caller, scope, conditions, page, now, settings)
        ids = [image.id for image in found]
        return Listing(
            images=found,
            tags=tags.of_images(tx, caller.account, {each.id: each.owner for each in found}),
            allowed=allowed_images.allowed(tx, caller.account, settings, ids, now),
            parameter_names=public_catalogue.parameter_names(tx, found),
        )


def deregister_image(
    svc: Services, caller: Caller, image_id: ImageId, delete_snapshots: bool
) -> Mapping[SnapshotId, str]:
    """No launches from it any more; what runs is left alone. Snapshot id → what became of it."""
    with svc.catalog.begin() as tx:
        image = images.fetch_owned(tx, image_id, caller.account, caller.region)
        images.save(tx, image.deregistered(svc.clock.now()))
        if image.state in (ImageState.AVAILABLE, ImageState.DISABLED):
            bin_workflow.retain_image(svc, tx, image)
        if not delete_snapshots:
            return {}
        named = [
            mapping.ebs.snapshot_id
            for mapping in image.block_device_mappings
            if mapping.ebs is not None and mapping.ebs.snapshot_id is not None
        ]
        told = {
            snapshot_id: _deleted(svc, tx, caller, snapshot_id)
            for snapshot_id in dict.fromkeys(named)
        }
    store_copies.let_go(svc, image_id)
    return told


def _deleted(svc: Services, tx: Transaction, caller: Caller, snapshot_id: SnapshotId) -> str:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSnapshotReturnCode.html"""
    try:
        snapshot = snapshots.fetch_visible(tx, snapshot_id, caller.account, caller.region)
    except SnapshotNotFound:
        return "client-error"
    if snapshot.owner != caller.account:
        return "missing-permissions"
    if images.users_of_snapshot(tx, snapshot_id):
        return "skipped"
    try:
        check_deletable(svc, tx, snapshot_id)
    except OperationNotPermitted:
        return "client-error"
    snapshot_actions.remove(svc, tx, snapshot_id)
    return "success"
