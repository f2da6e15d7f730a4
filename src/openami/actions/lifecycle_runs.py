"""What lifecycle policies do when their time has come. `sweep` is called at start and each minute.

An intent is written first, per target and planned moment; it is fulfilled in the transaction
that makes the object. So a run makes at most one, wherever the process ends.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from openami.actions import create_image, lifecycle_retention, lifecycle_settling, lifecycle_targets
from openami.actions import snapshots as snapshot_actions
from openami.actions.lifecycle_objects import (
    Settled,
    Troubles,
    description,
    fulfil,
    snapshots_of,
    system_tags,
    wanted_by,
)
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.catalog import tags
from openami.catalog.catalog import Transaction
from openami.domain.errors import EC2Error
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.image import Image
from openami.domain.lifecycle_policy import (
    CustomPlan,
    LifecyclePolicy,
    PolicyState,
    PolicyType,
    Schedule,
)
from openami.domain.lifecycle_run import TRIED_FOR, LifecycleRun, RunStage
from openami.domain.lifecycle_schedule import due, rewound
from openami.domain.snapshot import Snapshot
from openami.domain.tag import is_reserved
from openami.services import Services
from openami.workflows import create_image as image_workflow
from openami.workflows import create_snapshot as snapshot_workflow

_log = logging.getLogger(__name__)


def sweep(svc: Services) -> None:
    """Plan what is due, make it, look after what was made, delete what is past its time."""
    with svc.catalog.read() as tx:
        known = policies.everyone(tx)
    if not known:
        return
    # No run waits for the end of another's work; then all of them are waited for at once.
    hasty = replace(svc, settings=replace(svc.settings, settle_timeout_s=0.0))
    for policy in known:
        _plan(svc, policy)
    troubles = _make_all(hasty)
    _wait_a_little(svc)
    troubles |= lifecycle_settling.settle_all(svc)
    _tell(svc, troubles)
    lifecycle_retention.sweep(svc)


def _plan(svc: Services, policy: LifecyclePolicy) -> None:
    """Write the intents of what is due, and that it is settled up to there."""
    now = svc.clock.now()
    if rewound(policy, now) == policy and not due(policy, now):
        return
    with svc.catalog.begin() as tx:
        current = policies.fetch_any(tx, policy.id)
        if current is None:
            return
        current = rewound(current, now)
        found = due(current, now)
        for each in found:
            for target in lifecycle_targets.of_run(tx, current, each.tick):
                runs.plan(
                    tx,
                    [
                        LifecycleRun(
                            policy_id=current.id,
                            schedule=each.schedule.name,
                            target=target,
                            tick=each.tick,
                            region=current.region,
                            stage=RunStage.DUE,
                            planned_at=now,
                            expires_at=_expiry(each.schedule, now),
                        )
                    ],
                )
        settled = {**current.ran_through, **{each.schedule.name: each.tick for each in found}}
        policies.save(tx, replace(current, ran_through=settled))


def _expiry(schedule: Schedule, now: datetime) -> datetime | None:
    """Of what is made now, be it late or not."""
    return None if schedule.retain.age is None else schedule.retain.age.after(now)


def _make_all(svc: Services) -> Troubles:
    with svc.catalog.read() as tx:
        waiting = runs.in_stage(tx, RunStage.DUE)
    troubles: Troubles = {}
    for run in waiting:
        with svc.catalog.read() as tx:
            wanted = wanted_by(tx, run)
        if wanted is None:
            _forget(svc, run)
            continue
        try:
            _make(svc, *wanted, run)
            troubles.setdefault(run.policy_id, "")
        except Settled:
            continue
        except EC2Error as refusal:
            told = _refused(svc, run, refusal)
            troubles[run.policy_id] = troubles.get(run.policy_id) or told
    return troubles


def _wait_a_little(svc: Services) -> None:
    """What ends soon is settled by this sweep, and not a minute later by the next."""
    with svc.catalog.read() as tx:
        made = runs.in_stage(tx, RunStage.MADE)
    deadline = time.monotonic() + svc.settings.settle_timeout_s
    for run in made:
        jobs = [f"{image_workflow.NAME}:{run.image_id}"]
        if run.image_id is None:
            jobs = [f"{snapshot_workflow.NAME}:{each}" for each in run.snapshot_ids]
        for job_id in jobs:
            svc.jobs.wait(job_id, max(0.0, deadline - time.monotonic()))


def _forget(svc: Services, run: LifecycleRun) -> None:
    with svc.catalog.begin() as tx:
        runs.remove(tx, run)


def _refused(svc: Services, run: LifecycleRun, refusal: EC2Error) -> str:
    """What to tell of it. It is tried again for an hour, unless there is no target any more."""
    told = f"{run.target} at {run.tick:%Y-%m-%dT%H:%MZ}: {refusal.code}: {refusal}"
    _log.warning("%s, schedule '%s', cannot do its work: %s", run.policy_id, run.schedule, told)
    if refusal.code.endswith(".NotFound") or svc.clock.now() > run.planned_at + TRIED_FOR:
        _forget(svc, run)
    return told


def _make(svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun) -> None:
    """Raises EC2Error when it is refused, Settled when it is not wanted any more."""
    if policy.plan.policy_type is PolicyType.IMAGES:
        _make_image(svc, policy, schedule, run)
    else:
        _make_snapshots(svc, policy, schedule, run)


def _make_image(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> None:
    plan = policy.plan
    no_reboot = True if not isinstance(plan, CustomPlan) else plan.no_reboot is not False
    given = _tags(svc, policy, schedule, run)
    place = policy.schedules.index(schedule) + 1
    asked = create_image.Creation(
        instance_id=InstanceId(run.target),
        name=f"{policy.id}_{run.target}_{place}_{run.tick:%Y-%m-%dT%H.%M}",
        description=description(run),
        no_reboot=no_reboot,
        image_tags=given,
        snapshot_tags=given,
    )

    def noting(tx: Transaction, image: Image) -> None:
        fulfil(tx, run, image.id, snapshots_of(image))

    create_image.create_image(
        svc, lifecycle_targets.caller_of(policy, svc.ids.request_id()), asked, noting
    )


def _make_snapshots(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> None:
    def noting(tx: Transaction, snapshot: Snapshot) -> None:
        fulfil(tx, run, None, (snapshot.id,))

    snapshot_actions.create_snapshot(
        svc,
        lifecycle_targets.caller_of(policy, svc.ids.request_id()),
        VolumeId(run.target),
        description(run),
        _tags(svc, policy, schedule, run),
        noting,
    )


def _tags(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> dict[str, str]:
    """Those of the source if they are to be copied, those of the schedule, and DLM's own."""
    copied: Mapping[str, str] = {}
    if schedule.copy_tags:
        with svc.catalog.read() as tx:
            found = tags.of_one(tx, policy.owner, run.target)
        copied = {key: value for key, value in found.items() if not is_reserved(key)}
    return {
        **copied,
        **dict(schedule.tags_to_add),
        **{key: _value(value, run) for key, value in schedule.variable_tags},
        **system_tags(run),
    }


def _value(variable: str, run: LifecycleRun) -> str:
    return run.target if variable == "$(instance-id)" else f"{run.tick:%Y-%m-%dT%H:%M:%SZ}"


def _tell(svc: Services, troubles: Troubles) -> None:
    """A policy whose work was refused is in error and says why, until its work is done again."""
    for policy_id, told in troubles.items():
        with svc.catalog.begin() as tx:
            policy = policies.fetch_any(tx, policy_id)
            if policy is None or policy.state is PolicyState.DISABLED:
                continue
            state = PolicyState.ERROR if told else PolicyState.ENABLED
            policies.save(tx, replace(policy, state=state, status_message=told[:500] or None))
