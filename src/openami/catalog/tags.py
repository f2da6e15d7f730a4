"""Tags in SQL. An account sees its own tags of a resource, whoever owns the resource.

Of an image it also sees those that the owner shares by their keys.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, select

from openami.catalog import filters, prepared
from openami.catalog.catalog import Transaction
from openami.catalog.schema import tags
from openami.domain.filter import Filter, Page, unknown_filter
from openami.domain.ids import AccountId, ImageId, Region
from openami.domain.tag import SHARED_PREFIX, check_count

_OF_MANY: Final = prepared.Prepared(
    select(tags)
    .where(tags.c.account == bindparam("account"), tags.c.resource_id.in_(prepared.IDS))
    .order_by(tags.c.key)
)
_SHARED: Final = prepared.Prepared(
    select(tags).where(
        tags.c.key.startswith(SHARED_PREFIX, autoescape=True), tags.c.resource_id.in_(prepared.IDS)
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """One tag at one resource."""

    resource_id: str
    resource_type: str
    key: str
    value: str


def put(
    tx: Transaction,
    account: AccountId,
    region: Region,
    resource: tuple[str, str],
    pairs: Mapping[str, str],
) -> None:
    """Set tags of `resource` (its type, its id), replacing values of keys it has already.

    Raises TagLimitExceeded when the resource would have too many.
    """
    resource_type, resource_id = resource
    if not pairs:
        return
    check_count({**of_one(tx, account, resource_id), **pairs})
    mine = (tags.c.account == account) & (tags.c.resource_id == resource_id)
    tx.execute(delete(tags).where(mine, tags.c.key.in_(list(pairs))))
    for key, value in pairs.items():
        tx.execute(
            insert(tags).values(
                account=account,
                region=region,
                resource_id=resource_id,
                resource_type=resource_type,
                key=key,
                value=value,
            )
        )


def remove(
    tx: Transaction, account: AccountId, resource_id: str, key: str, value: str | None
) -> None:
    """Take away one tag; with `value`, only if it has that value."""
    mine = (tags.c.account == account) & (tags.c.resource_id == resource_id) & (tags.c.key == key)
    tx.execute(delete(tags).where(mine if value is None else mine & (tags.c.value == value)))


def remove_all(tx: Transaction, resource_id: str) -> None:
    """The resource is gone: so are its tags, in every account."""
    tx.execute(delete(tags).where(tags.c.resource_id == resource_id))


def remove_all_of(tx: Transaction, account: AccountId, resource_id: str) -> None:
    """DeleteTags without tags: every one that `account` gave. EC2's own (aws:…) stay."""
    mine = (tags.c.account == account) & (tags.c.resource_id == resource_id)
    tx.execute(delete(tags).where(mine, tags.c.key.not_like("aws:%")))


def of_one(tx: Transaction, account: AccountId, resource_id: str) -> dict[str, str]:
    return of_many(tx, account, [resource_id]).get(resource_id, {})


def of_many(
    tx: Transaction, account: AccountId, resource_ids: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Resource id → its tags as `account` sees them; untagged resources are absent."""
    found: dict[str, dict[str, str]] = {}
    for row in _OF_MANY.rows_of(tx, resource_ids, account=account):
        found.setdefault(row.resource_id, {})[row.key] = row.value
    return found


def of_images(
    tx: Transaction, account: AccountId, owners: Mapping[ImageId, AccountId]
) -> dict[str, dict[str, str]]:
    """As `of_many` of images, with the tags that their `owners` share."""
    found = of_many(tx, account, owners)
    foreign = [image_id for image_id, owner in owners.items() if owner != account]
    for row in _SHARED.rows_of(tx, foreign):
        if row.account == owners[row.resource_id]:
            found.setdefault(row.resource_id, {})[row.key] = row.value
    return found


FILTERS = {
    "key": filters.column(tags.c.key),
    "value": filters.column(tags.c.value),
    "resource-id": filters.column(tags.c.resource_id),
    "resource-type": filters.column(tags.c.resource_type),
}


# Their services list them; EC2 knows nothing of them.
_OF_OTHER_SERVICES: Final = ("parameter",)


def _condition(each: Filter, account: AccountId) -> ColumnElement[bool]:
    """Of a listing of tags, `tag:Owner` asks for the tag itself, not for tagged resources."""
    if each.name.startswith("tag:"):
        key = each.name.removeprefix("tag:")
        return and_(tags.c.key == key, filters.matches(tags.c.value, each.values))
    if each.name not in FILTERS:
        raise unknown_filter(each.name)
    return filters.where([each], FILTERS, tags.c.resource_id, account)


def describe(
    tx: Transaction,
    account: AccountId,
    region: Region,
    conditions: Sequence[Filter],
    page: Page,
) -> list[Tagged]:
    """The account's tags in a region, ordered by resource and key; `page.after` is "id key"."""
    query = select(tags).where(
        tags.c.account == account,
        tags.c.region == region,
        tags.c.resource_type.not_in(_OF_OTHER_SERVICES),
        *(_condition(each, account) for each in conditions),
    )
    if page.after is not None:
        resource_id, _, key = page.after.partition(" ")
        query = query.where(
            (tags.c.resource_id > resource_id)
            | ((tags.c.resource_id == resource_id) & (tags.c.key > key))
        )
    query = query.order_by(tags.c.resource_id, tags.c.key).limit(page.limit)
    return [
        Tagged(
            resource_id=row.resource_id,
            resource_type=row.resource_type,
            key=row.key,
            value=row.value,
        )
        for row in tx.execute(query)
    ]
