"""Who sees and may use which images, as conditions on the table of images."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import BindParameter, ColumnElement, and_, exists, false, not_, or_, select, true

from openami.catalog import filters
from openami.catalog.schema import accounts, images
from openami.catalog.schema import image_launch_permissions as permissions
from openami.catalog.schema import image_organization_permissions as organization_permissions
from openami.catalog.schema import image_watermarks as watermarks
from openami.catalog.schema import organization_memberships as memberships
from openami.domain.allowed_images import (
    AllowedImagesSettings,
    AllowedImagesState,
    ImageCriterion,
    WatermarkFilter,
)
from openami.domain.ids import AccountId
from openami.domain.image import ImageState
from openami.domain.image_retirement import PUBLIC_DEPRECATION_MAX

C = images.c


@lru_cache(maxsize=1000)  # every listing asks for it, and to build it costs more than to run it
def visible_to(account: AccountId | BindParameter[str]) -> ColumnElement[bool]:
    """The rule of `Image.visible_to`, in SQL. A property test keeps the two equal."""
    return or_(
        C.owner == account,
        and_(
            C.state != ImageState.DISABLED,
            or_(C.public, _shared_with(account), _shared_with_organization_of(account)),
        ),
    )


def _shared_with(account: str | BindParameter[str]) -> ColumnElement[bool]:
    mine = (permissions.c.image_id == C.id) & (permissions.c.account == account)
    return exists(select(1).where(mine))


def _shared_with_organization_of(account: str | BindParameter[str]) -> ColumnElement[bool]:
    return exists(
        select(1)
        .select_from(organization_permissions)
        .join(memberships, memberships.c.arn == organization_permissions.c.arn)
        .where(organization_permissions.c.image_id == C.id, memberships.c.account == account)
    )


def executable_by(users: Sequence[str], account: AccountId) -> ColumnElement[bool]:
    """Images with an explicit permission for one of `users`.

    With whom else an image is shared is its owner's to know. Of the caller's own account, its
    organization and its units count too.
    """
    conditions: list[ColumnElement[bool]] = []
    for user in users:
        if user == "all":
            conditions.append(and_(C.public))
        elif user == account:
            conditions += [_shared_with(user), _shared_with_organization_of(user)]
        else:
            conditions.append(and_(C.owner == account, _shared_with(user)))
    return or_(*conditions)


def deprecated(at: datetime) -> ColumnElement[bool]:
    """The rule of `Image.deprecation_time`, in SQL."""
    by_date = and_(C.deprecated_at.is_not(None), C.deprecated_at <= at)
    return or_(by_date, and_(C.public, C.created_at <= _before(at, PUBLIC_DEPRECATION_MAX.days)))


def usable_by(
    account: AccountId, settings: AllowedImagesSettings, now: datetime
) -> ColumnElement[bool]:
    """Those that the account may see and that its Allowed AMIs settings do not hide from it."""
    if settings.state is not AllowedImagesState.ENABLED:
        return visible_to(account)
    return and_(visible_to(account), allowed(account, settings, now))


def allowed(
    account: AccountId, settings: AllowedImagesSettings, now: datetime
) -> ColumnElement[bool]:
    """What the criteria allow, whether they are in force or not. Own images always are."""
    return or_(C.owner == account, *(_meets(each, now) for each in settings.criteria))


def _meets(criterion: ImageCriterion, now: datetime) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [true()]
    if criterion.providers:
        known = select(accounts.c.id).where(accounts.c.alias.in_(criterion.providers))
        conditions.append(or_(C.owner.in_(criterion.providers), C.owner.in_(known)))
    if criterion.names:
        conditions.append(filters.matches(C.name, criterion.names))
    if criterion.days_since_created_max is not None:
        conditions.append(C.created_at >= _before(now, criterion.days_since_created_max))
    if criterion.days_since_deprecated_max is not None:
        conditions.append(not_(deprecated(_before(now, criterion.days_since_deprecated_max))))
    if criterion.watermarks:
        conditions.append(or_(*(_watermarked(each, now) for each in criterion.watermarks)))
    if criterion.product_codes or criterion.scan is not None:
        conditions.append(false())  # no image has a product code, and nothing scans images
    return and_(*conditions)


def _watermarked(wanted: WatermarkFilter, now: datetime) -> ColumnElement[bool]:
    column = watermarks.c
    conditions: list[ColumnElement[bool]] = [column.image_id == C.id]
    if wanted.watermark_key is not None:
        conditions.append(filters.matches(column.key, [wanted.watermark_key]))
    if wanted.source_image_region is not None:
        region = [wanted.source_image_region]
        conditions.append(filters.matches(column.source_image_region, region))
    for moment, days in (
        (column.source_image_created_at, wanted.days_since_source_image_created_max),
        (column.attached_at, wanted.days_since_watermark_created_max),
    ):
        if days is not None:
            conditions.append(moment >= _before(now, days))
    return exists(select(1).where(*conditions))


def _before(now: datetime, days: int) -> datetime:
    """`days` before `now`; of more days than there are, the first."""
    return now - timedelta(days=min(days, now.toordinal() - 1))
