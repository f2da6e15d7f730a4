"""Fast snapshot restore: an account wants a snapshot at hand in a zone before volumes need it.

https://docs.aws.amazon.com/ebs/latest/userguide/ebs-fast-snapshot-restore.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.ids import AccountId, Region, SnapshotId
from openami.domain.lifecycle import advance


class FastRestoreState(StrEnum):
    ENABLING = "enabling"
    OPTIMIZING = "optimizing"
    ENABLED = "enabled"
    DISABLING = "disabling"
    DISABLED = "disabled"


class FastRestoreEvent(StrEnum):
    OPTIMIZE = "the beginning of its restoration"
    RESTORED = "the end of its restoration"
    LOST = "the loss of what was restored"
    DISABLE = "DisableFastSnapshotRestores"
    RELEASED = "the release of what was restored"


S, E = FastRestoreState, FastRestoreEvent

TRANSITIONS: Final[Mapping[tuple[FastRestoreState, FastRestoreEvent], FastRestoreState]] = {
    (S.ENABLING, E.OPTIMIZE): S.OPTIMIZING,
    (S.OPTIMIZING, E.RESTORED): S.ENABLED,
    (S.ENABLED, E.LOST): S.ENABLING,
    (S.ENABLING, E.DISABLE): S.DISABLING,
    (S.OPTIMIZING, E.DISABLE): S.DISABLING,
    (S.ENABLED, E.DISABLE): S.DISABLING,
    (S.DISABLING, E.RELEASED): S.DISABLED,
}

ON: Final = (S.ENABLING, S.OPTIMIZING, S.ENABLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FastRestore:
    """`owner` is who enabled it, for himself alone. `root` is known from `optimizing` on.

    `turns` counts its beginnings and ends: each has a job of its own. Each time says when it
    entered the state of that name.
    """

    snapshot_id: SnapshotId
    zone: str
    owner: AccountId
    region: Region
    state: FastRestoreState
    enabling_at: datetime
    optimizing_at: datetime | None = None
    enabled_at: datetime | None = None
    disabling_at: datetime | None = None
    disabled_at: datetime | None = None
    root: str | None = None
    turns: int = 0
    failure: str | None = None

    @property
    def id(self) -> str:
        """Unique among those of its owner, and what their order is by."""
        return f"{self.snapshot_id}:{self.zone}"

    @property
    def reason(self) -> str:
        """Why it is in its state, in EC2's words (API_DescribeFastSnapshotRestoreSuccessItem)."""
        if self.failure is not None:
            return self.failure
        by_user = self.state in (S.ENABLING, S.DISABLING)
        return "Client.UserInitiated" + ("" if by_user else " - Lifecycle state transition")

    def after(self, event: FastRestoreEvent, at: datetime) -> "FastRestore":
        state = advance(TRANSITIONS, self.snapshot_id, self.state, event)
        match state:
            case S.ENABLING:
                turns = self.turns + 1
                return replace(self, state=state, turns=turns, enabling_at=at, enabled_at=None)
            case S.OPTIMIZING:
                return replace(self, state=state, optimizing_at=at)
            case S.ENABLED:
                return replace(self, state=state, enabled_at=at)
            case S.DISABLING:
                return replace(self, state=state, turns=self.turns + 1, disabling_at=at)
            case S.DISABLED:
                return replace(self, state=state, disabled_at=at)
