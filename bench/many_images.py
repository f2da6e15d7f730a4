"""Many images that were not made one by one: in openami's catalog, and as moto reads them."""

import json
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Integer, func, insert, literal, select

from openami.catalog import accounts, images, tags
from openami.catalog.catalog import Catalog
from openami.catalog.schema import image_devices
from openami.catalog.schema import images as table
from openami.catalog.schema import tags as tag_table
from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.ids import AccountId, ImageId, Region, SnapshotId
from openami.domain.image import Image, ImageState

FAMILY = 1000
"""So many images have names with one beginning: a page of a listing."""

TAGS = {"team": "bench"}
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
_SPREAD, _IDS = 2_654_435_761, 1 << 32


def image_id(number: int) -> ImageId:
    """Images that were made one after another are far apart by id, as real ones are."""
    return ImageId(f"ami-0{number * _SPREAD % _IDS:08x}{number:08x}")


def image_name(number: int) -> str:
    return f"family-{number // FAMILY}-image-{number % FAMILY}"


def fill(state_dir: Path, count: int, first: int = 0) -> None:
    """Images `first` to `first + count` of the account that `openami init` made."""
    catalog = Catalog.open(state_dir / "catalog.sqlite")
    with catalog.begin() as tx:
        # A million keys in random order must not be read again from the file for each row.
        tx.exec_driver_sql("PRAGMA cache_size = -1000000")
        original = _original(accounts.everyone(tx)[0].id)
        images.add(tx, original)
        tags.put(tx, original.owner, original.region, ("image", original.id), TAGS)
        number = select(literal(first, Integer).label("n")).cte("number", recursive=True)
        number = number.union_all(select(number.c.n + 1).where(number.c.n < first + count - 1))
        for source, new in (
            (table, {"id": _id(number.c.n), "name": _name(number.c.n)}),
            (image_devices, {"image_id": _id(number.c.n)}),
            (tag_table, {"resource_id": _id(number.c.n)}),
        ):
            key = source.c["id" if source is table else next(iter(new))]
            values = [new.get(each.name, each) for each in source.columns]
            rows = select(*values).select_from(number).join(source, key == original.id)
            tx.execute(insert(source).from_select([each.name for each in source.columns], rows))
        images.remove(tx, original.id)
        tags.remove_all(tx, original.id)
    catalog.close()


def _id(number: ColumnElement[int]) -> ColumnElement[str]:
    return func.printf("ami-0%08x%08x", number * _SPREAD % _IDS, number)


def _name(number: ColumnElement[int]) -> ColumnElement[str]:
    # A division of numbers is no division of integers to SQLAlchemy.
    return func.printf("family-%d-image-%d", number.op("/")(FAMILY), number % FAMILY)


def _original(owner: AccountId) -> Image:
    ebs = EbsDevice(
        snapshot_id=SnapshotId("snap-0123456789abcdef0"),
        volume_size_gib=15,
        volume_type="standard",
        delete_on_termination=False,
    )
    return Image(
        id=ImageId("ami-0ffffffffffffffff"),
        region=Region("us-east-1"),
        owner=owner,
        name="the one that is multiplied",
        state=ImageState.AVAILABLE,
        root_device_name="/dev/sda1",
        block_device_mappings=(BlockDeviceMapping(device_name="/dev/sda1", ebs=ebs),),
        created_at=_CREATED,
        description="one of many",
        location="somewhere/one of many",
        architecture="x86_64",
        virtualization_type="hvm",
        boot_mode="uefi",
        sriov_net_support="simple",
    )


def write_for_moto(file: Path, count: int) -> None:
    """The same images, in the file that MOTO_AMIS_PATH names."""
    images_of_moto = [
        {
            "ami_id": image_id(number),
            "name": image_name(number),
            "description": "one of many",
            "owner_id": "123456789012",
            "public": False,
            "virtualization_type": "hvm",
            "architecture": "x86_64",
            "state": "available",
            "creation_date": _CREATED.isoformat(),
            "image_location": "somewhere/one of many",
            "hypervisor": "xen",
            "root_device_type": "ebs",
            "root_device_name": "/dev/sda1",
            "sriov": "simple",
            "boot_mode": "uefi",
            "tags": TAGS,
        }
        for number in range(count)
    ]
    file.write_text(json.dumps(images_of_moto))
