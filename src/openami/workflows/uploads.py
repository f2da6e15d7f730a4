"""Objects that tasks write into the buckets of those who asked for them."""

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from openami.catalog import buckets
from openami.catalog.transfers import left_uploads
from openami.domain.ids import AccountId
from openami.domain.transfers.left_upload import LeftUpload
from openami.jobs.engine import GiveUp
from openami.objects.in_use import WAIT_S
from openami.objects.store import ObjectAbsent, ObjectStoreError
from openami.services import Services
from openami.workflows import outages
from openami.workflows.outages import Look

_ATTEMPTS: Final = 5
"""An upload that breaks off begins anew, however long it took."""
Place = tuple[str, str]
"""Bucket and key."""
_log = logging.getLogger(__name__)


def upload(
    svc: Services,
    owner: AccountId,
    place: Place,
    parts: Callable[[], Iterable[bytes]],
    look: Look,
    *,
    tags: Mapping[str, str] | None = None,
    size_bytes: int = 0,
) -> None:
    """Write the object at `place`, whole or not at all; what an attempt that died left of it goes
    first. A store that is away is waited for, and `parts` are asked for anew.

    Raises GiveUp, and whatever `parts` and `look` raise.
    """
    try:
        with svc.buckets.work(place[0], WAIT_S):
            check_bucket(svc, owner, place[0])
            for number in range(_ATTEMPTS):
                outages.patiently(svc.settings, place[1], lambda: _make_way(svc, place), look)
                try:
                    return svc.objects.put(*place, parts(), tags=tags, size_bytes=size_bytes)
                except ObjectStoreError as failure:
                    if number == _ATTEMPTS - 1 or not svc.settings.s3_patience_s:
                        raise
                    _log.warning("the upload of %s/%s begins anew: %s", *place, failure)
                outages.pause(outages.pause_s(place[1], number), look)
    except ObjectAbsent as absent:
        raise GiveUp(f"The bucket {place[0]} does not exist") from absent
    except ObjectStoreError as failure:
        _log.warning("%s/%s cannot be written: %s", *place, failure)
        why = outages.away(svc.settings, f"the object was written to the bucket {place[0]}")
        raise GiveUp(f"{why} Ask for it again when it answers.") from failure


def _make_way(svc: Services, place: Place) -> None:
    """Take away what is left of an earlier upload, which is nobody else's to take away then."""
    with svc.locks(_turn(place)):
        svc.objects.abandon(*place)
        with svc.catalog.begin() as tx:
            left_uploads.forget(tx, *place)


def _turn(place: Place) -> str:
    return f"what is left of {'/'.join(place)}"


def check_bucket(svc: Services, owner: AccountId, name: str) -> None:
    """A bucket may be given up and taken by another between the request and the work."""
    if not is_of(svc, owner, name):
        raise GiveUp(f"The bucket {name} is no longer the account's")


def is_of(svc: Services, owner: AccountId, name: str) -> bool:
    with svc.catalog.read() as tx:
        bucket = buckets.find(tx, name)
    return bucket is not None and bucket.owner == owner


def withdraw(svc: Services, owner: AccountId, place: Place, *, is_object: bool = False) -> None:
    """Take away what was uploaded of an object that is not to be, and with `is_object` the object.

    When the store cannot be reached, the sweep does it later. In a bucket that is another's by
    now nothing is touched.
    """
    left = LeftUpload(bucket=place[0], key=place[1], owner=owner, is_object=is_object)
    try:
        _withdraw(svc, left)
    except ObjectStoreError as failure:
        _log.warning("%s/%s is to be taken away later: %s", *place, failure)
        with svc.catalog.begin() as tx:
            left_uploads.add(tx, left)


def _withdraw(svc: Services, left: LeftUpload) -> None:
    with svc.buckets.work(left.bucket):
        if not is_of(svc, left.owner, left.bucket):
            return
        with suppress(ObjectAbsent):
            svc.objects.abandon(left.bucket, left.key)
        if left.is_object:
            svc.objects.delete(left.bucket, left.key)


def resume(svc: Services) -> None:
    """Take away what could not be reached before; until the store answers it stays known."""
    with svc.catalog.read() as tx:
        waiting = left_uploads.every(tx)
    for each in waiting:
        place = (each.bucket, each.key)
        with svc.locks(_turn(place)):
            with svc.catalog.read() as tx:
                left = left_uploads.find(tx, *place)
            if left is None:
                continue  # a new upload to this place made way for itself
            try:
                _withdraw(svc, left)
            except ObjectStoreError as failure:
                _log.warning("%s/%s is left until the store answers: %s", *place, failure)
                return
            with svc.catalog.begin() as tx:
                left_uploads.forget(tx, *place)
