"""Allowed AMIs settings in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, insert, select

from openami.catalog import image_access, prepared
from openami.catalog.catalog import Transaction
from openami.catalog.schema import allowed_images_settings as table
from openami.catalog.schema import images
from openami.domain.allowed_images import AllowedImagesSettings, AllowedImagesState
from openami.domain.ids import AccountId, ImageId, Region

_SETTINGS: Final = prepared.Prepared(
    select(table.c.state, table.c.criteria).where(
        table.c.account == bindparam("account"), table.c.region == bindparam("region")
    )
)


def settings_of(tx: Transaction, account: AccountId, region: Region) -> AllowedImagesSettings:
    """Disabled and without criteria for who never said anything."""
    found = _SETTINGS.rows(tx, account=account, region=region)
    return AllowedImagesSettings(**prepared.fields(found[0])) if found else AllowedImagesSettings()


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
    settings: AllowedImagesSettings,
    image_ids: Sequence[ImageId],
    now: datetime,
) -> Mapping[ImageId, bool]:
    """Whether the criteria of `account` allow each image; empty while Allowed AMIs is disabled.

    An image that is gone is absent.
    """
    if settings.state is AllowedImagesState.DISABLED:
        return {}
    condition = image_access.allowed(account, settings, now).label("allowed")
    query = select(images.c.id, condition).where(images.c.id.in_(prepared.IDS))
    return {
        row.id: bool(row.allowed)
        for part in prepared.parts(image_ids)
        for row in tx.execute(query, {"ids": part})
    }
