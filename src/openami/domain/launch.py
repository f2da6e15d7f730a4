"""A launch: what RunInstances was asked, and the rules that make a plan of it.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from openami.domain.block_device import BlockDeviceMapping, EbsDevice, merged
from openami.domain.errors import (
    EC2Error,
    ImageUnavailable,
    InvalidBlockDeviceMapping,
    InvalidParameterCombination,
    InvalidParameterValue,
    UnsupportedOperation,
)
from openami.domain.idempotency import ClientToken
from openami.domain.ids import ImageId, SecurityGroupId, SubnetId
from openami.domain.image import Image, ImageState
from openami.domain.instance import EphemeralDisk, MetadataOptions
from openami.domain.instance_type import DEFAULT_TYPE, InstanceType
from openami.domain.instance_types.cpu_options import CpuOptions

USER_DATA_BYTES_MAX: Final = 16384
COUNT_MAX: Final = 1000

_NO_TAGS: Mapping[str, Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a launch goes in the network. None and empty mean "as EC2 defaults it"."""

    subnet_id: SubnetId | None = None
    availability_zone: str | None = None
    security_group_ids: tuple[SecurityGroupId, ...] = ()
    security_group_names: tuple[str, ...] = ()
    associate_public_ip: bool = True
    private_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataChange:
    """The metadata options that a request names; None leaves one as it is."""

    http_tokens: str | None = None
    http_endpoint: str | None = None
    http_put_response_hop_limit: int | None = None
    instance_metadata_tags: str | None = None

    def applied_to(self, options: MetadataOptions) -> MetadataOptions:
        return MetadataOptions(
            http_tokens=self.http_tokens or options.http_tokens,
            http_endpoint=self.http_endpoint or options.http_endpoint,
            http_put_response_hop_limit=(
                self.http_put_response_hop_limit or options.http_put_response_hop_limit
            ),
            instance_metadata_tags=self.instance_metadata_tags or options.instance_metadata_tags,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """`user_data` is decoded; `tags` maps a resource type to the tags of what is made of it."""

    image_id: ImageId
    min_count: int
    max_count: int
    instance_type: str = DEFAULT_TYPE
    key_name: str | None = None
    user_data: bytes | None = None
    mappings: tuple[BlockDeviceMapping, ...] = ()
    place: Place = Place()
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NO_TAGS)
    token: ClientToken | None = None
    metadata: MetadataChange = MetadataChange()
    shutdown_behavior: str = "stop"
    disable_api_termination: bool = False
    disable_api_stop: bool = False
    monitoring: bool = False
    ebs_optimized: bool = False
    cpu_credits: str | None = None
    cpu_options: CpuOptions | None = None
    auto_recovery: str = "default"


def check_counts(launch: Launch) -> None:
    """Raises InvalidParameterValue unless 1 <= MinCount <= MaxCount <= 1000."""
    if launch.min_count < 1:
        raise InvalidParameterValue(
            f"Value ({launch.min_count}) for parameter minCount is invalid."
            " The minimum number of instances is 1."
        )
    if launch.max_count < launch.min_count:
        raise InvalidParameterValue(
            f"Value ({launch.max_count}) for parameter maxCount is invalid."
            " It must not be less than minCount."
        )
    if launch.max_count > COUNT_MAX:
        raise EC2Error.of(
            "InstanceLimitExceeded",
            f"You have requested more instances ({launch.max_count}) than one request may"
            f" launch ({COUNT_MAX}).",
        )
    if launch.max_count > 1 and launch.place.private_ip is not None:
        raise EC2Error.of(
            "InvalidParameterCombination",
            f"A private IP address can be given to one instance only, not to {launch.max_count}.",
        )


def check_bootable(image: Image, kind: InstanceType) -> None:
    """Raises InvalidAMIID.Unavailable or Unsupported if the type cannot boot the image."""
    if image.state is not ImageState.AVAILABLE:
        raise ImageUnavailable(image.id)
    if image.virtualization_type != "hvm" or image.architecture != "x86_64":
        raise EC2Error.of(
            "Unsupported",
            f"The image '{image.id}' is {image.virtualization_type} for {image.architecture};"
            " openami launches hvm images for x86_64 only.",
        )
    if image.kernel_id or image.ramdisk_id:
        raise EC2Error.of(
            "Unsupported", f"The image '{image.id}' names a kernel; hvm images boot their own."
        )
    if image.boot_mode == "uefi" and "uefi" not in kind.boot_modes:
        raise EC2Error.of(
            "Unsupported",
            f"The image '{image.id}' boots by uefi, which the instance type '{kind.name}'"
            " does not support.",
        )


def check_instance_type(image: Image, kind: InstanceType) -> None:
    """Raises InvalidParameterCombination if the image's owner says that it is not for the type."""
    if not image.instance_types.allows(kind.name):
        raise InvalidParameterCombination(
            f"The instance type '{kind.name}' is not supported by the instance type"
            f" specification of the image '{image.id}'."
        )


