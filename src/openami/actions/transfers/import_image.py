"""The operator's import: a disk file on the server's own filesystem becomes an image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from openami.actions.images import check_new
from openami.actions.public_catalogue import account_of_alias, check_parameter_name
from openami.actions.quotas import Quota, check_room
from openami.catalog import accounts, images, ingests, snapshots
from openami.diskimage import qemu_img
from openami.diskimage.errors import DiskImageError, DiskRejected
from openami.diskimage.formats import DiskFormat
from openami.domain.account import Account
from openami.domain.block import GIB
from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.ids import ImageId, Region, SnapshotId
from openami.domain.image import Image, ImageState
from openami.domain.snapshot import NO_VOLUME, Snapshot, SnapshotState
from openami.services import Services
from openami.workflows import import_image as workflow

ROOT_DEVICE: Final = "/dev/xvda"
BOOT_MODES: Final = ("legacy-bios", "uefi", "uefi-preferred")


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A disk and the image it is to be. Without `disk_format` its content tells."""

    path: Path
    name: str
    boot_mode: str
    description: str | None = None
    disk_format: DiskFormat | None = None


def import_image(svc: Services, caller: Caller, asked: Import) -> ImageId:
    """A pending image of x86_64 that boots from the disk. Raises what RegisterImage raises for
    a name, and InvalidParameterValue for a file that is no disk."""
    if asked.boot_mode not in BOOT_MODES:
        raise InvalidParameterValue(f"boot mode {asked.boot_mode!r}: {', '.join(BOOT_MODES)}")
    try:
        info = qemu_img.inspect(asked.path, asked.disk_format)
    except (DiskImageError, DiskRejected) as failure:
        raise InvalidParameterValue(str(failure)) from failure
    image_id = ImageId(svc.ids.new("ami"))
    with svc.locks(image_id):  # the sweep takes a pending import without a job for a lost one
        snapshot_id = _commit(svc, caller, asked, image_id, info.virtual_size_bytes)
        workflow.start(svc, image_id, snapshot_id, asked.path, info.format)
    return image_id


def _commit(
    svc: Services, caller: Caller, asked: Import, image_id: ImageId, size_bytes: int
) -> SnapshotId:
    with svc.catalog.begin() as tx:
        check_new(svc, tx, caller, asked.name)
        snapshot = Snapshot(
            id=SnapshotId(svc.ids.new("snap")),
            region=caller.region,
            owner=caller.account,
            volume_id=NO_VOLUME,
            volume_size_gib=max(1, -(-size_bytes // GIB)),
            state=SnapshotState.PENDING,
            started_at=svc.clock.now(),
            description=f"Created by openami image import for {image_id}",
        )
        check_room(svc, tx, Quota.SNAPSHOTS, caller.account, caller.region)
        snapshots.add(tx, snapshot)
        ingests.begin(tx, snapshot.id, snapshot.region, snapshot.started_at)
        images.add(tx, _image(caller, asked, image_id, snapshot))
    return snapshot.id


def _image(caller: Caller, asked: Import, image_id: ImageId, snapshot: Snapshot) -> Image:
    root = EbsDevice(
        snapshot_id=snapshot.id,
        volume_size_gib=snapshot.volume_size_gib,
        volume_type="gp2",
        delete_on_termination=True,
    )
    return Image(
        id=image_id,
        region=caller.region,
        owner=caller.account,
        name=asked.name,
        state=ImageState.PENDING,
        root_device_name=ROOT_DEVICE,
        block_device_mappings=(BlockDeviceMapping(device_name=ROOT_DEVICE, ebs=root),),
        created_at=snapshot.started_at,
        description=asked.description,
        location=f"{caller.account}/{asked.name}",
        boot_mode=asked.boot_mode,
        ena_support=True,
    )


def _owner(svc: Services, request: Mapping[str, Any]) -> Account:
    """The account that is named, or the one that stands behind the alias."""
    if request.get("alias") is not None:
        with svc.catalog.begin() as tx:
            return account_of_alias(tx, svc.clock, str(request["alias"]))
    told = str(request["account"])
    with svc.catalog.read() as tx:
        owner = accounts.find(tx, told)
    if owner is None:
        raise EC2Error.of("InvalidUserID.NotFound", f"There is no account {told!r}")
    return owner


def from_operator(svc: Services, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The verb `import-image` of the operator's door. Raises EC2Error."""
    owner = _owner(svc, request)
    if request.get("ssm_parameter") is not None:
        check_parameter_name(str(request["ssm_parameter"]))
    region = str(request["region"])
    if region not in svc.settings.regions:
        known = ", ".join(svc.settings.regions)
        raise InvalidParameterValue(f"There is no region {region!r}; there are {known}")
    given_format = request.get("format")
    asked = Import(
        path=Path(str(request["path"])),
        name=str(request["name"]),
        boot_mode=str(request["boot_mode"]),
        description=str(request.get("description") or "") or None,
        disk_format=None if given_format is None else DiskFormat(str(given_format)),
    )
    caller = Caller(account=owner.id, region=Region(region), request_id=svc.ids.request_id())
    return {"image_id": import_image(svc, caller, asked)}
