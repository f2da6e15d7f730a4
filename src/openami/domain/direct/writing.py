"""A snapshot that is written block by block: begun, written, completed or given up.

https://docs.aws.amazon.com/ebs/latest/userguide/writesnapshots.html
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from openami.domain.ids import AccountId, Region, SnapshotId

TIMEOUT_MINUTES: Final = 60
SIZE_GIB_MAX: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What is known of it beside the snapshot.

    `writes` counts the puts, by which one sees that something was written meanwhile.
    `changed_blocks` is what CompleteSnapshot told, None before it. `attempts` at completing it
    have failed; `at_work` is one that may rely on what it found in the store.
    """

    snapshot_id: SnapshotId
    region: Region
    owner: AccountId
    timeout_minutes: int
    written_at: datetime
    writes: int = 0
    changed_blocks: int | None = None
    attempts: int = 0
    at_work: bool = False

    @property
    def is_sealed(self) -> bool:
        return self.changed_blocks is not None

    def ends_at(
        self, started_at: datetime, life_max: timedelta | None, serving_since: datetime
    ) -> datetime:
        """When it is given up: nothing was written for its timeout, or it is too old.

        Before `serving_since` nobody could write; there is a timeout's time after it.
        """
        timeout = timedelta(minutes=self.timeout_minutes)
        ends_at = self.written_at + timeout
        if life_max is not None:
            ends_at = min(ends_at, started_at + life_max)
        return max(ends_at, serving_since + timeout)

    def written(self, at: datetime) -> "Writing":
        return replace(self, written_at=at, writes=self.writes + 1)

    def sealed(self, changed_blocks: int) -> "Writing":
        return replace(self, changed_blocks=changed_blocks)

    def begun(self) -> "Writing":
        return replace(self, at_work=True)

    def put_off(self) -> "Writing":
        return replace(self, attempts=self.attempts + 1, at_work=False)