def boot_mode_of(image: Image, kind: InstanceType) -> str:
    """How an instance of the image boots: the text "uefi" or "legacy-bios".

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-boot.html
    """
    wants_uefi = image.boot_mode in ("uefi", "uefi-preferred")
    return "uefi" if wants_uefi and "uefi" in kind.boot_modes else "legacy-bios"


def metadata_options_of(
    image: Image, settled: MetadataChange, change: MetadataChange
) -> MetadataOptions:
    """The image's defaults as the account, and then the launch, changes them; each by itself.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html
    section "Order of precedence for instance metadata options"
    """
    if image.imds_support == "v2.0":
        defaults = MetadataOptions(http_tokens="required", http_put_response_hop_limit=2)
    else:
        defaults = MetadataOptions()
    return change.applied_to(settled.applied_to(defaults))


def devices_of(image: Image, overrides: Sequence[BlockDeviceMapping]) -> dict[str, EbsDevice]:
    """Device name → the EBS volume to make, the root first and with EC2's defaults.

    Raises InvalidBlockDeviceMapping if nothing is left to boot from.
    """
    mappings = {each.device_name: each for each in merged(image.block_device_mappings, overrides)}
    root = mappings.pop(image.root_device_name, None)
    if root is None or root.ebs is None or root.ebs.snapshot_id is None:
        raise InvalidBlockDeviceMapping(
            f"The root device '{image.root_device_name}' of the image '{image.id}' must be an"
            " EBS volume made from a snapshot."
        )
    devices = {root.device_name: _defaulted(root.ebs, deletes=True)}
    for name, mapping in mappings.items():
        if mapping.ebs is not None:
            devices[name] = _defaulted(mapping.ebs, deletes=False)
    return devices


def _defaulted(ebs: EbsDevice, *, deletes: bool) -> EbsDevice:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/preserving-volumes-on-termination.html"""
    if ebs.encrypted:
        raise UnsupportedOperation("Encrypted volumes are not supported by openami")
    kept = ebs.delete_on_termination
    return replace(
        ebs,
        volume_type=ebs.volume_type or "gp2",
        delete_on_termination=deletes if kept is None else kept,
    )


def ephemeral_disks_of(
    image: Image, overrides: Sequence[BlockDeviceMapping], kind: InstanceType
) -> tuple[EphemeralDisk, ...]:
    """The instance-store disks that are mapped. A type that has fewer leaves the rest out.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/add-instance-store-volumes.html
    """
    sizes_gb = kind.ephemeral_sizes_gb
    disks: list[EphemeralDisk] = []
    for mapping in merged(image.block_device_mappings, overrides):
        if mapping.virtual_name is None:
            continue
        number = int(mapping.virtual_name.removeprefix("ephemeral"))
        if number < len(sizes_gb):
            disks.append(
                EphemeralDisk(
                    device_name=mapping.device_name,
                    virtual_name=mapping.virtual_name,
                    size_gib=sizes_gb[number] * 10**9 // 2**30,
                )
            )
    return tuple(disks)


def volume_size_gib(ebs: EbsDevice, snapshot_size_gib: int | None) -> int:
    """The size asked for, or the snapshot's. Raises if it is missing or too small."""
    if ebs.volume_size_gib is None and snapshot_size_gib is None:
        raise EC2Error.of(
            "MissingParameter", "The request must contain the parameter size or snapshotId"
        )
    size_gib = ebs.volume_size_gib or snapshot_size_gib or 0
    if snapshot_size_gib is not None and size_gib < snapshot_size_gib:
        raise InvalidBlockDeviceMapping(
            f"Volume of size {size_gib}GB is smaller than snapshot '{ebs.snapshot_id}',"
            f" expect size>= {snapshot_size_gib}GB"
        )
    return size_gib


def fitting_count(launch: Launch, kind: InstanceType, free_mib: int | None) -> int:
    """How many instances start: as many as fit, up to MaxCount.

    Raises InsufficientInstanceCapacity if fewer than MinCount fit. `free_mib` None: no limit.
    """
    check_capacity(kind, launch.min_count, free_mib)
    if free_mib is None:
        return launch.max_count
    return min(launch.max_count, free_mib // kind.memory_mib)


def check_capacity(kind: InstanceType, count: int, free_mib: int | None) -> None:
    """Raises InsufficientInstanceCapacity unless `count` instances fit into the memory."""
    if free_mib is not None and count * kind.memory_mib > free_mib:
        raise EC2Error.of(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {kind.name} capacity: {count} would need"
            f" {count * kind.memory_mib} MiB of memory and {max(0, free_mib)} MiB are free.",
            status=500,
        )
