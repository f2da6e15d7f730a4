"""Images in SQL, with their launch permissions and the searchable shadow of their devices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy import update as sql_update

from openami.catalog import filters, image_access, image_facts, prepared, public_catalogue
from openami.catalog.allowed_images import settings_of
from openami.catalog.catalog import Transaction
from openami.catalog.image_access import visible_to as visible_to
from openami.catalog.image_filters import FILTERS
from openami.catalog.schema import image_devices as devices
from openami.catalog.schema import image_launch_permissions as permissions
from openami.catalog.schema import image_organization_permissions as organization_permissions
from openami.catalog.schema import images, snapshots
from openami.domain.allowed_images import AllowedImagesSettings, AllowedImagesState
from openami.domain.caller import Caller
from openami.domain.errors import AuthFailure, ImageNotFound, ImageUnavailable
from openami.domain.filter import Filter, Page
from openami.domain.ids import AccountId, ImageId, Region, SnapshotId
from openami.domain.image import Image, ImageState

S = ImageState

_CHILDREN: Final = (permissions, organization_permissions, *image_facts.TABLES)
_HAS: Final = {
    table: exists(select(1).where(table.c.image_id == images.c.id)).label(f"has_{table.name}")
    for table in _CHILDREN
}
# The states are written out and not bound: there are indexes of the images of some states, and
# SQLite would plan a statement anew, for ten times its cost, whenever it is told a state.
_REGISTERED: Final = images.c.state != literal_column(f"'{S.DEREGISTERED.value}'")
_ENABLED: Final = images.c.state != literal_column(f"'{S.DISABLED.value}'")
# An image with the alias of its owner, and which children it has: to look costs SQLite a
# microsecond, and to ask for what most images do not have would cost a statement each.
_IMAGES: Final = select(images, public_catalogue.ALIAS, *_HAS.values())

_ACCOUNT: Final[BindParameter[str]] = bindparam("account")
_SEEN: Final = prepared.Prepared(
    _IMAGES.where(
        images.c.id.in_(prepared.IDS),
        images.c.region == bindparam("region"),
        visible_to(_ACCOUNT),
    )
)
_PERMISSIONS: Final = prepared.Prepared(
    select(permissions).where(permissions.c.image_id.in_(prepared.IDS))
)
_ORGANIZATION_PERMISSIONS: Final = prepared.Prepared(
    select(organization_permissions).where(organization_permissions.c.image_id.in_(prepared.IDS))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which of the visible images DescribeImages is asked for; empty tuples ask for all.

    `executable_by` holds account ids and the group "all".
    """

    ids: tuple[ImageId, ...] = ()
    owners: tuple[AccountId, ...] | None = None
    owner_aliases: tuple[str, ...] = ()
    executable_by: tuple[str, ...] = ()
    include_disabled: bool = False
    include_deprecated: bool = False

    @property
    def only_ids(self) -> bool:
        """Deprecated images are always shown to who knows their ids."""
        return bool(self.ids) and self.owners is None and not self.executable_by


