"""An image as it is told at the head of a stored object: what it is, its tags, its disks.

The head travels through buckets and may come back from anybody's hands: `parsed` believes
nothing of it that RegisterImage would not take. Sharing, deprecation, protection, watermarks and
instance type specifications stay behind. docs/stored-images.md has the format.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from openami.domain.block import GIB
from openami.domain.block_device import BlockDeviceMapping, EbsDevice, check_volume, checked
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, ImageId, Region, SnapshotId, is_id
from openami.domain.image import Image, ImageState, checked_image_name
from openami.domain.image_retirement import iso
from openami.domain.manifest import Root
from openami.domain.tag import checked_tags, is_reserved

VERSION: Final = 1
DESCRIPTION_CHARACTERS_MAX: Final = 255
_SIZE_GIB_MAX: Final = 65536
_CHOICES: Final[Mapping[str, tuple[str | None, ...]]] = {
    "architecture": ("x86_64", "arm64", "i386", "x86_64_mac", "arm64_mac"),
    "boot_mode": (None, "legacy-bios", "uefi", "uefi-preferred"),
    "sriov_net_support": (None, "simple"),
    "tpm_support": (None, "v2.0"),
    "imds_support": (None, "v2.0"),
    "platform": (None, "windows"),
}
"""Fields of an image that are stored as they are, and what they may be."""

Tags = Mapping[str, str]


class NotAStoredImage(Exception):
    """The object is none that CreateStoreImageTask wrote; the message says why, for its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDisk:
    """A snapshot of the image: which it was, and what it holds."""

    snapshot_id: SnapshotId
    size_gib: int
    root: Root
    description: str = ""
    tags: Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """`image` is as it was where it was stored, devices and all; its disks are told by them."""

    image: Image
    tags: Tags
    disks: tuple[StoredDisk, ...]

    @property
    def roots(self) -> tuple[Root, ...]:
        return tuple(disk.root for disk in self.disks)

    @property
    def size_gib(self) -> int:
        return sum(disk.size_gib for disk in self.disks)


def told(stored: StoredImage) -> bytes:
    """The head's text: JSON in UTF-8."""
    image = stored.image
    document = {
        "version": VERSION,
        "image": {
            "id": image.id,
            "owner": image.owner,
            "region": image.region,
            "created_at": iso(image.created_at),
            "name": image.name,
            "description": image.description,
            "root_device_name": image.root_device_name,
            "ena_support": image.ena_support,
            **{name: getattr(image, name) for name in _CHOICES},
            "devices": [_device_told(each) for each in image.block_device_mappings],
            "tags": _kept(stored.tags),
        },
        "disks": [
            {
                "snapshot_id": disk.snapshot_id,
                "size_gib": disk.size_gib,
                "root": disk.root.to_text(),
                "description": disk.description,
                "tags": _kept(disk.tags),
            }
            for disk in stored.disks
        ],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _kept(tags: Tags) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not is_reserved(key)}


def _device_told(mapping: BlockDeviceMapping) -> dict[str, Any]:
    ebs = mapping.ebs
    if ebs is None:
        return {"device_name": mapping.device_name, "virtual_name": mapping.virtual_name}
    told_of_ebs = {
        "snapshot_id": ebs.snapshot_id,
        "volume_size_gib": ebs.volume_size_gib,
        "volume_type": ebs.volume_type,
        "iops": ebs.iops,
        "throughput": ebs.throughput,
        "delete_on_termination": bool(ebs.delete_on_termination),
    }
    return {"device_name": mapping.device_name, "ebs": told_of_ebs}


