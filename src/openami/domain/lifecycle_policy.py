"""A lifecycle policy of Data Lifecycle Manager: what is to be made when, and kept how long.

https://docs.aws.amazon.com/dlm/latest/APIReference/API_PolicyDetails.html
"""

import calendar
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NewType

from openami.domain.ids import AccountId, Region
from openami.domain.zone import checked_zone, zone_of_id

PolicyId = NewType("PolicyId", str)
Pairs = tuple[tuple[str, str], ...]
"""Tags, in the order they were given."""


class PolicyState(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    ERROR = "ERROR"


class PolicyType(StrEnum):
    SNAPSHOTS = "EBS_SNAPSHOT_MANAGEMENT"
    IMAGES = "IMAGE_MANAGEMENT"


class Target(StrEnum):
    VOLUME = "VOLUME"
    INSTANCE = "INSTANCE"


class Unit(StrEnum):
    DAYS = "DAYS"
    WEEKS = "WEEKS"
    MONTHS = "MONTHS"
    YEARS = "YEARS"


DAYS_OF: Final[Mapping[Unit, float]] = {
    Unit.DAYS: 1,
    Unit.WEEKS: 7,
    Unit.MONTHS: 36500 / 1200,
    Unit.YEARS: 365,
}
"""100 years are 1200 months, 5200 weeks or 36500 days (DLM's page): only for comparing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A length of time by the calendar."""

    interval: int
    unit: Unit

    def after(self, moment: datetime) -> datetime:
        """A month after 31 January is the last day of February."""
        if self.unit is Unit.DAYS or self.unit is Unit.WEEKS:
            return moment + timedelta(days=self.interval * (7 if self.unit is Unit.WEEKS else 1))
        months = self.interval * (12 if self.unit is Unit.YEARS else 1) + moment.month - 1
        year, month = moment.year + months // 12, months % 12 + 1
        day = min(moment.day, calendar.monthrange(year, month)[1])
        return moment.replace(year=year, month=month, day=day)

    @property
    def days(self) -> float:
        return self.interval * DAYS_OF[self.unit]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRule:
    """Every `interval_hours`, counted from a time of the day ("hh:mm"), or by `cron`."""

    interval_hours: int | None = None
    time: str | None = None
    cron: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much of what is made of each target, or how long: one of the two."""

    count: int | None = None
    age: Period | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyRule:
    """A copy of each object in another region, with a life of its own."""

    region: Region
    copy_tags: bool = False
    retain: Period | None = None
    deprecate: Period | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRule:
    """Accounts that may use each snapshot, for a period or for good."""

    accounts: tuple[AccountId, ...]
    unshare: Period | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FastRestoreRule:
    """Fast snapshot restores, for the newest `count` snapshots or each for a period."""

    zones: tuple[str, ...]
    by_id: bool
    """Whether the zones were given by their ids."""
    lasts: Limit

    def names(self, region: Region) -> list[str]:
        """Raises InvalidParameterValue for zones that the region does not have."""
        if self.by_id:
            return [zone_of_id(each, region) for each in self.zones]
        return [checked_zone(each, region) for each in self.zones]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One of at most four: when to create, what to put on it, how long to keep it."""

    name: str
    named: bool
    """Whether the name was given; one without is told apart by its place."""
    create: CreateRule
    retain: Limit
    """The newest `count` are kept, or each for a period."""
    copy_tags: bool = False
    tags_to_add: Pairs = ()
    variable_tags: Pairs = ()
    deprecate: Limit | None = None
    """The oldest `count` of those that are kept are deprecated, or each after a period."""
    copies: tuple[CopyRule, ...] = ()
    shares: tuple[ShareRule, ...] = ()
    fast_restore: FastRestoreRule | None = None
    archive: Limit | None = None
    """What is not kept any more is archived, and deleted when this is over as well."""


def with_names_of(before: Sequence[Schedule], after: Sequence[Schedule]) -> tuple[Schedule, ...]:
    """A schedule without a name goes on by the one that it had, and owns what it made.

    It is known by when it runs, or else by its place.
    """
    old = {each.name: each for each in before if not each.named}
    taken = {each.name for each in after if each.named}
    named: dict[int, str] = {}

    def name(place: int, candidates: Iterable[str]) -> None:
        free = next((each for each in candidates if each not in taken), None)
        if free is not None:
            named[place] = free
            taken.add(free)

    unnamed = [place for place, each in enumerate(after) if not each.named]
    for place in unnamed:
        create = after[place].create
        name(place, [each for each, schedule in old.items() if schedule.create == create])
    for place in [each for each in unnamed if each not in named]:
        own = [each.name for each in before[place : place + 1] if not each.named]
        fresh = (f"Schedule {number}" for number in itertools.count(1))
        name(place, itertools.chain(own, (each for each in fresh if each not in old)))
    return tuple(
        replace(each, name=named.get(place, each.name)) for place, each in enumerate(after)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomPlan:
    """What carries one of the target tags is treated by each schedule."""

    policy_type: PolicyType
    target: Target
    target_tags: Pairs
    schedules: tuple[Schedule, ...]
    no_reboot: bool | None = None
    exclude_boot_volume: bool | None = None
    exclude_data_volume_tags: Pairs | None = None

    @property
    def makes_sets(self) -> bool:
        """Snapshots of all of an instance's volumes at one moment."""
        return self.policy_type is PolicyType.SNAPSHOTS and self.target is Target.INSTANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusions:
    boot_volumes: bool | None = None
    volume_types: tuple[str, ...] = ()
    tags: Pairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultPlan:
    """Whatever has no recent backup in the region gets one."""

    target: Target
    create_days: int = 1
    retain_days: int = 7
    copy_tags: bool = False
    extend_deletion: bool = False
    copy_regions: tuple[Region, ...] = ()
    exclusions: Exclusions | None = None

    @property
    def policy_type(self) -> PolicyType:
        return PolicyType.SNAPSHOTS if self.target is Target.VOLUME else PolicyType.IMAGES


DEFAULT_SCHEDULE: Final = "Default Schedule"

Plan = CustomPlan | DefaultPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecyclePolicy:
    """`ran_through` has, per schedule, the moment up to which its runs are settled.

    A deleted policy with ExtendDeletion is kept, unseen, until all that it made is gone.
    """

    id: PolicyId
    region: Region
    owner: AccountId
    description: str
    state: PolicyState
    execution_role_arn: str
    created_at: datetime
    modified_at: datetime
    plan: Plan
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    status_message: str | None = None
    ran_through: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    deleted_at: datetime | None = None

    @property
    def arn(self) -> str:
        return f"arn:aws:dlm:{self.region}:{self.owner}:policy/{self.id}"

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Those of the plan; a default policy has one that nobody wrote."""
        if isinstance(self.plan, CustomPlan):
            return self.plan.schedules
        age = Period(interval=self.plan.retain_days, unit=Unit.DAYS)
        return (
            Schedule(
                name=DEFAULT_SCHEDULE,
                named=False,
                create=CreateRule(interval_hours=24),
                retain=Limit(age=age),
                copy_tags=self.plan.copy_tags,
                copies=tuple(
                    CopyRule(region=region, copy_tags=self.plan.copy_tags, retain=age)
                    for region in self.plan.copy_regions
                ),
            ),
        )

    @property
    def runs(self) -> bool:
        """Also in error: the next run may succeed."""
        return self.deleted_at is None and self.state is not PolicyState.DISABLED

    @property
    def deletes(self) -> bool:
        """Whether what is past its time is deleted now."""
        if self.deletes_after_its_end:
            return True
        return self.deleted_at is None and (
            self.state is PolicyState.ENABLED
            or (self.state is PolicyState.ERROR and isinstance(self.plan, CustomPlan))
        )

    @property
    def deletes_after_its_end(self) -> bool:
        """ExtendDeletion: also when it is disabled, in error, or deleted itself."""
        return isinstance(self.plan, DefaultPlan) and self.plan.extend_deletion