def _row(image: Image) -> dict[str, Any]:
    return {column.name: getattr(image, column.name) for column in images.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[Image]:
    return _with_children(tx, tx.execute(query))


def _with_children(tx: Transaction, found: Iterable[Row[*tuple[Any, ...]]]) -> list[Image]:
    rows = [prepared.fields(row) for row in found]
    parents = {
        table: [str(row["id"]) for row in rows if row.pop(has.name)] for table, has in _HAS.items()
    }
    accounts = _children(tx, _PERMISSIONS, parents[permissions])
    arns = _children(tx, _ORGANIZATION_PERMISSIONS, parents[organization_permissions])
    facts = image_facts.of_many(tx, parents)
    return [
        Image(
            **row,
            **facts.get(row["id"], {}),
            shared_with=accounts.get(row["id"], frozenset()),
            shared_with_organizations=arns.get(row["id"], frozenset()),
        )
        for row in rows
    ]


def _children(
    tx: Transaction, query: prepared.Prepared, image_ids: Sequence[str]
) -> dict[str, frozenset[Any]]:
    """Image id → the second column of its rows."""
    found: dict[str, set[Any]] = {}
    for image_id, value in query.rows_of(tx, image_ids):
        found.setdefault(image_id, set()).add(value)
    return {image_id: frozenset(values) for image_id, values in found.items()}


def add(tx: Transaction, image: Image) -> None:
    tx.execute(insert(images).values(_row(image)))
    _write_permissions(tx, image)
    image_facts.attach(tx, image.id, image.watermarks)
    image_facts.specify(tx, image.id, image.instance_types)
    for mapping in image.block_device_mappings:
        ebs = mapping.ebs
        tx.execute(
            insert(devices).values(
                image_id=image.id,
                device_name=mapping.device_name,
                snapshot_id=ebs and ebs.snapshot_id,
                volume_size_gib=ebs and ebs.volume_size_gib,
                volume_type=ebs and ebs.volume_type,
                delete_on_termination=ebs and bool(ebs.delete_on_termination),
            )
        )


def save(tx: Transaction, image: Image) -> None:
    """Write a changed image. Its devices never change; of its facts image_facts writes."""
    tx.execute(sql_update(images).where(images.c.id == image.id).values(_row(image)))
    _remove_permissions(tx, image.id)
    _write_permissions(tx, image)


def _write_permissions(tx: Transaction, image: Image) -> None:
    for account in sorted(image.shared_with):
        tx.execute(insert(permissions).values(image_id=image.id, account=account))
    for arn in sorted(image.shared_with_organizations):
        tx.execute(insert(organization_permissions).values(image_id=image.id, arn=arn))


def _remove_permissions(tx: Transaction, image_id: ImageId) -> None:
    for table in (permissions, organization_permissions):
        tx.execute(delete(table).where(table.c.image_id == image_id))


def remove(tx: Transaction, image_id: ImageId) -> None:
    image_facts.remove(tx, image_id)
    _remove_permissions(tx, image_id)
    tx.execute(delete(devices).where(devices.c.image_id == image_id))
    tx.execute(delete(images).where(images.c.id == image_id))


def fetch_visible(tx: Transaction, image_id: ImageId, account: AccountId, region: Region) -> Image:
    """Raises ImageNotFound, also for one that `account` may not see; ImageUnavailable."""
    found = _seen(tx, [image_id], account, region)
    if not found:
        raise ImageNotFound(image_id)
    if found[0].state is S.DEREGISTERED:
        raise ImageUnavailable(image_id)
    return found[0]


def _seen(
    tx: Transaction, ids: Iterable[ImageId], account: AccountId, region: Region
) -> list[Image]:
    """Those of `ids` that `account` may see in the region, deregistered ones too."""
    return _with_children(tx, _SEEN.rows_of(tx, ids, account=account, region=region))


def fetch_owned(tx: Transaction, image_id: ImageId, account: AccountId, region: Region) -> Image:
    """Raises as `fetch_visible`, and AuthFailure for one that is only visible."""
    image = fetch_visible(tx, image_id, account, region)
    if image.owner != account:
        raise AuthFailure(f"image: {image_id}")
    return image


def fetch_usable(
    tx: Transaction, image_id: ImageId, account: AccountId, region: Region, now: datetime
) -> Image:
    """An image to copy, store or launch. Raises as `fetch_visible`.

    ImageNotFound is also for one that the account's Allowed AMIs settings do not allow at `now`.
    """
    image = fetch_visible(tx, image_id, account, region)
    usable = image_access.usable_by(account, settings_of(tx, account, region), now)
    if tx.scalar(select(images.c.id).where(images.c.id == image_id, usable)) is None:
        raise ImageNotFound(image_id)
    return image


def fetch_launchable(
    tx: Transaction, image_id: ImageId, account: AccountId, region: Region, now: datetime
) -> Image:
    """Raises as `fetch_usable`, and ImageUnavailable for one that is not available."""
    image = fetch_usable(tx, image_id, account, region, now)
    if image.state is not S.AVAILABLE:
        raise ImageUnavailable(image_id)
    return image


def fetch_any(tx: Transaction, image_id: ImageId) -> Image | None:
    """For workflows and the operator: whoever owns it; None if it is gone."""
    found = _found(tx, _IMAGES.where(images.c.id == image_id))
    return found[0] if found else None


def fetch_many_any(tx: Transaction, image_ids: Sequence[ImageId]) -> dict[ImageId, Image]:
    """As `fetch_any`; those that are gone are absent."""
    found: dict[ImageId, Image] = {}
    for start in range(0, len(image_ids), 500):  # SQL engines limit the values of one IN
        part = image_ids[start : start + 500]
        found |= {each.id: each for each in _found(tx, _IMAGES.where(images.c.id.in_(part)))}
    return found


def pending(tx: Transaction) -> list[Image]:
    return _found(tx, _IMAGES.where(images.c.state == S.PENDING).order_by(images.c.id))


def id_by_name(tx: Transaction, name: str, account: AccountId, region: Region) -> ImageId | None:
    """The image of the account that has the name now."""
    query = select(images.c.id).where(
        images.c.owner == account,
        images.c.region == region,
        images.c.name == name,
        _REGISTERED,
    )
    return tx.scalar(query)


def users_of_snapshot(tx: Transaction, snapshot_id: SnapshotId) -> list[ImageId]:
    """The registered images of the snapshot's owner that have a device of it.

    One that somebody else registered, to whom it is shared, does not keep it.
    """
    query = (
        select(images.c.id)
        .join(devices, devices.c.image_id == images.c.id)
        .join(snapshots, snapshots.c.id == devices.c.snapshot_id)
        .where(
            devices.c.snapshot_id == snapshot_id,
            images.c.owner == snapshots.c.owner,
            _REGISTERED,
        )
    )
    return list(dict.fromkeys(tx.scalars(query.order_by(images.c.id))))


def all_users_of_snapshot(tx: Transaction, snapshot_id: SnapshotId) -> list[ImageId]:
    """The images that have a device of this snapshot, those too that were deregistered."""
    query = select(devices.c.image_id).where(devices.c.snapshot_id == snapshot_id)
    return list(dict.fromkeys(tx.scalars(query.order_by(devices.c.image_id))))


def launched(tx: Transaction, image_id: ImageId, at: datetime) -> None:
    """Remember the image's last launch."""
    tx.execute(sql_update(images).where(images.c.id == image_id).values(last_launched_at=at))


def describe(
    tx: Transaction,
    caller: Caller,
    scope: Scope,
    conditions: Sequence[Filter],
    page: Page,
    now: datetime,
    settings: AllowedImagesSettings,
) -> list[Image]:
    """What the caller, whose settings are given, sees in the region, by id.

    Raises ImageNotFound for ids not seen.
    """
    if scope.only_ids and not conditions and settings.state is not AllowedImagesState.ENABLED:
        return _described(_seen(tx, scope.ids, caller.account, caller.region), scope, page)
    usable = image_access.usable_by(caller.account, settings, now)
    seen = and_(images.c.region == caller.region, usable)
    table = {**FILTERS, **_filter_of_allowed(caller, settings, now)}
    query = _IMAGES.where(
        seen,
        _REGISTERED,
        filters.where(conditions, table, images.c.id, caller.account, images.c.owner),
    )
    if scope.ids:
        found = tx.scalars(select(images.c.id).where(seen, images.c.id.in_(scope.ids)))
        _check_seen(scope.ids, set(found))
        query = query.where(images.c.id.in_(scope.ids))
    if scope.owners is not None:
        named = public_catalogue.owned_by_alias(scope.owner_aliases)
        query = query.where(or_(images.c.owner.in_(scope.owners), named))
    if scope.executable_by:
        query = query.where(image_access.executable_by(scope.executable_by, caller.account))
    if not scope.include_disabled:
        query = query.where(_ENABLED)
    if not scope.include_deprecated and not scope.ids:
        query = query.where(
            or_(images.c.owner == caller.account, not_(image_access.deprecated(now)))
        )
    if page.after is not None:
        query = query.where(images.c.id > page.after)
    return _found(tx, query.order_by(images.c.id).limit(page.limit))


def _described(seen: Sequence[Image], scope: Scope, page: Page) -> list[Image]:
    """What the general query finds for who asks for ids and nothing else."""
    _check_seen(scope.ids, {image.id for image in seen})
    hidden = {S.DEREGISTERED} if scope.include_disabled else {S.DEREGISTERED, S.DISABLED}
    shown = [image for image in seen if image.state not in hidden and image.id > (page.after or "")]
    return sorted(shown, key=lambda image: image.id)[: page.limit]


def _filter_of_allowed(
    caller: Caller, settings: AllowedImagesSettings, now: datetime
) -> Mapping[str, filters.Condition]:
    """While Allowed AMIs is disabled no image is said to be allowed or not."""
    if settings.state is AllowedImagesState.DISABLED:
        return {}
    allowed = image_access.allowed(caller.account, settings, now)
    return {"image-allowed": filters.boolean(allowed)}


def check_visible(tx: Transaction, caller: Caller, image_ids: Sequence[ImageId]) -> None:
    """Raises ImageNotFound that names all not seen. One that was just deregistered is."""
    seen = _seen(tx, image_ids, caller.account, caller.region)
    _check_seen(image_ids, {image.id for image in seen})


def _check_seen(ids: Iterable[ImageId], seen: set[ImageId]) -> None:
    missing = [each for each in dict.fromkeys(ids) if each not in seen]
    if missing:
        raise ImageNotFound(*missing)
