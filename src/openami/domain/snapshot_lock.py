"""A lock on a snapshot: for how long nobody deletes it, and who may still change that.

https://docs.aws.amazon.com/ebs/latest/userguide/ebs-snapshot-lock.html
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    OperationNotPermitted,
)
from openami.domain.ids import AccountId, Region, SnapshotId

DAYS_MAX: Final = 36_500
COOL_OFF_HOURS_MAX: Final = 72
_A_DAY: Final = timedelta(days=1)


class LockMode(StrEnum):
    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


class LockState(StrEnum):
    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"
    COOL_OFF = "compliance-cooloff"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRequest:
    """What LockSnapshot is told: one of `days` and `expires_at`, and what its mode allows."""

    mode: LockMode
    days: int | None = None
    expires_at: datetime | None = None
    cool_off_hours: int | None = None

    def __post_init__(self) -> None:
        """Raises InvalidParameterValue, InvalidParameterCombination, MissingParameter."""
        if self.days is not None and self.expires_at is not None:
            raise InvalidParameterCombination(
                "Specify either lockDuration or expirationDate, not both"
            )
        if self.days is None and self.expires_at is None:
            raise MissingParameter("lockDuration or expirationDate")
        if self.days is not None:
            _check_bounds("lockDuration", self.days, DAYS_MAX)
        if self.cool_off_hours is not None:
            if self.mode is LockMode.GOVERNANCE:
                raise InvalidParameterCombination(
                    "A coolOffPeriod is for locks in compliance mode only"
                )
            _check_bounds("coolOffPeriod", self.cool_off_hours, COOL_OFF_HOURS_MAX)

    def duration(self, now: datetime) -> timedelta:
        """Raises InvalidParameterValue for an expiration date that is too near or too far."""
        if self.expires_at is None:
            return timedelta(days=self.days or 0)
        if not now + _A_DAY <= self.expires_at <= now + timedelta(days=DAYS_MAX):
            raise InvalidParameterValue(
                f"The expirationDate must be 1 to {DAYS_MAX} days in the future"
            )
        return self.expires_at - now


def _check_bounds(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise InvalidParameterValue(
            f"Value ({value}) for parameter {name} is invalid. It must be from 1 to {most}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotLock:
    """`completed_at` is its snapshot's: the duration of one that is pending has not begun."""

    snapshot_id: SnapshotId
    region: Region
    owner: AccountId
    mode: LockMode
    created_at: datetime
    days: int
    expires_at: datetime | None = None
    cool_off_hours: int | None = None
    cool_off_ends_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def starts_at(self) -> datetime | None:
        if self.completed_at is None:
            return None
        return max(self.created_at, self.completed_at)

    @property
    def ends_at(self) -> datetime | None:
        """None as long as its duration has not begun."""
        if self.expires_at is not None or self.starts_at is None:
            return self.expires_at
        return self.starts_at + timedelta(days=self.days)

    def state(self, now: datetime) -> LockState:
        if self.ends_at is not None and self.ends_at <= now:
            return LockState.EXPIRED
        if self.mode is LockMode.GOVERNANCE:
            return LockState.GOVERNANCE
        cooling = self.cool_off_ends_at is not None and now < self.cool_off_ends_at
        return LockState.COOL_OFF if cooling else LockState.COMPLIANCE

    def check_deletable(self, now: datetime) -> None:
        """Raises OperationNotPermitted."""
        state = self.state(now)
        if state is not LockState.EXPIRED:
            raise OperationNotPermitted(
                f"The snapshot {self.snapshot_id} is locked ({state}) and cannot be deleted."
            )

    def check_unlockable(self, now: datetime) -> None:
        """Raises OperationNotPermitted."""
        if self.state(now) is LockState.COMPLIANCE:
            raise OperationNotPermitted(
                f"The snapshot {self.snapshot_id} is locked in compliance mode; it cannot be"
                " unlocked before the lock expires."
            )

    def check_replaceable(self, asked: LockRequest, now: datetime) -> None:
        """After the cooling-off period a lock in compliance mode only becomes longer.

        Raises OperationNotPermitted, InvalidParameterCombination.
        """
        if self.state(now) is not LockState.COMPLIANCE:
            return
        if asked.cool_off_hours is not None:
            raise InvalidParameterCombination("The cooling-off period of the lock is over")
        if asked.mode is not LockMode.COMPLIANCE or self._is_shorter(asked, now):
            raise OperationNotPermitted(
                f"The snapshot {self.snapshot_id} is locked in compliance mode; its lock can only"
                " be extended."
            )

    def _is_shorter(self, asked: LockRequest, now: datetime) -> bool:
        duration = asked.duration(now)
        if self.ends_at is None:  # its snapshot is pending
            return duration < timedelta(days=self.days)
        return now + duration < self.ends_at


def locked(
    snapshot_id: SnapshotId,
    place: tuple[Region, AccountId],
    completed_at: datetime | None,
    asked: LockRequest,
    now: datetime,
) -> SnapshotLock:
    """The lock that a request makes now. Raises InvalidParameterValue."""
    hours = asked.cool_off_hours
    return SnapshotLock(
        snapshot_id=snapshot_id,
        region=place[0],
        owner=place[1],
        mode=asked.mode,
        created_at=now,
        days=-(-asked.duration(now) // _A_DAY),  # rounded up, as a date is told in days
        expires_at=asked.expires_at,
        cool_off_hours=hours,
        cool_off_ends_at=None if hours is None else now + timedelta(hours=hours),
        completed_at=completed_at,
    )
