"""What DescribeImages may filter by, as a table from filter name to column.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case, exists, false, literal, select

from openami.catalog import filters, public_catalogue
from openami.catalog.filters import Condition
from openami.catalog.schema import image_devices as devices
from openami.catalog.schema import image_instance_types as types
from openami.catalog.schema import image_watermarks as watermarks
from openami.catalog.schema import images

C: Final = images.c

_OF_DEVICE: Final = devices.c.image_id == C.id
# Every EBS device has its flag set, and no instance-store disk has one.
_IS_EBS: Final = devices.c.delete_on_termination.is_not(None)
_ROOT_IS_EBS: Final = exists(
    select(1).where(_OF_DEVICE, devices.c.device_name == C.root_device_name, _IS_EBS)
)


def _always(text: str) -> Condition:
    """What is the same for every image of openami."""
    return filters.column(literal(text))


def _nothing(_values: object) -> ColumnElement[bool]:
    """What no image of openami has yet."""
    return false()


def _flag(flag: ColumnElement[bool]) -> ColumnElement[Any]:
    return case((flag.is_(None), None), (flag, "true"), else_="false")


_DEVICES: Final[Mapping[str, Condition]] = {
    f"block-device-mapping.{name}": filters.child(_OF_DEVICE, text)
    for name, text in (
        ("delete-on-termination", _flag(devices.c.delete_on_termination)),
        ("device-name", devices.c.device_name),
        ("snapshot-id", devices.c.snapshot_id),
        ("volume-size", devices.c.volume_size_gib),
        ("volume-type", devices.c.volume_type),
        ("encrypted", case((_IS_EBS, "false"), else_=None)),
    )
}

_OF_WATERMARK: Final = watermarks.c.image_id == C.id
_WATERMARKS: Final[Mapping[str, Condition]] = {
    "image-watermark.source-image-creation-time": filters.child_instant(
        _OF_WATERMARK, watermarks.c.source_image_created_at
    ),
    "image-watermark.source-image-id": filters.child(_OF_WATERMARK, watermarks.c.source_image_id),
    "image-watermark.source-image-region": filters.child(
        _OF_WATERMARK, watermarks.c.source_image_region
    ),
    "image-watermark.watermark-creation-time": filters.child_instant(
        _OF_WATERMARK, watermarks.c.attached_at
    ),
    "image-watermark.watermark-key": filters.child(_OF_WATERMARK, watermarks.c.key),
}

_OF_TYPE: Final = types.c.image_id == C.id
_TYPES: Final[Mapping[str, Condition]] = {
    "instance-type-specification.supported-instance-type": filters.child(
        and_(_OF_TYPE, types.c.supported), types.c.entry
    ),
    "instance-type-specification.unsupported-instance-type": filters.child(
        and_(_OF_TYPE, ~types.c.supported), types.c.entry
    ),
}

_ABSENT: Final = (
    *("image-allowed", "product-code", "product-code.type"),
    *("scan-result.finding-scan-date", "scan-result.highest-finding-severity-label"),
    *(
        f"scan-result.{severity}-fix-available-since"
        for severity in ("informational", "low", "medium", "high", "critical")
    ),
)

FILTERS: Final[Mapping[str, Condition]] = {
    **_DEVICES,
    **_WATERMARKS,
    **_TYPES,
    **public_catalogue.FILTERS,
    **dict.fromkeys(_ABSENT, _nothing),
    "architecture": filters.column(C.architecture),
    "boot-mode": filters.column(C.boot_mode),
    "creation-date": filters.instant(C.created_at),
    "description": filters.column(C.description),
    "ena-support": filters.boolean(C.ena_support),
    "free-tier-eligible": _always("false"),
    "hypervisor": _always("xen"),
    "image-id": filters.column(C.id),
    "image-type": _always("machine"),
    "is-public": filters.boolean(and_(C.public)),
    "kernel-id": filters.column(C.kernel_id),
    "manifest-location": filters.column(C.location),
    "name": filters.column(C.name),
    "owner-id": filters.column(C.owner),
    "platform": filters.column(C.platform),
    "ramdisk-id": filters.column(C.ramdisk_id),
    "root-device-name": filters.column(C.root_device_name),
    "root-device-type": filters.column(case((_ROOT_IS_EBS, "ebs"), else_="instance-store")),
    "source-image-id": filters.column(C.source_image_id),
    "source-image-region": filters.column(C.source_image_region),
    "source-instance-id": filters.column(C.source_instance_id),
    "sriov-net-support": filters.column(C.sriov_net_support),
    "state": filters.column(C.state),
    "state-reason-code": filters.column(filters.json_text(C.state_reason, "code")),
    "state-reason-message": filters.column(filters.json_text(C.state_reason, "message")),
    "virtualization-type": filters.column(C.virtualization_type),
}
