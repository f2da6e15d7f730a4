"""The Recycle Bin: which deleted resources are kept for a while, and for how long.

https://docs.aws.amazon.com/ebs/latest/userguide/recycle-bin-factors.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, Region

IN_BIN: Final[Mapping[str, str]] = {"aws:recycle-bin:resource-in-bin": "true"}
"""The tag that a resource has as long as it is in the bin."""

RULES_OF_A_TAG_MAX: Final = 5
TAGS_MAX: Final = 50


class ResourceType(StrEnum):
    VOLUME = "EBS_VOLUME"
    SNAPSHOT = "EBS_SNAPSHOT"
    IMAGE = "EC2_IMAGE"


NOUNS: Final[Mapping[ResourceType, str]] = {
    ResourceType.VOLUME: "volume",
    ResourceType.SNAPSHOT: "snapshot",
    ResourceType.IMAGE: "image",
}
"""What EC2's tags call them."""

DAYS_MAX: Final[Mapping[ResourceType, int]] = {
    ResourceType.VOLUME: 7,
    ResourceType.SNAPSHOT: 365,
    ResourceType.IMAGE: 365,
}


class LockState(StrEnum):
    LOCKED = "locked"
    PENDING_UNLOCK = "pending_unlock"
    UNLOCKED = "unlocked"


class RuleNotFound(EC2Error):
    code = "ResourceNotFoundException"
    status = 404
    details = MappingProxyType({"Reason": "RULE_NOT_FOUND"})

    def __init__(self, rule_id: str) -> None:
        super().__init__(f"There is no retention rule {rule_id}.")


class InvalidRule(EC2Error):
    code = "ValidationException"
    details = MappingProxyType({"Reason": "INVALID_PARAMETER_VALUE"})


class WrongRuleState(EC2Error):
    code = "ConflictException"
    status = 409
    details = MappingProxyType({"Reason": "INVALID_RULE_STATE"})


class TooManyRules(EC2Error):
    code = "ServiceQuotaExceededException"
    status = 402
    details = MappingProxyType({"Reason": "SERVICE_QUOTA_EXCEEDED"})


@dataclass(frozen=True, slots=True)
class TagPattern:
    """A tag that a resource has or has not. Without a value, any value of the key counts."""

    key: str
    value: str | None = None

    def of(self, tags: Mapping[str, str]) -> bool:
        return self.key in tags and self.value in (None, tags[self.key])


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """What of an account's deleted resources in a region goes to the bin.

    One with `resource_tags` is about resources that have any of these; one without is about all
    of the region but those that have any of `exclude_tags`.
    """

    id: str
    region: Region
    owner: AccountId
    resource_type: ResourceType
    retention_days: int
    created_at: datetime
    description: str = ""
    resource_tags: tuple[TagPattern, ...] = ()
    exclude_tags: tuple[TagPattern, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    unlock_delay_days: int | None = None
    unlocks_at: datetime | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRule."""
        days_max = DAYS_MAX[self.resource_type]
        if not 1 <= self.retention_days <= days_max:
            raise InvalidRule(
                f"The retention period for {self.resource_type} is 1 to {days_max} days,"
                f" not {self.retention_days}."
            )
        if self.resource_tags and self.exclude_tags:
            raise InvalidRule("A tag-level retention rule cannot have exclusion tags.")
        if self.unlock_delay_days is not None and (self.resource_tags or self.exclude_tags):
            raise InvalidRule(
                "Only Region-level retention rules without exclusion tags can be locked."
            )
        if len(self.tags) > TAGS_MAX:
            raise TooManyRules(f"A retention rule has at most {TAGS_MAX} tags.")

    @property
    def arn(self) -> str:
        return f"arn:aws:rbin:{self.region}:{self.owner}:rule/{self.id}"

    def retains(self, tags: Mapping[str, str]) -> bool:
        if self.resource_tags:
            return any(pattern.of(tags) for pattern in self.resource_tags)
        return not any(pattern.of(tags) for pattern in self.exclude_tags)

    def lock_state(self, now: datetime) -> LockState | None:
        """None for one that was never locked."""
        if self.unlock_delay_days is None:
            return None
        if self.unlocks_at is None:
            return LockState.LOCKED
        return LockState.PENDING_UNLOCK if now < self.unlocks_at else LockState.UNLOCKED

    def changeable(self, now: datetime) -> "RetentionRule":
        """Itself. Raises WrongRuleState while a lock holds it."""
        state = self.lock_state(now)
        if state not in (None, LockState.UNLOCKED):
            raise WrongRuleState(f"The retention rule {self.id} is {state}.")
        return self

    def locked(self, unlock_delay_days: int, now: datetime) -> "RetentionRule":
        if self.lock_state(now) is LockState.LOCKED:
            raise WrongRuleState(f"The retention rule {self.id} is locked already.")
        return replace(self, unlock_delay_days=unlock_delay_days, unlocks_at=None)

    def unlocked(self, now: datetime) -> "RetentionRule":
        """It can be changed when its unlock delay has passed."""
        if self.unlock_delay_days is None or self.lock_state(now) is not LockState.LOCKED:
            raise WrongRuleState(f"The retention rule {self.id} is not locked.")
        return replace(self, unlocks_at=now + timedelta(days=self.unlock_delay_days))


def retention(rules: Iterable[RetentionRule], tags: Mapping[str, str]) -> timedelta | None:
    """How long a resource with these tags is kept: the longest of its rules. None if by none."""
    days = [rule.retention_days for rule in rules if rule.retains(tags)]
    return timedelta(days=max(days)) if days else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binned:
    """A resource in the bin. `was` is the state in which it was deleted."""

    resource_id: str
    resource_type: ResourceType
    region: Region
    owner: AccountId
    entered_at: datetime
    exits_at: datetime
    was: str
