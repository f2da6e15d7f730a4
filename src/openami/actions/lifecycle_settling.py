"""What was made by a lifecycle run, once it is whole: who else may use it, what it displaces."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from openami.actions.lifecycle_objects import Troubles, schedule_of
from openami.catalog import lifecycle_runs as runs
from openami.catalog.catalog import Transaction
from openami.domain.image import ImageState
from openami.domain.lifecycle_policy import LifecyclePolicy, PolicyId, Schedule
from openami.domain.lifecycle_run import LifecycleRun, RunStage, deprecated, is_of_copy, surplus
from openami.domain.snapshot import SnapshotState
from openami.services import Services

_log = logging.getLogger(__name__)


def settle_all(svc: Services, known: Mapping[PolicyId, LifecyclePolicy]) -> Troubles:
    with svc.catalog.read() as tx:
        made = runs.in_stage(tx, RunStage.MADE)
    troubles: Troubles = {}
    for run in made:
        policy = known.get(run.policy_id)
        if policy is None:
            continue
        with svc.catalog.read() as tx:
            stage = _stage(tx, run)
        if stage is RunStage.FAILED:
            troubles[policy.id] = (
                f"{run.target} at {run.tick:%Y-%m-%dT%H:%MZ}: it could not be made"
            )
        if stage is not RunStage.MADE:
            _settle(svc, policy, run, stage)
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


def _settle(svc: Services, policy: LifecyclePolicy, run: LifecycleRun, stage: RunStage) -> None:
    with svc.catalog.begin() as tx:
        current = runs.fetch(tx, run)
        if current is None or current.stage is not RunStage.MADE:
            return
        runs.save(tx, replace(current, stage=stage))
        schedule = schedule_of(policy, run)
        if schedule is not None and not is_of_copy(run):
            _displace(svc, tx, schedule, current)


def _displace(svc: Services, tx: Transaction, schedule: Schedule, newest: LifecycleRun) -> None:
    """What a rule by count gives up for this one, in the same transaction.

    Those that were made under a rule by age go by their own time.
    """
    group = [each for each in runs.group_of(tx, newest) if each.expires_at is None]
    images = runs.image_states(tx, [each.image_id for each in group if each.image_id])
    snapshots = runs.snapshot_states(tx, [each for run in group for each in run.snapshot_ids])
    good = {
        run: images.get(run.image_id) in (ImageState.AVAILABLE, ImageState.DISABLED)
        if run.image_id is not None
        else all(snapshots.get(each) is SnapshotState.COMPLETED for each in run.snapshot_ids)
        for run in group
    }
    for run in surplus(group, good, schedule.retain):
        runs.save(tx, replace(run, stage=RunStage.DOOMED))
    for run in deprecated(group, good, schedule.retain, schedule.deprecate):
        if run.deprecates_at is None:
            runs.save(tx, replace(run, deprecates_at=svc.clock.now()))
