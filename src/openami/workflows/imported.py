"""What an import leaves when all its disks are in the store: snapshots, and an image of them."""

from dataclasses import replace
from typing import Final

from openami.catalog import images, import_tasks, snapshots
from openami.catalog.catalog import Transaction
from openami.domain.block import GIB
from openami.domain.block_device import VOLUME_SIZE_GIB, BlockDeviceMapping, EbsDevice
from openami.domain.errors import EC2Error
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import Image, ImageState
from openami.domain.manifest import Root
from openami.domain.snapshot import NO_VOLUME, Snapshot, SnapshotState
from openami.domain.transfers.import_task import ImportedDisk, ImportTask
from openami.jobs.engine import GiveUp
from openami.services import Services

ROOT_DEVICE: Final = "/dev/sda1"
_GP2_GIB_MAX: Final = VOLUME_SIZE_GIB["gp2"][1]
_DATA_DEVICES: Final = tuple(f"/dev/sd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")


def complete(svc: Services, tx: Transaction, task: ImportTask) -> None:
    """Make the snapshots, the image if one was asked for, and the task completed.

    Raises GiveUp when a snapshot that the request named is gone or archived, or the image's name
    is taken.
    """
    made = replace(
        task, disks=tuple(_with_snapshot(svc, tx, task, number) for number in _numbers(task))
    )
    if task.makes_image:
        image = _image(svc, made)
        taken = images.id_by_name(tx, image.name, task.owner, task.region)
        if taken is not None:
            raise GiveUp(f"ClientError: The name {image.name} is in use by {taken}.")
        images.add(tx, image)
        made = replace(made, image_id=image.id)
    import_tasks.save(tx, made.completed(svc.clock.now()))


def _numbers(task: ImportTask) -> range:
    return range(len(task.disks))


def _with_snapshot(svc: Services, tx: Transaction, task: ImportTask, number: int) -> ImportedDisk:
    disk = task.disks[number]
    if disk.is_given:
        snapshot_id = SnapshotId(str(disk.snapshot_id))
        try:
            snapshots.fetch_visible(tx, snapshot_id, task.owner, task.region).usable()
        except EC2Error as gone:
            raise GiveUp(f"ClientError: {gone}") from None
        return disk
    now = svc.clock.now()
    snapshot = Snapshot(
        id=SnapshotId(svc.ids.new("snap")),
        region=task.region,
        owner=task.owner,
        volume_id=NO_VOLUME,
        volume_size_gib=size_gib(disk),
        state=SnapshotState.PENDING,
        started_at=now,
        description=disk.description or f"Created by openami's import for {task.id}",
    )
    snapshots.add(tx, snapshot.completed(str(disk.root), now))
    return replace(disk, snapshot_id=snapshot.id)


def size_gib(disk: ImportedDisk) -> int:
    """Of the smallest volume that holds the disk."""
    return max(1, -(-Root.from_text(str(disk.root)).size_bytes // GIB))


def _image(svc: Services, task: ImportTask) -> Image:
    return Image(
        id=ImageId(svc.ids.new("ami")),
        region=task.region,
        owner=task.owner,
        name=task.id,
        state=ImageState.AVAILABLE,
        root_device_name=device_name(task, 0),
        block_device_mappings=tuple(_mapping(task, number) for number in _numbers(task)),
        created_at=svc.clock.now(),
        description=task.description,
        location=f"{task.owner}/{task.id}",
        architecture=task.architecture or "x86_64",
        boot_mode=task.boot_mode,
        ena_support=True,
    )


def _mapping(task: ImportTask, number: int) -> BlockDeviceMapping:
    disk = task.disks[number]
    size = size_gib(disk)
    device = EbsDevice(
        snapshot_id=disk.snapshot_id,
        volume_size_gib=size,
        volume_type="gp2" if size <= _GP2_GIB_MAX else "gp3",
        delete_on_termination=number == 0,
    )
    return BlockDeviceMapping(device_name=device_name(task, number), ebs=device)


def device_name(task: ImportTask, number: int) -> str:
    """As asked for, else the next one that the request does not name."""
    told = [disk.device_name for disk in task.disks]
    if told[number] is not None:
        return str(told[number])
    names = (ROOT_DEVICE, *_DATA_DEVICES) if told[0] is None else _DATA_DEVICES
    free = [name for name in names if name not in told]
    return free[told[:number].count(None)]
