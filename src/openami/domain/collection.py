"""A round of collection: how far the removal of what no disk needs has come in one region.

The order is condemn, drain, mark, delete; docs/storage.md says why none of it may be left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The last round of a region. What was freed is what the objects took in the store."""

    region: Region
    began_at: datetime
    phase: Phase = Phase.CONDEMNING
    freed_objects: int = 0
    freed_bytes: int = 0

    def next(self) -> "Round":
        """Raises KeyError for one that has ended."""
        return replace(self, phase=_NEXT[self.phase])

    def freeing(self, objects: int, size_bytes: int) -> "Round":
        return replace(
            self,
            freed_objects=self.freed_objects + objects,
            freed_bytes=self.freed_bytes + size_bytes,
        )
