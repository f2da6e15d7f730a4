"""A round of collection: how far the removal of what no disk needs has come in one region.
And a tenure: whether there is anybody else who collects the region's store.

The order is condemn, drain, mark, delete; docs/storage.md says why none of it may be left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openami.domain.ids import Region


class Phase(StrEnum):
    """What a round does now; what is done twice does no harm."""

    CONDEMNING = "condemning"
    """Objects that no disk seems to need are written down."""
    DRAINING = "draining"
    """Ingests that began before the last of them was written down have to end; then what still
    no disk needs goes."""
    ENDED = "ended"


_NEXT: Final[Mapping[Phase, Phase]] = {
    Phase.CONDEMNING: Phase.DRAINING,
    Phase.DRAINING: Phase.ENDED,
}


_PAUSE: Final = timedelta(minutes=5)
_PAUSE_MAX: Final = timedelta(days=1)
"""After a failure, and doubled after each further one: what lost a page today lacks it tomorrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The last round of a region. What was freed is what the objects took in the store."""

    region: Region
    began_at: datetime
    phase: Phase = Phase.CONDEMNING
    freed_objects: int = 0
    freed_bytes: int = 0
    steps: int = 0
    """How many phases have begun in the region, those of earlier rounds and all."""
    failures: int = 0
    """How often in a row it could not go on."""
    failed_at: datetime | None = None
    failure: str | None = None

    def next(self) -> "Round":
        """It got on. Raises KeyError for one that has ended."""
        phase, steps = _NEXT[self.phase], self.steps + 1
        return replace(self, phase=phase, steps=steps, failures=0, failed_at=None, failure=None)

    def after(self, at: datetime) -> "Round":
        """The next round of the region."""
        return Round(region=self.region, began_at=at, steps=self.steps + 1)

    def failing(self, at: datetime, why: str) -> "Round":
        return replace(self, failures=self.failures + 1, failed_at=at, failure=why)

    def rests(self, now: datetime) -> bool:
        """Whether it has failed too recently to be tried again unasked."""
        if self.failed_at is None:
            return False
        pause = min(_PAUSE * 2 ** min(self.failures - 1, 10), _PAUSE_MAX)
        return timedelta(0) <= now - self.failed_at < pause

    def freeing(self, objects: int, size_bytes: int) -> "Round":
        return replace(
            self,
            freed_objects=self.freed_objects + objects,
            freed_bytes=self.freed_bytes + size_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """What a catalog has last written into a region's store. A store that has neither, when the
    catalog has written nothing, is of a time before epochs."""

    region: Region
    epoch: str | None = None
    next_epoch: str | None = None
    """It may be in the store already: who wrote it may have died."""
    is_disputed: bool = False
    """Another server was there, too. Stays so until an operator says otherwise."""
    since: datetime
    """When the server started, or an operator settled whose the store is."""

    def is_of(self, found: str | None) -> bool:
        """Whether the store that has this epoch is as this catalog left it."""
        if self.is_disputed:
            return False
        return found == self.epoch or (found is not None and found == self.next_epoch)
