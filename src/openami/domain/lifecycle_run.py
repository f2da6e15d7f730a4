"""What one schedule of a lifecycle policy does for one target at one planned moment.

A run is an intent first, then the record of what was made, until that is deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openami.domain.ids import AccountId, ImageId, Region, SnapshotId
from openami.domain.lifecycle_policy import Limit, PolicyId

TRIED_FOR: Final = timedelta(hours=1)
"""The window of DLM's start times: what cannot be made until then is given up."""


SET_BACK_MAX: Final = timedelta(days=1)
"""A clock may be set back by so much, and its ticks still tell what came first."""


COPY_TRIED_FOR: Final = timedelta(days=1)
"""Copies wait for one another, since few may be on their way into a region at once."""


class RunStage(StrEnum):
    DUE = "due"  # nothing is made yet
    MADE = "made"  # there is an object, which may still be pending
    KEPT = "kept"  # the object is whole
    FAILED = "failed"  # the object is there, and never became whole
    ARCHIVING = "archiving"  # its snapshots are on their way into the archive
    ARCHIVED = "archived"  # they are there, until their time there is over
    DOOMED = "doomed"  # the object is to be deleted, as soon as that is allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleRun:
    """`target` is an instance or a volume; of a copy, the image or snapshot it is a copy of."""

    policy_id: PolicyId
    schedule: str
    target: str
    tick: datetime
    region: Region
    stage: RunStage
    planned_at: datetime
    image_id: ImageId | None = None
    snapshot_ids: tuple[SnapshotId, ...] = ()
    expires_at: datetime | None = None
    deprecates_at: datetime | None = None
    deprecated: bool = False
    """Whether that was done: what its owner decides afterwards is not overridden."""
    shared_with: tuple[AccountId, ...] = ()
    """Who is to lose it again at `unshares_at`."""
    unshares_at: datetime | None = None
    fast_zones: tuple[str, ...] = ()
    """Where fast restores of it are enabled, until `fast_until`."""
    fast_until: datetime | None = None


def is_of_copy(run: LifecycleRun) -> bool:
    return run.target.startswith(("ami-", "snap-"))


def surplus(
    runs: Sequence[LifecycleRun],
    good: Mapping[LifecycleRun, bool],
    retain: Limit,
    now: datetime,
) -> list[LifecycleRun]:
    """Those that a rule by count gives up, of the runs of one schedule and target.

    Only what is whole counts; what is older than the last one that is retained goes, whole or not.
    """
    if retain.count is None:
        return []
    return older_than(runs, good, retain.count, now)


def deprecated(
    runs: Sequence[LifecycleRun],
    good: Mapping[LifecycleRun, bool],
    retain: Limit,
    rule: Limit | None,
    now: datetime,
) -> list[LifecycleRun]:
    """The oldest of those that are retained, as many as the rule says when the number is full."""
    if rule is None or rule.count is None or retain.count is None:
        return []
    return older_than(runs, good, retain.count - rule.count, now)


def older_than(
    runs: Sequence[LifecycleRun], good: Mapping[LifecycleRun, bool], count: int, now: datetime
) -> list[LifecycleRun]:
    """Those that are older than the `count` newest of the good ones."""
    # What was made while the clock ran far ahead is older than all that is made since.
    newest_first = sorted(
        runs, key=lambda run: (run.tick <= now + SET_BACK_MAX, run.tick), reverse=True
    )
    counted = 0
    for place, run in enumerate(newest_first):
        if counted == count:
            return newest_first[place:]
        counted += good[run]
    return []
