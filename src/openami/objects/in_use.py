"""Buckets in which tasks are at work: a name changes hands only when none is.

What a task found of a bucket's owner must hold until its work there is done. Of this process, as
tasks are; one that goes on after a restart says so anew.
"""

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from openami.objects.store import ObjectStoreError

WAIT_S: Final = 60.0
"""How long a task waits for the end of a deletion; the store may not answer it at once."""


class BucketInUse(ObjectStoreError):
    """A task is at work in the bucket that is to be deleted, or the bucket is being deleted."""


class BucketsInUse:
    """Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work: Counter[str] = Counter()
        self._going: set[str] = set()

    @contextmanager
    def work(self, name: str, wait_s: float = 0.0) -> Generator[None]:
        """Work in the bucket, beside others: whose it is now, it is until the end.

        Raises BucketInUse while it is being deleted, after `wait_s` at most.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: name not in self._going, wait_s):
                raise BucketInUse(name)
            self._at_work[name] += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work[name] -= 1
                self._at_work = +self._at_work

    @contextmanager
    def deletion(self, name: str) -> Generator[None]:
        """Delete the bucket. Raises BucketInUse at once when a task is at work in it."""
        with self._changed:
            if self._at_work[name] or name in self._going:
                raise BucketInUse(name)
            self._going.add(name)
        try:
            yield
        finally:
            with self._changed:
                self._going.discard(name)
                self._changed.notify_all()
