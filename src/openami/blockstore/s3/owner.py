"""Whose a store in a bucket is: an object that only the first can write."""

from typing import Final

from openami.blockstore.ownership import OWNER
from openami.blockstore.s3.bucket import Bucket

_BYTES_MAX: Final = 4096


class OwnerObject:
    """The record of a store in a bucket. Everything may raise StoreAway."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def where(self) -> str:
        return f"{OWNER} in {self._bucket.where}"

    def read(self) -> bytes | None:
        return self._bucket.get(OWNER, _BYTES_MAX)

    def create(self, text: bytes) -> bool:
        return self._bucket.create(OWNER, text)
