"""What the steps of a lifecycle run have in common: tags, and the binding to what was made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.catalog.catalog import Transaction
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import Image, ImageState
from openami.domain.lifecycle_policy import CopyRule, LifecyclePolicy, PolicyId, Schedule
from openami.domain.lifecycle_run import LifecycleRun, RunStage, is_of_copy
from openami.domain.snapshot import SnapshotState

POLICY_TAG: Final = "aws:dlm:lifecycle-policy-id"
SCHEDULE_TAG: Final = "aws:dlm:lifecycle-schedule-name"
EXPIRATION_TAG: Final = "aws:dlm:expirationTime"
MANAGED_TAG: Final = "dlm:managed"

_HELD: Final = (RunStage.MADE, RunStage.KEPT, RunStage.ARCHIVING, RunStage.ARCHIVED)

Troubles = dict[PolicyId, str]
"""Policy → why the last that it tried was refused; "" where nothing was."""


class Settled(Exception):
    """The run was fulfilled or called off meanwhile: what was about to be made is not wanted."""


def fulfil(
    tx: Transaction,
    run: LifecycleRun,
    image_id: ImageId | None,
    snapshot_ids: tuple[SnapshotId, ...],
) -> None:
    """Bind the run to what is made in this transaction. Raises Settled."""
    current = runs.fetch(tx, run)
    if current is None or current.stage is not RunStage.DUE or wanted_by(tx, run) is None:
        raise Settled
    made = replace(current, stage=RunStage.MADE, image_id=image_id, snapshot_ids=snapshot_ids)
    runs.save(tx, made)


def wanted_by(tx: Transaction, run: LifecycleRun) -> tuple[LifecyclePolicy, Schedule] | None:
    """Policy and schedule that want the run to be made; None if there are none any more."""
    policy = policies.fetch_any(tx, run.policy_id)
    schedule = None if policy is None else schedule_of(policy, run)
    if policy is None or schedule is None or not policy.runs:
        return None
    if is_of_copy(run) and copy_rule_of(schedule, run) is None:
        return None
    return policy, schedule


def copy_rule_of(schedule: Schedule, copy: LifecycleRun) -> CopyRule | None:
    """None if the schedule makes no such copies any more."""
    return next((each for each in schedule.copies if each.region == copy.region), None)


def whole(tx: Transaction, group: Sequence[LifecycleRun]) -> dict[LifecycleRun, bool]:
    """Run → whether what it made is there, complete, and not given up."""
    images = runs.image_states(tx, [each.image_id for each in group if each.image_id])
    snapshots = runs.snapshot_states(tx, [each for run in group for each in run.snapshot_ids])
    return {
        run: run.stage in _HELD
        and (
            images.get(run.image_id) in (ImageState.AVAILABLE, ImageState.DISABLED)
            if run.image_id is not None
            else all(snapshots.get(each) is SnapshotState.COMPLETED for each in run.snapshot_ids)
        )
        for run in group
    }


def snapshots_of(image: Image) -> tuple[SnapshotId, ...]:
    devices = [each.ebs for each in image.block_device_mappings if each.ebs is not None]
    named = [ebs.snapshot_id for ebs in devices if ebs.snapshot_id is not None]
    return tuple(dict.fromkeys(named))


def schedule_of(policy: LifecyclePolicy, run: LifecycleRun) -> Schedule | None:
    """None if the policy has it no more."""
    return next((each for each in policy.schedules if each.name == run.schedule), None)


def description(run: LifecycleRun) -> str:
    return f"Created for policy: {run.policy_id} schedule: {run.schedule}"


def system_tags(run: LifecycleRun) -> dict[str, str]:
    """https://docs.aws.amazon.com/ebs/latest/userguide/dlm-elements.html"""
    told = {POLICY_TAG: run.policy_id, SCHEDULE_TAG: run.schedule, MANAGED_TAG: "true"}
    if run.expires_at is not None:
        told[EXPIRATION_TAG] = f"{run.expires_at:%Y-%m-%dT%H:%M:%S}.000+0000"
    return told
