"""Allowed AMIs settings in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from openami.catalog import image_access
from openami.catalog.catalog import Transaction
from openami.catalog.schema import allowed_images_settings as table
from openami.catalog.schema import images
from openami.domain.allowed_images import AllowedImagesSettings, AllowedImagesState
from openami.domain.ids import AccountId, ImageId, Region


def settings_of(tx: Transaction, account: AccountId, region: Region) -> AllowedImagesSettings:
    """Disabled and without criteria for who never said anything."""
    query = select(table.c.state, table.c.criteria).where(
        table.c.account == account, table.c.region == region
    )
    row = tx.execute(query).mappings().first()
    return AllowedImagesSettings() if row is None else AllowedImagesSettings(**row)


def put(
    tx: Transaction, account: AccountId, region: Region, settings: AllowedImagesSettings
) -> None:
    mine = (table.c.account == account) & (table.c.region == region)
    tx.execute(delete(table).where(mine))
    tx.execute(
        insert(table).values(
            account=account, region=region, state=settings.state, criteria=settings.criteria
        )
    )


def allowed(
    tx: Transaction,
    account: AccountId,
    region: Region,
    image_ids: Sequence[ImageId],
    now: datetime,
) -> Mapping[ImageId, bool]:
    """Whether the criteria of `account` allow each image; empty while Allowed AMIs is disabled.

    An image that is gone is absent.
    """
    settings = settings_of(tx, account, region)
    if settings.state is AllowedImagesState.DISABLED:
        return {}
    found: dict[ImageId, bool] = {}
    condition = image_access.allowed(account, settings, now)
    for start in range(0, len(image_ids), 500):  # SQL engines limit the values of one IN
        part = image_ids[start : start + 500]
        query = select(images.c.id, condition.label("allowed")).where(images.c.id.in_(part))
        found |= {row.id: bool(row.allowed) for row in tx.execute(query)}
    return found
