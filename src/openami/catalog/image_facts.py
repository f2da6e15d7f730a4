"""Watermarks, instance types and lineage of images, in SQL: what hangs on an image's row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, delete, exists, insert, or_, select, true

from openami.catalog import prepared
from openami.catalog.catalog import Transaction
from openami.catalog.schema import (
    accounts,
    binned,
    image_devices,
    image_instance_types,
    image_watermarks,
    images,
    instances,
    past_images,
    snapshots,
)
from openami.domain.ids import AccountId, ImageId, Region
from openami.domain.image import ImageState
from openami.domain.instance_types.specification import InstanceTypeSpecification
from openami.domain.snapshot import SnapshotState
from openami.domain.watermark import Watermark

TABLES: Final = (image_watermarks, image_instance_types)

_WATERMARKS: Final = prepared.Prepared(
    select(image_watermarks)
    .where(image_watermarks.c.image_id.in_(prepared.IDS))
    .order_by(image_watermarks.c.attached_at, image_watermarks.c.key)
)
_INSTANCE_TYPES: Final = prepared.Prepared(
    select(image_instance_types)
    .where(image_instance_types.c.image_id.in_(prepared.IDS))
    .order_by(image_instance_types.c.position)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """An image as its descendants know it, whether it is still there or not.

    `public` is so of one that is gone: whether it was nobody knows any more.
    """

    id: ImageId
    region: Region
    owner: AccountId
    created_at: datetime
    source_image_id: ImageId | None
    source_image_region: Region | None
    public: bool
    owner_alias: str | None

    @property
    def is_providers(self) -> bool:
        """A public image of a verified provider: where it comes from is the provider's business.

        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-ancestry.html
        """
        return self.public and self.owner_alias in ("amazon", "aws-marketplace")


def of_many(tx: Transaction, parents: Mapping[Table, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Image id → the fields of an Image that are told here; those that have none are absent.

    `parents` are the images that have rows in each of TABLES.
    """
    found: dict[str, dict[str, Any]] = {}
    for image_id, marks in _watermarks_of(tx, parents[image_watermarks]).items():
        found.setdefault(image_id, {})["watermarks"] = marks
    for image_id, specification in _specifications_of(tx, parents[image_instance_types]).items():
        found.setdefault(image_id, {})["instance_types"] = specification
    return found


def _watermarks_of(
    tx: Transaction, image_ids: Sequence[str]
) -> Mapping[str, tuple[Watermark, ...]]:
    found: dict[str, tuple[Watermark, ...]] = {}
    for row in _WATERMARKS.rows_of(tx, image_ids):
        fields = prepared.fields(row)
        image_id = fields.pop("image_id")
        found[image_id] = (*found.get(image_id, ()), Watermark(**fields))
    return found


def _specifications_of(
    tx: Transaction, image_ids: Sequence[str]
) -> Mapping[str, InstanceTypeSpecification]:
    listed: dict[str, tuple[list[str], list[str]]] = {}
    for row in _INSTANCE_TYPES.rows_of(tx, image_ids):
        listed.setdefault(row.image_id, ([], []))[0 if row.supported else 1].append(row.entry)
    return {
        image_id: InstanceTypeSpecification(supported=tuple(yes), unsupported=tuple(no))
        for image_id, (yes, no) in listed.items()
    }


def attach(tx: Transaction, image_id: ImageId, marks: Iterable[Watermark]) -> None:
    for mark in marks:
        tx.execute(
            insert(image_watermarks).values(
                image_id=image_id,
                key=mark.key,
                source_image_id=mark.source_image_id,
                source_image_region=mark.source_image_region,
                source_image_created_at=mark.source_image_created_at,
                attached_at=mark.attached_at,
            )
        )


def detach(tx: Transaction, image_id: ImageId, key: str) -> None:
    mine = (image_watermarks.c.image_id == image_id) & (image_watermarks.c.key == key)
    tx.execute(delete(image_watermarks).where(mine))


def specify(tx: Transaction, image_id: ImageId, specification: InstanceTypeSpecification) -> None:
    """Write the image's instance types anew."""
    tx.execute(delete(image_instance_types).where(image_instance_types.c.image_id == image_id))
    listed = [(entry, True) for entry in specification.supported]
    listed += [(entry, False) for entry in specification.unsupported]
    for position, (entry, supported) in enumerate(listed):
        tx.execute(
            insert(image_instance_types).values(
                image_id=image_id, entry=entry, supported=supported, position=position
            )
        )


def remove(tx: Transaction, image_id: ImageId) -> None:
    """The image goes: if another descends from it, its place in the lineage stays."""
    for table in (image_watermarks, image_instance_types):
        tx.execute(delete(table).where(table.c.image_id == image_id))
    if tx.scalar(select(1).where(_has_descendants(image_id)).limit(1)):
        columns = [images.c[column.name] for column in past_images.columns]
        copied = select(*columns).where(images.c.id == image_id)
        tx.execute(insert(past_images).from_select([c.name for c in past_images.columns], copied))


def _has_descendants(image_id: ColumnElement[str] | str) -> ColumnElement[bool]:
    later = past_images.alias("later")
    children = images.alias("child")
    return or_(
        exists(select(1).where(children.c.source_image_id == image_id)),
        exists(select(1).where(later.c.source_image_id == image_id)),
    )


def forget_childless(tx: Transaction) -> int:
    """Past images from which nothing descends any more; how many were forgotten."""
    return tx.execute(delete(past_images).where(~_has_descendants(past_images.c.id))).rowcount


def purgeable(tx: Transaction, before: datetime) -> list[ImageId]:
    """Images deregistered before then, not in the bin, of which there is no instance any more.

    While a snapshot of one is pending, whoever fills it finds it by the image.
    """
    used = exists(select(1).where(instances.c.image_id == images.c.id))
    in_bin = exists(select(1).where(binned.c.resource_id == images.c.id))
    filling = exists(
        select(1)
        .select_from(image_devices.join(snapshots, snapshots.c.id == image_devices.c.snapshot_id))
        .where(image_devices.c.image_id == images.c.id, snapshots.c.state == SnapshotState.PENDING)
    )
    query = select(images.c.id).where(
        images.c.state == ImageState.DEREGISTERED,
        images.c.deregistered_at < before,
        *(~used, ~in_bin, ~filling),
    )
    return list(tx.scalars(query))


def ancestors(tx: Transaction, image_id: ImageId, most: int) -> list[Ancestor]:
    """The image and those it descends from, youngest first, at most `most` of them.

    They end at an image of a verified provider.
    """
    chain: list[Ancestor] = []
    following: ImageId | None = image_id
    while following is not None and len(chain) < most:
        ancestor = _ancestor(tx, following)
        if ancestor is None:  # gone before lineage was kept
            break
        if ancestor.is_providers:
            ancestor = replace(ancestor, source_image_id=None, source_image_region=None)
        chain.append(ancestor)
        following = ancestor.source_image_id
    return chain


def _ancestor(tx: Transaction, image_id: ImageId) -> Ancestor | None:
    for table, public in ((images, images.c.public), (past_images, true())):
        columns = [table.c[column.name] for column in past_images.columns]
        alias = accounts.c.alias.label("owner_alias")
        query = select(*columns, public.label("public"), alias).where(table.c.id == image_id)
        query = query.outerjoin_from(table, accounts, accounts.c.id == table.c.owner)
        row = tx.execute(query).mappings().first()
        if row is not None:
            return Ancestor(**{str(name): value for name, value in row.items()})
    return None
