"""Objects that tasks write into the buckets of those who asked for them."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress

from openami.catalog import buckets
from openami.domain.ids import AccountId
from openami.jobs.engine import GiveUp
from openami.objects.store import ObjectAbsent, ObjectStoreError
from openami.services import Services

_log = logging.getLogger(__name__)


def upload(
    svc: Services,
    owner: AccountId,
    place: tuple[str, str],
    parts: Iterable[bytes],
    *,
    tags: Mapping[str, str] | None = None,
    size_bytes: int = 0,
) -> None:
    """Write the object at `place` (bucket, key), whole or not at all; what an attempt that died
    left of it goes first. Raises GiveUp, and whatever `parts` raises."""
    check_bucket(svc, owner, place[0])
    try:
        svc.objects.abandon(*place)
        svc.objects.put(*place, parts, tags=tags, size_bytes=size_bytes)
    except ObjectAbsent as absent:
        raise GiveUp(f"The bucket {place[0]} does not exist") from absent
    except ObjectStoreError as failure:
        _log.warning("%s/%s cannot be written: %s", *place, failure)
        raise GiveUp(f"The object cannot be written to the bucket {place[0]}") from failure


def check_bucket(svc: Services, owner: AccountId, name: str) -> None:
    """A bucket may be given up and taken by another between the request and the work."""
    if not is_of(svc, owner, name):
        raise GiveUp(f"The bucket {name} is no longer the account's")


def is_of(svc: Services, owner: AccountId, name: str) -> bool:
    with svc.catalog.read() as tx:
        bucket = buckets.find(tx, name)
    return bucket is not None and bucket.owner == owner


def abandon(svc: Services, owner: AccountId, place: tuple[str, str]) -> None:
    """Forget what was uploaded of an object that is not to be, if the store can be reached.

    In a bucket that is another's by now nothing is touched; nor does `remove`.
    """
    if not is_of(svc, owner, place[0]):
        return
    with suppress(ObjectAbsent):
        try:
            svc.objects.abandon(*place)
        except ObjectStoreError:
            _log.exception("parts of %s/%s may be left in the S3 store", *place)


def remove(svc: Services, owner: AccountId, place: tuple[str, str]) -> None:
    """Take away an object that is not to be, if the store can be reached."""
    if not is_of(svc, owner, place[0]):
        return
    try:
        svc.objects.delete(*place)
    except ObjectStoreError:
        _log.exception("%s/%s may be left in the S3 store", *place)
