"""Where a snapshot is kept: ready for use, or archived; and the last move between the two.

https://docs.aws.amazon.com/ebs/latest/userguide/snapshot-archive.html
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.ids import AccountId, Region, SnapshotId

RESTORE_DAYS_MAX: Final = 180


class StorageTier(StrEnum):
    STANDARD = "standard"
    ARCHIVE = "archive"


class Move(StrEnum):
    """What was asked for. The states of EC2 are made of its name and its progress."""

    ARCHIVAL = "archival"
    TEMPORARY = "temporary-restore"
    PERMANENT = "permanent-restore"


class Progress(StrEnum):
    GOING_ON = "in-progress"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiering:
    """The last move of a snapshot. `archived_at` is when its last archival was complete."""

    snapshot_id: SnapshotId
    region: Region
    owner: AccountId
    move: Move
    progress: Progress
    started_at: datetime
    days: int | None = None
    detail: str | None = None
    archived_at: datetime | None = None

    @property
    def status(self) -> str:
        return f"{self.move}-{self.progress}"

    def ended(self, at: datetime) -> "Tiering":
        archived_at = at if self.move is Move.ARCHIVAL else self.archived_at
        return replace(self, progress=Progress.COMPLETED, archived_at=archived_at)

    def failed(self, why: str) -> "Tiering":
        return replace(self, progress=Progress.FAILED, detail=why)


def checked_restore(days: int | None, permanent: bool) -> Move:
    """Raises InvalidParameterCombination, InvalidParameterValue, MissingParameter."""
    if permanent:
        if days is not None:
            raise InvalidParameterCombination(
                "Specify either temporaryRestoreDays or permanentRestore, not both"
            )
        return Move.PERMANENT
    if days is None:
        raise MissingParameter("temporaryRestoreDays or permanentRestore")
    if not 1 <= days <= RESTORE_DAYS_MAX:
        raise InvalidParameterValue(
            f"Value ({days}) for parameter temporaryRestoreDays is invalid."
            f" It must be from 1 to {RESTORE_DAYS_MAX}."
        )
    return Move.TEMPORARY
