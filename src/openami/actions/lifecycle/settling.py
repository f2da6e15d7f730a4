"""What was made by a lifecycle run, once it is whole: who else may use it, what it displaces."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from openami.actions import snapshot_attributes
from openami.actions.lifecycle import targets
from openami.actions.lifecycle.objects import Troubles, schedule_of, whole
from openami.actions.snapshot import fast_restores
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.catalog.catalog import Transaction
from openami.domain.errors import EC2Error
from openami.domain.image import ImageState
from openami.domain.lifecycle_policy import Schedule
from openami.domain.lifecycle_run import (
    LifecycleRun,
    RunStage,
    deprecated,
    is_of_copy,
    older_than,
    surplus,
)
from openami.domain.snapshot import SnapshotState
from openami.services import Services

_COUNTED: Final = (RunStage.MADE, RunStage.KEPT, RunStage.FAILED)
_log = logging.getLogger(__name__)


def settle_all(svc: Services) -> Troubles:
    with svc.catalog.read() as tx:
        made = runs.in_stage(tx, RunStage.MADE)
    troubles: Troubles = {}
    for run in made:
        with svc.catalog.read() as tx:
            stage = _stage(tx, run)
        if stage is RunStage.MADE:
            continue
        told = "it could not be made" if stage is RunStage.FAILED else _lend(svc, run)
        if told:
            troubles[run.policy_id] = f"{run.target} at {run.tick:%Y-%m-%dT%H:%MZ}: {told}"
        _settle(svc, run, stage)
    return troubles


def _stage(tx: Transaction, run: LifecycleRun) -> RunStage:
    """MADE while it is on its way, then KEPT, or FAILED if it is not what it should be."""
    if run.image_id is not None:
        state = runs.image_states(tx, [run.image_id]).get(run.image_id)
        if state is ImageState.PENDING:
            return RunStage.MADE
        return RunStage.FAILED if state is ImageState.FAILED else RunStage.KEPT
    states = runs.snapshot_states(tx, run.snapshot_ids).values()
    if SnapshotState.PENDING in states:
        return RunStage.MADE
    return RunStage.FAILED if SnapshotState.ERROR in states else RunStage.KEPT


def _settle(svc: Services, run: LifecycleRun, stage: RunStage) -> None:
    with svc.catalog.begin() as tx:
        current = runs.fetch(tx, run)
        if current is None or current.stage is not RunStage.MADE:
            return
        policy = policies.fetch_any(tx, run.policy_id)
        schedule = None if policy is None else schedule_of(policy, run)
        settled = replace(current, stage=stage)
        if is_of_copy(run) and run.expires_at is None and run.deprecates_at is None:
            runs.remove(tx, run)  # nothing is left to do: it is its owner's
            return
        if is_of_copy(run) or schedule is None:
            runs.save(tx, settled)
            return
        if stage is RunStage.KEPT:
            settled = _lent(settled, schedule, svc.clock.now())
            runs.plan(tx, _copies(settled, schedule, svc.clock.now()))
        runs.save(tx, settled)
        _displace(svc, tx, schedule, settled)


def _lend(svc: Services, run: LifecycleRun) -> str:
    """Share it, have it at hand: before that is noted, and again if it was cut off in between.

    What to tell if it is refused. It is whole all the same.
    """
    with svc.catalog.read() as tx:
        policy = policies.fetch_any(tx, run.policy_id)
    schedule = None if policy is None else schedule_of(policy, run)
    if policy is None or schedule is None or is_of_copy(run):
        return ""
    caller = targets.caller_of(policy, svc.ids.request_id())
    try:
        for rule in schedule.shares:
            given = snapshot_attributes.VolumePermissions(accounts=frozenset(rule.accounts))
            for snapshot_id in run.snapshot_ids:
                snapshot_attributes.add_volume_permission(svc, caller, snapshot_id, given)
        if schedule.fast_restore is not None:
            zones = schedule.fast_restore.names(policy.region)
            _, refused = fast_restores.enable_fast_snapshot_restores(
                svc, caller, run.snapshot_ids, zones
            )
            for each in refused:
                raise each.why
    except EC2Error as refusal:
        _log.warning("%s cannot lend what it made: %s", policy.id, refusal)
        return f"{refusal.code}: {refusal}"
    return ""


def _lent(run: LifecycleRun, schedule: Schedule, now: datetime) -> LifecycleRun:
    """With the moments at which that ends, if it does."""
    for rule in schedule.shares:
        if rule.unshare is not None:
            run = replace(run, shared_with=rule.accounts, unshares_at=rule.unshare.after(now))
    rule = schedule.fast_restore
    if rule is None:
        return run
    until = None if rule.lasts.age is None else rule.lasts.age.after(now)
    return replace(run, fast_zones=tuple(rule.names(run.region)), fast_until=until)


def _copies(run: LifecycleRun, schedule: Schedule, now: datetime) -> list[LifecycleRun]:
    """The intents of its copies in other regions: the next sweep begins them."""
    sources = run.snapshot_ids if run.image_id is None else (run.image_id,)
    return [
        LifecycleRun(
            policy_id=run.policy_id,
            schedule=run.schedule,
            target=source,
            tick=run.tick,
            region=rule.region,
            stage=RunStage.DUE,
            planned_at=now,
            expires_at=None if rule.retain is None else rule.retain.after(now),
            deprecates_at=None if rule.deprecate is None else rule.deprecate.after(now),
        )
        for rule in schedule.copies
        for source in sources
    ]


def _displace(svc: Services, tx: Transaction, schedule: Schedule, newest: LifecycleRun) -> None:
    """What is given up for this one, in the same transaction: by count, and attempts that failed.

    Those that were made under a rule by age go by their own time.
    """
    now = svc.clock.now()
    group = runs.group_of(tx, newest)
    failed = [each for each in group if each.stage is RunStage.FAILED and each != newest]
    counted = [each for each in group if each.expires_at is None and each.stage in _COUNTED]
    good = whole(tx, counted)
    given_up = {*failed, *surplus(counted, good, schedule.retain, now)}
    for run in given_up:
        archived = schedule.archive is not None and good.get(run, False)
        runs.save(tx, replace(run, stage=RunStage.ARCHIVING if archived else RunStage.DOOMED))
    old = deprecated(counted, good, schedule.retain, schedule.deprecate, now)
    for run in {each for each in old if each.deprecates_at is None} - given_up:
        runs.save(tx, replace(run, deprecates_at=now))
    if schedule.fast_restore is not None and schedule.fast_restore.lasts.count is not None:
        fast = [each for each in counted if each.fast_zones and each not in given_up]
        for run in older_than(fast, good, schedule.fast_restore.lasts.count, now):
            runs.save(tx, replace(run, fast_until=now))
