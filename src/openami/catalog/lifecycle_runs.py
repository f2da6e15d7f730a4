"""The runs of lifecycle policies in SQL: intents, and what was made of them."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, insert, select
from sqlalchemy import update as sql_update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import images, snapshots
from openami.catalog.schema import lifecycle_runs as runs
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import ImageState
from openami.domain.lifecycle_policy import PolicyId
from openami.domain.lifecycle_run import LifecycleRun, RunStage
from openami.domain.snapshot import SnapshotState


def _row(run: LifecycleRun) -> dict[str, Any]:
    return {column.name: getattr(run, column.name) for column in runs.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[LifecycleRun]:
    rows = tx.execute(query).mappings()
    return [LifecycleRun(**{str(name): value for name, value in row.items()}) for row in rows]


def _is(run: LifecycleRun) -> ColumnElement[bool]:
    return and_(
        runs.c.policy_id == run.policy_id,
        runs.c.schedule == run.schedule,
        runs.c.target == run.target,
        runs.c.tick == run.tick,
        runs.c.region == run.region,
    )


def plan(tx: Transaction, planned: Iterable[LifecycleRun]) -> None:
    """Write intents. One that is known already stays as it is."""
    for run in planned:
        if tx.scalar(select(runs.c.stage).where(_is(run))) is None:
            tx.execute(insert(runs).values(_row(run)))


def save(tx: Transaction, run: LifecycleRun) -> None:
    tx.execute(sql_update(runs).where(_is(run)).values(_row(run)))


def remove(tx: Transaction, run: LifecycleRun) -> None:
    tx.execute(delete(runs).where(_is(run)))


def fetch(tx: Transaction, run: LifecycleRun) -> LifecycleRun | None:
    """The run as it is now; None if it is gone."""
    found = _found(tx, select(runs).where(_is(run)))
    return found[0] if found else None


def in_stage(tx: Transaction, stage: RunStage) -> list[LifecycleRun]:
    return _found(tx, select(runs).where(runs.c.stage == stage).order_by(runs.c.tick))


def expired(tx: Transaction, at: datetime) -> list[LifecycleRun]:
    """The objects that are past their time and not doomed yet."""
    query = select(runs).where(
        runs.c.expires_at <= at,
        runs.c.stage.in_((RunStage.KEPT, RunStage.FAILED, RunStage.ARCHIVED)),
    )
    return _found(tx, query.order_by(runs.c.tick))


def to_deprecate(tx: Transaction, at: datetime) -> list[LifecycleRun]:
    query = select(runs).where(
        runs.c.deprecates_at <= at,
        runs.c.deprecated.is_(False),
        runs.c.stage == RunStage.KEPT,
    )
    return _found(tx, query.order_by(runs.c.tick))


def to_unshare(tx: Transaction, at: datetime) -> list[LifecycleRun]:
    return _found(tx, select(runs).where(runs.c.unshares_at <= at))


def to_slow_down(tx: Transaction, at: datetime) -> list[LifecycleRun]:
    return _found(tx, select(runs).where(runs.c.fast_until <= at))


def group_of(tx: Transaction, run: LifecycleRun) -> list[LifecycleRun]:
    """What the same schedule made of the same target in the same region, this one with them."""
    query = select(runs).where(
        runs.c.policy_id == run.policy_id,
        runs.c.schedule == run.schedule,
        runs.c.target == run.target,
        runs.c.region == run.region,
        runs.c.stage != RunStage.DUE,
    )
    return _found(tx, query.order_by(runs.c.tick))


def leave_all_but(tx: Transaction, policy_id: PolicyId, schedules: Collection[str]) -> None:
    """What other schedules made is its owner's alone from now on, unless it is going already."""
    tx.execute(
        delete(runs).where(
            runs.c.policy_id == policy_id,
            runs.c.schedule.not_in(schedules),
            runs.c.stage != RunStage.DOOMED,
        )
    )


def any_of(tx: Transaction, policy_id: PolicyId) -> bool:
    return bool(tx.scalar(select(exists().where(runs.c.policy_id == policy_id))))


def image_states(tx: Transaction, ids: Iterable[ImageId]) -> dict[ImageId, ImageState]:
    """Of those that are there."""
    return _states(tx, images.c.id, images.c.state, ids)


def snapshot_states(tx: Transaction, ids: Iterable[SnapshotId]) -> dict[SnapshotId, SnapshotState]:
    return _states(tx, snapshots.c.id, snapshots.c.state, ids)


def _states(
    tx: Transaction, key: ColumnElement[Any], state: ColumnElement[Any], ids: Iterable[str]
) -> dict[Any, Any]:
    wanted = list(ids)
    found: dict[Any, Any] = {}
    for start in range(0, len(wanted), 500):  # SQL engines limit the values of one IN
        part = wanted[start : start + 500]
        found |= {each: its for each, its in tx.execute(select(key, state).where(key.in_(part)))}
    return found
