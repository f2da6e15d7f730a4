"""What lifecycle policies made and do not keep any longer: deleted, image and snapshots.

A deletion that is refused, because the image is protected or a snapshot locked, is logged and
tried again by every sweep.
"""

import logging
from collections import defaultdict
from dataclasses import replace
from datetime import datetime

from openami.actions import images as image_actions
from openami.actions import snapshots as snapshot_actions
from openami.actions.lifecycle import targets
from openami.actions.lifecycle.objects import schedule_of, whole
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.ids import SnapshotId
from openami.domain.image import ImageState
from openami.domain.lifecycle_policy import DefaultPlan, LifecyclePolicy, PolicyId
from openami.domain.lifecycle_run import LifecycleRun, RunStage, is_of_copy
from openami.services import Services

_log = logging.getLogger(__name__)


def sweep(svc: Services) -> None:
    """Doom what is past its time, delete what is doomed, forget policies that ended."""
    doom(svc)
    delete(svc)
    _forget_ended(svc)


def doom(svc: Services) -> None:
    """Decide that what is past its time goes."""
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        if not _past(tx, now):
            return
    with svc.catalog.begin() as tx:
        for run in _past(tx, now):
            policy = policies.fetch_any(tx, run.policy_id)
            if policy is not None and _is_archived_first(policy, run):
                runs.save(tx, replace(run, stage=RunStage.ARCHIVING, expires_at=None))
            else:
                runs.save(tx, replace(run, stage=RunStage.DOOMED))


def _is_archived_first(policy: LifecyclePolicy, run: LifecycleRun) -> bool:
    schedule = schedule_of(policy, run)
    archived = schedule is not None and schedule.archive is not None
    return archived and run.stage is RunStage.KEPT and not is_of_copy(run)


def _past(tx: Transaction, now: datetime) -> list[LifecycleRun]:
    found: list[LifecycleRun] = []
    by_policy: defaultdict[PolicyId, list[LifecycleRun]] = defaultdict(list)
    for run in runs.expired(tx, now):
        by_policy[run.policy_id].append(run)
    for policy_id, expired in by_policy.items():
        policy = policies.fetch_any(tx, policy_id)
        if policy is None or not policy.deletes:
            continue
        treated = set(targets.of(tx, policy))
        untreated = set(targets.there(tx, policy)) - treated
        extended = isinstance(policy.plan, DefaultPlan) and policy.plan.extend_deletion
        found += [
            run
            for run in expired
            if extended
            or is_of_copy(run)
            or run.target in treated
            or (run.target not in untreated and _has_later(tx, run))
        ]
    return found


def _has_later(tx: Transaction, run: LifecycleRun) -> bool:
    """Whether it is not the last backup of what is gone."""
    later = [each for each in runs.group_of(tx, run) if each.tick > run.tick]
    return any(whole(tx, later).values())


def delete(svc: Services) -> None:
    """Delete what is doomed, of those policies that delete now."""
    with svc.catalog.read() as tx:
        doomed = runs.in_stage(tx, RunStage.DOOMED)
    for run in doomed:
        with svc.catalog.read() as tx:
            policy = policies.fetch_any(tx, run.policy_id)
        if policy is not None and policy.deletes:
            _delete(svc, policy, run)


def _delete(svc: Services, policy: LifecyclePolicy, run: LifecycleRun) -> None:
    """The image first, then what is left of its snapshots. Each may be gone already."""
    caller = targets.caller_of(policy, svc.ids.request_id(), run.region)
    try:
        if run.image_id is not None and _is_registered(svc, run):
            image_actions.deregister_image(svc, caller, run.image_id, delete_snapshots=True)
        left = [each for each in run.snapshot_ids if not _is_gone(svc, caller, each)]
    except EC2Error as refusal:
        _log.warning("%s of %s cannot be deleted: %s", run.image_id, run.policy_id, refusal)
        return
    if not left:
        with svc.catalog.begin() as tx:
            runs.remove(tx, run)


def _is_registered(svc: Services, run: LifecycleRun) -> bool:
    assert run.image_id is not None
    with svc.catalog.read() as tx:
        state = runs.image_states(tx, [run.image_id]).get(run.image_id)
    return state not in (None, ImageState.DEREGISTERED)


def _is_gone(svc: Services, caller: Caller, snapshot_id: SnapshotId) -> bool:
    """Deletes it if it is there. One that another image needs is that image's from now on."""
    with svc.catalog.read() as tx:
        if not runs.snapshot_states(tx, [snapshot_id]):
            return True
    try:
        snapshot_actions.delete_snapshot(svc, caller, snapshot_id)
    except EC2Error as refusal:
        if refusal.code in ("InvalidSnapshot.InUse", "InvalidSnapshot.NotFound"):
            return True
        _log.warning("%s cannot be deleted: %s", snapshot_id, refusal)
        return False
    return True


def _forget_ended(svc: Services) -> None:
    with svc.catalog.read() as tx:
        ended = [each.id for each in policies.everyone(tx) if each.deleted_at is not None]
    for policy_id in ended:
        with svc.catalog.begin() as tx:
            if not runs.any_of(tx, policy_id):
                policies.remove(tx, policy_id)
