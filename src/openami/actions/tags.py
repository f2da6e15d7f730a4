"""Tags of any resource. An account tags for itself: others see nothing of it.

An image's owner may tag it for all who may see it, by keys of a certain form.
"""

from collections.abc import Iterable, Mapping, Sequence

from openami.catalog import images, taggable, tags
from openami.catalog.catalog import Transaction
from openami.catalog.tags import Tagged as Tagged
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.ids import ImageId, is_id
from openami.domain.tag import any_shared
from openami.services import Services


def create_tags(
    svc: Services, caller: Caller, resource_ids: Sequence[str], pairs: Mapping[str, str]
) -> None:
    """Set tags on every resource, or on none: one that is unknown refuses them all."""
    with svc.catalog.begin() as tx:
        taggable.check_all(tx, caller, resource_ids)
        _check_shared_keys(tx, caller, resource_ids, pairs)
        for resource_id in resource_ids:
            resource = (taggable.kind_of(resource_id).name, resource_id)
            tags.put(tx, caller.account, caller.region, resource, pairs)


def delete_tags(
    svc: Services,
    caller: Caller,
    resource_ids: Sequence[str],
    keys: Mapping[str, str | None] | None,
) -> None:
    """Take tags away: all of them without `keys`, else by key, and by value where one is given."""
    with svc.catalog.begin() as tx:
        taggable.check_all(tx, caller, resource_ids)
        _check_shared_keys(tx, caller, resource_ids, keys or {})
        for resource_id in resource_ids:
            if keys is None:
                tags.remove_all_of(tx, caller.account, resource_id)
            for key, value in (keys or {}).items():
                tags.remove(tx, caller.account, resource_id, key, value)


def _check_shared_keys(
    tx: Transaction, caller: Caller, resource_ids: Sequence[str], keys: Iterable[str]
) -> None:
    """Raises AuthFailure for a shared tag on an image of somebody else."""
    if not any_shared(keys):
        return
    for resource_id in resource_ids:
        if is_id("ami", resource_id):
            images.fetch_owned(tx, ImageId(resource_id), caller.account, caller.region)


def describe_tags(
    svc: Services, caller: Caller, conditions: Sequence[Filter], page: Page
) -> Sequence[Tagged]:
    """The caller's tags in the region, by resource and key."""
    with svc.catalog.read() as tx:
        return tags.describe(tx, caller.account, caller.region, conditions, page)
