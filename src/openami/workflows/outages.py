"""An S3 store that does not answer for a while: transfers wait for it, and not for ever."""

import logging
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeVar

from openami.objects.store import ObjectInfo, ObjectStore, ObjectStoreError
from openami.settings import Settings

T = TypeVar("T")
Look = Callable[[], None]
"""Called about each second of a wait; what it raises ends the wait."""

_FIRST_S: Final = 0.25
_LONGEST_S: Final = 15.0
_LOOK_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)


def pause_s(who: str, number: int) -> float:
    """Before attempt `number`: twice as long each time, and another for each who waits.

    So that those who were cut off together do not come back together.
    """
    longest = min(_LONGEST_S, _FIRST_S * 2**number)
    return longest * (0.5 + zlib.crc32(f"{who} {number}".encode()) / 2**33)


def patiently(settings: Settings, who: str, work: Callable[[], T], look: Look) -> T:
    """What `work` returns, tried again while the store is away, at most for `s3_patience_s`.

    Raises ObjectStoreError after that, and what `look` and `work` raise.
    """
    began: float | None = None
    for number in count():
        try:
            return work()
        except ObjectStoreError as failure:
            now = time.monotonic()
            began = now if began is None else began
            left_s = began + settings.s3_patience_s - now
            if left_s <= 0:
                raise
            _log.warning("%s waits for the S3 store: %s", who, failure)
        pause(min(left_s, pause_s(who, number)), look)
    raise AssertionError("the count has no end")


def pause(seconds: float, look: Look) -> None:
    """Raises what `look` raises."""
    until, nothing = time.monotonic() + seconds, threading.Event()
    look()
    while (left_s := until - time.monotonic()) > 0:
        nothing.wait(min(_LOOK_EVERY_S, left_s))
        look()


def away(settings: Settings, what: str) -> str:
    """A sentence on a transfer that waited long enough."""
    return f"The S3 store did not answer for {settings.s3_patience_s:g} seconds while {what}."


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientReader:
    """Reads of an object store that wait for it; each part has the whole patience."""

    store: ObjectStore
    settings: Settings
    who: str
    look: Look

    def head(self, bucket: str, key: str) -> ObjectInfo:
        return self._patiently(lambda: self.store.head(bucket, key))

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        return self._patiently(lambda: self.store.read(bucket, key, etag, start, length))

    def _patiently(self, work: Callable[[], T]) -> T:
        return patiently(self.settings, self.who, work, self.look)
