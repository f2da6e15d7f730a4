"""What lifecycle policies archive before they delete it, and how long it stays in the archive.

https://docs.aws.amazon.com/dlm/latest/APIReference/API_ArchiveRule.html
"""

import logging
from dataclasses import replace

from openami.actions.lifecycle import targets
from openami.actions.lifecycle.objects import schedule_of
from openami.actions.snapshot import tiers
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.catalog import snapshot_tiers as tierings
from openami.catalog import snapshots
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.ids import SnapshotId
from openami.domain.lifecycle_policy import LifecyclePolicy
from openami.domain.lifecycle_run import LifecycleRun, RunStage, older_than
from openami.domain.snapshot import Progress, Snapshot, SnapshotState, StorageTier
from openami.services import Services

_log = logging.getLogger(__name__)


def sweep(svc: Services) -> None:
    """Move what is to be archived, and note what has arrived."""
    with svc.catalog.read() as tx:
        leaving = runs.in_stage(tx, RunStage.ARCHIVING)
    for run in leaving:
        with svc.catalog.read() as tx:
            policy = policies.fetch_any(tx, run.policy_id)
        if policy is None or not policy.deletes:
            continue
        caller = targets.caller_of(policy, svc.ids.request_id(), run.region)
        if all([_is_archived(svc, caller, each) for each in run.snapshot_ids]):
            _note(svc, policy, run)


def _is_archived(svc: Services, caller: Caller, snapshot_id: SnapshotId) -> bool:
    """Begins it where that is not so. What is deleted needs no archive."""
    with svc.catalog.read() as tx:
        snapshot = _there(snapshots.fetch_any(tx, snapshot_id))
        earlier = tierings.find(tx, snapshot_id)
    if snapshot is None or _was_archived(snapshot):
        return True
    if earlier is None or earlier.progress is not Progress.GOING_ON:
        try:
            tiers.archive_snapshot(svc, caller, snapshot_id)
        except EC2Error as refusal:
            _log.warning("%s cannot be archived: %s", snapshot_id, refusal)
    with svc.catalog.read() as tx:
        snapshot = _there(snapshots.fetch_any(tx, snapshot_id))
    return snapshot is None or _was_archived(snapshot)


def _there(snapshot: Snapshot | None) -> Snapshot | None:
    if snapshot is None or snapshot.state is SnapshotState.RECOVERABLE:
        return None
    return snapshot


def _was_archived(snapshot: Snapshot) -> bool:
    """Also one that its owner has out of the archive for a time."""
    archived = snapshot.storage_tier is StorageTier.ARCHIVE
    return archived or snapshot.restore_expires_at is not None


def _note(svc: Services, policy: LifecyclePolicy, run: LifecycleRun) -> None:
    """From now on its time in the archive counts. Without a rule for that it stays there."""
    now = svc.clock.now()
    schedule = schedule_of(policy, run)
    limit = None if schedule is None else schedule.archive
    age = None if limit is None else limit.age
    with svc.catalog.begin() as tx:
        current = runs.fetch(tx, run)
        if current is None or current.stage is not RunStage.ARCHIVING:
            return
        expires_at = None if age is None else age.after(now)
        runs.save(tx, replace(current, stage=RunStage.ARCHIVED, expires_at=expires_at))
        if limit is None or limit.count is None:
            return
        archived = [
            each
            for each in runs.group_of(tx, run)
            if each.stage is RunStage.ARCHIVED and each.expires_at is None
        ]
        for each in older_than(archived, dict.fromkeys(archived, True), limit.count, now):
            runs.save(tx, replace(each, stage=RunStage.DOOMED))
