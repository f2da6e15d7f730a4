"""Whose a store in a bucket is: an object that only the first can write."""

from typing import Final

from openami.blockstore.ownership import DISPUTED, EPOCH, OWNER
from openami.blockstore.s3.bucket import Bucket, WriteLost

_BYTES_MAX: Final = 4096
_TRIES: Final = 3


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

    def epoch(self) -> str | None:
        text = self._bucket.get(EPOCH, _BYTES_MAX)
        return None if text is None else text.decode(errors="replace").strip()

    def set_epoch(self, epoch: str) -> None:
        """A put looks for the length alone, and all epochs are of one length: here it is read."""
        for _ in range(_TRIES):
            self._bucket.put(EPOCH, epoch.encode() + b"\n")
            if self.epoch() == epoch:
                return
        raise WriteLost(f"{self._bucket.where} acknowledges {EPOCH} and keeps another one")

    def is_disputed(self) -> bool:
        return self._bucket.size(DISPUTED) is not None

    def dispute(self) -> None:
        if not self.is_disputed():
            self._bucket.put(DISPUTED, b"disputed\n")

    def end_dispute(self) -> None:
        self._bucket.delete(DISPUTED)
