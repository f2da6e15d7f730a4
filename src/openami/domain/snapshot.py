"""A snapshot: the frozen content of a volume, complete or on its way to it.

It is kept ready for use, or archived: https://docs.aws.amazon.com/ebs/latest/userguide/snapshot-archive.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.ids import AccountId, Region, SnapshotId, VolumeId
from openami.domain.lifecycle import advance

NO_VOLUME: Final = VolumeId("vol-ffffffff")
"""The volume id that EC2 shows for a snapshot that was not made from a volume."""


RESTORE_DAYS_MAX: Final = 180


class SnapshotState(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"
    RECOVERABLE = "recoverable"  # in the Recycle Bin: nothing but its restoration sees it


class SnapshotEvent(StrEnum):
    BLOCKS_WRITTEN = "the writing of its last block"
    GIVEN_UP = "giving it up"
    RECYCLE = "DeleteSnapshot"
    RESTORE = "RestoreSnapshotFromRecycleBin"


TRANSITIONS: Final[Mapping[tuple[SnapshotState, SnapshotEvent], SnapshotState]] = {
    (SnapshotState.PENDING, SnapshotEvent.BLOCKS_WRITTEN): SnapshotState.COMPLETED,
    (SnapshotState.PENDING, SnapshotEvent.GIVEN_UP): SnapshotState.ERROR,
    (SnapshotState.COMPLETED, SnapshotEvent.RECYCLE): SnapshotState.RECOVERABLE,
    (SnapshotState.RECOVERABLE, SnapshotEvent.RESTORE): SnapshotState.COMPLETED,
}


class StorageTier(StrEnum):
    STANDARD = "standard"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`root` names the content (a manifest root as text); it is set once, on completion.

    `set_id` is shared by the snapshots that one CreateSnapshots takes at one moment. `lineage`
    names the first of those that were made of one another, by way of volumes or as parents.
    """

    id: SnapshotId
    region: Region
    owner: AccountId
    volume_id: VolumeId
    volume_size_gib: int
    state: SnapshotState
    started_at: datetime
    description: str = ""
    completed_at: datetime | None = None
    progress_percent: int = 0
    state_message: str | None = None
    root: str | None = None
    set_id: str | None = None
    public: bool = False
    shared_with: frozenset[AccountId] = frozenset()
    storage_tier: StorageTier = StorageTier.STANDARD
    restore_expires_at: datetime | None = None  # of one that is out of the archive for a time
    transfer_type: str | None = None  # of a copy: "standard", which is not time-based
    lineage: str | None = None  # None: it is the first itself

    @property
    def line(self) -> str:
        """The same for all of one lineage."""
        return self.lineage or self.id

    def is_related(self, other: "Snapshot") -> bool:
        """Whether both are of one volume, or of one lineage."""
        of_one_volume = self.volume_id == other.volume_id != NO_VOLUME
        return of_one_volume or self.line == other.line

    def usable(self) -> "Snapshot":
        """Itself. Raises IncorrectState for one that nothing can be made of now."""
        if self.state is not SnapshotState.COMPLETED:
            raise EC2Error.of("IncorrectState", f"Snapshot '{self.id}' is not 'completed'.")
        return self.at_hand()

    def at_hand(self) -> "Snapshot":
        """Itself. Raises IncorrectState for one that is archived."""
        if self.storage_tier is StorageTier.ARCHIVE:
            raise EC2Error.of(
                "IncorrectState", f"Snapshot '{self.id}' is archived; restore it before you use it."
            )
        return self

    def archived(self) -> "Snapshot":
        """Nobody else uses it, and its permissions do not return."""
        return replace(
            self,
            storage_tier=StorageTier.ARCHIVE,
            restore_expires_at=None,
            public=False,
            shared_with=frozenset(),
        )

    def restored(self, until: datetime | None) -> "Snapshot":
        """Out of the archive, for good or for a time."""
        return replace(self, storage_tier=StorageTier.STANDARD, restore_expires_at=until)

    def completed(self, root: str, at: datetime) -> "Snapshot":
        state = advance(TRANSITIONS, self.id, self.state, SnapshotEvent.BLOCKS_WRITTEN)
        return replace(self, state=state, root=root, completed_at=at, progress_percent=100)

    def after(self, event: SnapshotEvent) -> "Snapshot":
        return replace(self, state=advance(TRANSITIONS, self.id, self.state, event))

    def given_up(self, message: str) -> "Snapshot":
        state = advance(TRANSITIONS, self.id, self.state, SnapshotEvent.GIVEN_UP)
        return replace(self, state=state, state_message=message)


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
