"""What was made by a lifecycle run, once it is whole: who else may use it, what it displaces."""

import logging
from dataclasses import replace

from openami.actions.lifecycle_objects import Troubles, schedule_of, whole
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.catalog.catalog import Transaction
from openami.domain.image import ImageState
from openami.domain.lifecycle_policy import Schedule
from openami.domain.lifecycle_run import LifecycleRun, RunStage, deprecated, is_of_copy, surplus
from openami.domain.snapshot import SnapshotState
from openami.services import Services

_log = logging.getLogger(__name__)


def settle_all(svc: Services) -> Troubles:
    with svc.catalog.read() as tx:
        made = runs.in_stage(tx, RunStage.MADE)
    troubles: Troubles = {}
    for run in made:
        with svc.catalog.read() as tx:
            stage = _stage(tx, run)
        if stage is RunStage.FAILED:
            troubles[run.policy_id] = (
                f"{run.target} at {run.tick:%Y-%m-%dT%H:%MZ}: it could not be made"
            )
        if stage is not RunStage.MADE:
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
        settled = replace(current, stage=stage)
        runs.save(tx, settled)
        policy = policies.fetch_any(tx, run.policy_id)
        schedule = None if policy is None else schedule_of(policy, run)
        if schedule is not None and not is_of_copy(run):
            _displace(svc, tx, schedule, settled)


def _displace(svc: Services, tx: Transaction, schedule: Schedule, newest: LifecycleRun) -> None:
    """What is given up for this one, in the same transaction: by count, and attempts that failed.

    Those that were made under a rule by age go by their own time.
    """
    now = svc.clock.now()
    group = runs.group_of(tx, newest)
    failed = [each for each in group if each.stage is RunStage.FAILED and each != newest]
    counted = [each for each in group if each.expires_at is None]
    good = whole(tx, counted)
    for run in {*failed, *surplus(counted, good, schedule.retain, now)}:
        runs.save(tx, replace(run, stage=RunStage.DOOMED))
    for run in deprecated(counted, good, schedule.retain, schedule.deprecate, now):
        if run.deprecates_at is None:
            runs.save(tx, replace(run, deprecates_at=now))
