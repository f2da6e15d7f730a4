"""Instances and the image each was launched from, in SQL, whatever became of the image."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import and_, case, false

from openami.catalog import filters, image_access, images, instances
from openami.catalog.allowed_images import settings_of
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.instance_filters import FILTERS as INSTANCE_FILTERS
from openami.catalog.schema import accounts
from openami.catalog.schema import images as image_table
from openami.catalog.schema import instances as instance_table
from openami.domain.allowed_images import AllowedImagesState
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.ids import ImageId, InstanceId
from openami.domain.image import Image
from openami.domain.instance import Instance
from openami.domain.zone import zones_by_id

_OF_INSTANCE: Final = image_table.c.id == instance_table.c.image_id
_OWNER: Final = and_(_OF_INSTANCE, accounts.c.id == image_table.c.owner)

METADATA_FILTERS: Final[Mapping[str, Condition]] = {
    **{
        name: INSTANCE_FILTERS[name]
        for name in (
            *("availability-zone", "instance-id", "instance-state-name", "instance-type"),
            "launch-time",
        )
    },
    "image-allowed": lambda _values: false(),
    "owner-alias": filters.child(_OWNER, accounts.c.alias),
    "owner-id": filters.child(_OF_INSTANCE, image_table.c.owner),
}
"""The owner is the image's. `zone-id` becomes `availability-zone` before the table is asked.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceImageMetadata.html
"""


def describe_instances(
    tx: Transaction,
    caller: Caller,
    instance_ids: Sequence[InstanceId],
    conditions: Sequence[Filter],
    page: Page,
    now: datetime,
) -> list[Instance]:
    """As instances.describe, by the filters of DescribeInstanceImageMetadata."""
    named = [
        Filter(name="availability-zone", values=zones_by_id(each.values, caller.region))
        if each.name == "zone-id"
        else each
        for each in conditions
    ]
    table = {**METADATA_FILTERS, **_filter_of_allowed(tx, caller, now)}
    return instances.describe(tx, caller, instance_ids, named, page, table)


def _filter_of_allowed(tx: Transaction, caller: Caller, now: datetime) -> Mapping[str, Condition]:
    """While Allowed AMIs is disabled no image is said to be allowed or not."""
    settings = settings_of(tx, caller.account, caller.region)
    if settings.state is AllowedImagesState.DISABLED:
        return {}
    allowed = image_access.allowed(caller.account, settings, now)
    text = case((allowed, "true"), else_="false")
    return {"image-allowed": filters.child(_OF_INSTANCE, text)}


def images_of(tx: Transaction, found: Iterable[Instance]) -> Mapping[ImageId, Image]:
    """The images of the instances, those too that the instances' owner cannot see any more."""
    return images.fetch_many_any(tx, sorted({each.image_id for each in found}))