def parsed(text: bytes, at: datetime) -> StoredImage:
    """What `told` wrote. `at` stands for the moment of its making. Raises NotAStoredImage."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAStoredImage("its head is not JSON") from None
    document = _object(raw, "the head")
    if document.get("version") != VERSION:
        raise NotAStoredImage(f"its version is {document.get('version')!r:.40}, not {VERSION}")
    try:
        disks = tuple(_disk(each) for each in _list(document, "disks"))
        by_id = {disk.snapshot_id: disk for disk in disks}
        if len(by_id) < len(disks):
            raise NotAStoredImage("it names a disk twice")
        fields = _object(document.get("image"), "image")
        image = _image(fields, by_id, at)
        return StoredImage(image=image, tags=_tags(fields), disks=disks)
    except EC2Error as refusal:
        raise NotAStoredImage(str(refusal)) from refusal


def _disk(raw: object) -> StoredDisk:
    fields = _object(raw, "a disk")
    snapshot_id = _text(fields, "snapshot_id")
    if not is_id("snap", snapshot_id):
        raise NotAStoredImage("a disk has no snapshot id")
    try:
        root = Root.from_text(_text(fields, "root"))
    except ValueError:
        raise NotAStoredImage(f"{snapshot_id} names no content") from None
    size_gib = _number(fields, "size_gib") or 0
    if not 1 <= size_gib <= _SIZE_GIB_MAX or root.size_bytes > size_gib * GIB:
        raise NotAStoredImage(f"{snapshot_id} has a size that its content contradicts")
    return StoredDisk(
        snapshot_id=SnapshotId(snapshot_id),
        size_gib=size_gib,
        root=root,
        description=_text(fields, "description")[:DESCRIPTION_CHARACTERS_MAX],
        tags=_tags(fields),
    )


def _image(
    fields: Mapping[str, Any], disks: Mapping[SnapshotId, StoredDisk], at: datetime
) -> Image:
    for name, allowed in _CHOICES.items():
        if fields.get(name) not in allowed:
            raise NotAStoredImage(f"its {name} is {fields.get(name)!r:.40}")
    image_id, owner = _text(fields, "id"), _text(fields, "owner")
    if not is_id("ami", image_id) or not (owner.isdecimal() and len(owner) == 12):
        raise NotAStoredImage("it has no image id or no owner")
    mappings = checked([_device(each, disks) for each in _list(fields, "devices")])
    root_device_name = _text(fields, "root_device_name")
    root = next((each.ebs for each in mappings if each.device_name == root_device_name), None)
    if root is None or root.snapshot_id is None:
        raise NotAStoredImage("its root device has no disk")
    named = {each.ebs.snapshot_id for each in mappings if each.ebs is not None}
    if not named >= disks.keys():
        raise NotAStoredImage("it has a disk that no device names")
    description = fields.get("description")
    return Image(
        id=ImageId(image_id),
        region=Region(_text(fields, "region")[:32]),
        owner=AccountId(owner),
        name=checked_image_name(_text(fields, "name")),
        state=ImageState.AVAILABLE,
        root_device_name=root_device_name,
        block_device_mappings=mappings,
        created_at=at,
        description=None
        if description is None
        else _text(fields, "description")[:DESCRIPTION_CHARACTERS_MAX],
        ena_support=fields.get("ena_support") is True,
        **cast("dict[str, Any]", {name: fields.get(name) for name in _CHOICES}),
    )


def _device(raw: object, disks: Mapping[SnapshotId, StoredDisk]) -> BlockDeviceMapping:
    fields = _object(raw, "a device")
    name = _text(fields, "device_name")
    if fields.get("ebs") is None:
        return BlockDeviceMapping(device_name=name, virtual_name=_text(fields, "virtual_name"))
    ebs = _object(fields["ebs"], "a device's volume")
    device = EbsDevice(
        snapshot_id=None if ebs.get("snapshot_id") is None else _snapshot_id(ebs, disks),
        volume_size_gib=_number(ebs, "volume_size_gib"),
        volume_type=_text(ebs, "volume_type"),
        iops=_number(ebs, "iops"),
        throughput=_number(ebs, "throughput"),
        delete_on_termination=ebs.get("delete_on_termination") is True,
    )
    check_volume(device, name)
    disk = None if device.snapshot_id is None else disks[device.snapshot_id]
    if device.volume_size_gib is None or (disk and device.volume_size_gib < disk.size_gib):
        raise NotAStoredImage(f"the device {name} is smaller than its disk")
    return BlockDeviceMapping(device_name=name, ebs=device)


def _snapshot_id(fields: Mapping[str, Any], disks: Mapping[SnapshotId, StoredDisk]) -> SnapshotId:
    found = SnapshotId(_text(fields, "snapshot_id"))
    if found not in disks:
        raise NotAStoredImage("a device names a disk that it does not have")
    return found


def _tags(fields: Mapping[str, Any]) -> Tags:
    raw = _object(fields.get("tags"), "tags")
    if not all(isinstance(value, str) for value in raw.values()):
        raise NotAStoredImage("it has a tag that is no text")
    return checked_tags(cast("Mapping[str, str]", raw).items())


def _object(raw: object, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise NotAStoredImage(f"{what} is not an object of JSON")
    return cast("Mapping[str, Any]", raw)


def _list(fields: Mapping[str, Any], name: str) -> Sequence[object]:
    found = fields.get(name)
    if not isinstance(found, list):
        raise NotAStoredImage(f"{name} is not a list")
    return cast("Sequence[object]", found)


def _text(fields: Mapping[str, Any], name: str) -> str:
    found = fields.get(name)
    if not isinstance(found, str):
        raise NotAStoredImage(f"{name} is not a text")
    return found


def _number(fields: Mapping[str, Any], name: str) -> int | None:
    found = fields.get(name)
    if found is not None and type(found) is not int:
        raise NotAStoredImage(f"{name} is not a number")
    return found
