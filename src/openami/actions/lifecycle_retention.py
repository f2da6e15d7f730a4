"""What lifecycle policies made and do not keep any longer: deleted, image and snapshots.

A deletion that is refused, because the image is protected or a snapshot locked, is logged and
tried again by every sweep.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

from openami.actions import images as image_actions
from openami.actions import lifecycle_targets
from openami.actions import snapshots as snapshot_actions
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


def sweep(svc: Services, known: Mapping[PolicyId, LifecyclePolicy]) -> None:
    """Doom what is past its time, delete what is doomed, forget policies that ended."""
    with svc.catalog.read() as tx:
        past = runs.expired(tx, svc.clock.now())
        past = [run for run in past if _may_go(tx, known[run.policy_id], run)]
    if past:
        with svc.catalog.begin() as tx:
            for run in past:
                runs.save(tx, replace(run, stage=RunStage.DOOMED))
    with svc.catalog.read() as tx:
        doomed = runs.in_stage(tx, RunStage.DOOMED)
    for run in doomed:
        if known[run.policy_id].deletes:
            _delete(svc, known[run.policy_id], run)
    _forget_ended(svc, known)


def _may_go(tx: Transaction, policy: LifecyclePolicy, run: LifecycleRun) -> bool:
    """The last backup of what is gone stays, unless deletion was extended to it."""
    if not policy.deletes:
        return False
    extended = isinstance(policy.plan, DefaultPlan) and policy.plan.extend_deletion
    if extended or is_of_copy(run):
        return True
    newer = [each for each in runs.group_of(tx, run) if each.tick > run.tick]
    return bool(newer) or run.target in lifecycle_targets.of(tx, policy)


def _delete(svc: Services, policy: LifecyclePolicy, run: LifecycleRun) -> None:
    """The image first, then what is left of its snapshots. Each may be gone already."""
    account = lifecycle_targets.caller_of(policy, svc.ids.request_id())
    caller = replace(account, region=run.region)
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


def _forget_ended(svc: Services, known: Mapping[PolicyId, LifecyclePolicy]) -> None:
    for policy in known.values():
        if policy.deleted_at is None:
            continue
        with svc.catalog.begin() as tx:
            if not runs.any_of(tx, policy.id):
                policies.remove(tx, policy.id)
