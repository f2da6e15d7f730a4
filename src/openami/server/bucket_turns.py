"""Who is at work in which bucket: a name changes hands only when nobody is.

A request that was let in for one owner of a name must not reach the store when the name is
another's. So a bucket is deleted alone: new requests wait until it is done, and are judged anew.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from openami.wire.refusal import WireRefusal

WAIT_S: Final = 10.0
DOUBT_S: Final = 240.0
"""For so long the store may still do what it was asked and did not answer: twice as long as we
wait for it."""


class BucketTurns:
    """For one event loop. Nothing here outlives the process, and neither do its requests."""

    def __init__(self, wait_s: float = WAIT_S, doubt_s: float = DOUBT_S) -> None:
        self._wait_s, self._doubt_s = wait_s, doubt_s
        self._at_work: Counter[str] = Counter()
        self._alone: set[str] = set()
        self._doubted: dict[str, float] = {}  # name → when the doubt is over
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def shared(self, *names: str) -> AsyncGenerator[None]:
        """Work in these buckets, beside others. Waits while one of them is being deleted."""
        while not self._alone.isdisjoint(names):
            await self._changed.wait()
        self._at_work.update(names)
        try:
            yield
        finally:
            self._at_work.subtract(names)
            self._tell()

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncGenerator[None]:
        """Delete the bucket, while no other request is under way in it.

        Raises OperationAborted when others do not end soon, and when an earlier deletion may still
        be on its way.
        """
        if name in self._alone or self._doubted.get(name, 0.0) > time.monotonic():
            raise aborted()
        self._alone.add(name)
        try:
            await self._others_have_ended(name)
            yield
        finally:
            self._alone.discard(name)
            self._tell()

    def doubt(self, name: str) -> None:
        """The store is about to be asked to delete the bucket."""
        self._doubted[name] = time.monotonic() + self._doubt_s

    def settle(self, name: str) -> None:
        """It has answered."""
        del self._doubted[name]

    async def _others_have_ended(self, name: str) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                while self._at_work[name]:
                    await self._changed.wait()
        except TimeoutError:
            raise aborted() from None

    def _tell(self) -> None:
        self._at_work = +self._at_work  # without those at which nobody is
        self._changed.set()
        self._changed = asyncio.Event()


def aborted() -> WireRefusal:
    return WireRefusal(
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource."
        " Please try again.",
        409,
    )
