"""Block device mappings: how storage attaches to an instance, and how a launch may change it.

Rules: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-device-mapping-concepts.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from openami.domain.errors import (
    InvalidBlockDeviceMapping,
    InvalidParameterCombination,
    InvalidParameterValue,
)
from openami.domain.ids import SnapshotId

T = TypeVar("T")

VOLUME_SIZE_GIB: Final = {
    "standard": (1, 1024),
    "gp2": (1, 16384),
    "gp3": (1, 65536),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "st1": (125, 16384),
    "sc1": (125, 16384),
}
"""Least and greatest size of each volume type, GiB.

https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html
"""

_DEVICE_NAME: Final = re.compile(
    r"(/dev/)?(sd[a-z]|xvd[a-z]|xvd[a-d][a-z])[0-9]{0,2}|(/dev/)?vd[a-z]"
)
_VIRTUAL_NAME: Final = re.compile(r"ephemeral([0-9]|1[0-9]|2[0-3])")


@dataclass(frozen=True, slots=True, kw_only=True)
class EbsDevice:
    """An EBS volume to be: blank, or made from a snapshot. None means "as EC2 defaults it"."""

    snapshot_id: SnapshotId | None = None
    volume_size_gib: int | None = None
    volume_type: str | None = None
    iops: int | None = None
    throughput: int | None = None  # MiB/s, gp3 only
    delete_on_termination: bool | None = None
    encrypted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDeviceMapping:
    """One device: an EBS volume, an instance-store disk (`ephemeralN`), or `no_device`."""

    device_name: str
    ebs: EbsDevice | None = None
    virtual_name: str | None = None
    no_device: bool = False


def checked_device_name(name: str) -> str:
    """`name` if AttachVolume accepts it, as `/dev/sda1`, `xvdb`, `/dev/xvdba`.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html
    """
    if _DEVICE_NAME.fullmatch(name) is None:
        raise InvalidParameterValue(
            f"Value ({name}) for parameter device is invalid."
            f" {name} is not a valid EBS device name."
        )
    return name


def checked(mappings: Sequence[BlockDeviceMapping]) -> tuple[BlockDeviceMapping, ...]:
    """The mappings, each well formed and no device named twice."""
    seen: set[str] = set()
    for mapping in mappings:
        if not mapping.device_name:
            raise InvalidBlockDeviceMapping("Missing device name")
        if _DEVICE_NAME.fullmatch(mapping.device_name) is None:
            raise InvalidBlockDeviceMapping(f"Invalid device name {mapping.device_name}")
        if mapping.device_name in seen:
            raise InvalidBlockDeviceMapping(
                f"The device '{mapping.device_name}' is used in more than one block-device mapping"
            )
        seen.add(mapping.device_name)
        _check_one(mapping)
    return tuple(mappings)


def _check_one(mapping: BlockDeviceMapping) -> None:
    kinds = [mapping.ebs is not None, mapping.virtual_name is not None, mapping.no_device]
    if sum(kinds) != 1:
        raise InvalidBlockDeviceMapping(
            f"The device '{mapping.device_name}' needs exactly one of Ebs, VirtualName, NoDevice"
        )
    if mapping.virtual_name is not None and not _VIRTUAL_NAME.fullmatch(mapping.virtual_name):
        raise InvalidBlockDeviceMapping(
            f"The virtual name '{mapping.virtual_name}' is not one of ephemeral0 to ephemeral23"
        )
    if mapping.ebs is not None:
        check_volume(mapping.ebs, mapping.device_name)


def check_volume(ebs: EbsDevice, device_name: str = "") -> None:
    """Whether type, size, IOPS and throughput are ones that EBS has, as far as they are given."""
    where = f" for device {device_name}" if device_name else ""
    volume_type = ebs.volume_type or "gp2"
    limits = VOLUME_SIZE_GIB.get(volume_type)
    if limits is None:
        raise InvalidParameterValue(
            f"Invalid value '{volume_type}' for VolumeType{where};"
            f" it must be one of {', '.join(sorted(VOLUME_SIZE_GIB))}."
        )
    least, greatest = limits
    if ebs.volume_size_gib is not None and not least <= ebs.volume_size_gib <= greatest:
        raise InvalidParameterValue(
            f"Volume of {ebs.volume_size_gib}GiB{where} is not between {least} and {greatest}GiB"
            f" for the volume type {volume_type}."
        )
    _check_performance(ebs, volume_type, where)


def _check_performance(ebs: EbsDevice, volume_type: str, where: str) -> None:
    if ebs.iops is not None:
        limits = {"io1": (100, 64000), "io2": (100, 256000), "gp3": (3000, 80000)}.get(volume_type)
        if limits is None:
            raise InvalidParameterCombination(
                f"The parameter iops is not supported for {volume_type} volumes{where}."
            )
        if not limits[0] <= ebs.iops <= limits[1]:
            raise InvalidParameterValue(
                f"Volume iops of {ebs.iops}{where} is not between {limits[0]} and {limits[1]}."
            )
    elif volume_type in ("io1", "io2"):
        raise InvalidParameterCombination(
            f"The parameter iops must be specified for {volume_type} volumes{where}."
        )
    if ebs.throughput is not None:
        if volume_type != "gp3":
            raise InvalidParameterCombination(
                f"The parameter throughput is not supported for {volume_type} volumes{where}."
            )
        if not 125 <= ebs.throughput <= 2000:
            raise InvalidParameterValue(
                f"Volume throughput of {ebs.throughput}{where} is not between 125 and 2000 MiB/s."
            )


def merged(
    image: Sequence[BlockDeviceMapping], overrides: Sequence[BlockDeviceMapping]
) -> tuple[BlockDeviceMapping, ...]:
    """The image's mappings as a launch changes them: device by device, field by field.

    A device that only the launch names is added; `NoDevice` removes one. What an override
    leaves open stays as the image has it.
    """
    given = {mapping.device_name: mapping for mapping in overrides}
    result: list[BlockDeviceMapping] = []
    for mapping in image:
        override = given.pop(mapping.device_name, None)
        if override is None:
            result.append(mapping)
        elif not override.no_device:
            result.append(_overridden(mapping, override))
    result.extend(mapping for mapping in given.values() if not mapping.no_device)
    return tuple(result)


def _overridden(mapping: BlockDeviceMapping, override: BlockDeviceMapping) -> BlockDeviceMapping:
    if mapping.ebs is None or override.ebs is None:
        return override
    mine, theirs = mapping.ebs, override.ebs
    if theirs.snapshot_id is not None and mine.snapshot_id not in (None, theirs.snapshot_id):
        # Another snapshot makes another volume: nothing of the image's remains but the flag.
        return replace(
            override,
            ebs=replace(
                theirs,
                delete_on_termination=_first(
                    theirs.delete_on_termination, mine.delete_on_termination
                ),
            ),
        )
    same_type = theirs.volume_type in (None, mine.volume_type)
    return replace(
        mapping,
        ebs=EbsDevice(
            snapshot_id=_first(theirs.snapshot_id, mine.snapshot_id),
            volume_size_gib=_first(theirs.volume_size_gib, mine.volume_size_gib),
            volume_type=_first(theirs.volume_type, mine.volume_type),
            iops=_first(theirs.iops, mine.iops if same_type else None),
            throughput=_first(theirs.throughput, mine.throughput if same_type else None),
            delete_on_termination=_first(theirs.delete_on_termination, mine.delete_on_termination),
            encrypted=_first(theirs.encrypted, mine.encrypted),
        ),
    )


def _first(one: T | None, other: T | None) -> T | None:
    return other if one is None else one
