"""What lifecycle policies do when their time has come. `sweep` is called at start and each minute.

An intent is written first, per target and planned moment; it is fulfilled in the transaction
that makes the object. So a run makes at most one, wherever the process ends.
"""

import logging
from dataclasses import replace
from datetime import datetime

from openami.actions.lifecycle import (
    archiving,
    duties,
    making,
    retention,
    settling,
    targets,
)
from openami.actions.lifecycle.objects import Settled, Troubles, wanted_by
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.domain.errors import EC2Error
from openami.domain.lifecycle_policy import LifecyclePolicy, Period, PolicyState
from openami.domain.lifecycle_run import (
    COPY_TRIED_FOR,
    TRIED_FOR,
    LifecycleRun,
    RunStage,
    is_of_copy,
)
from openami.domain.lifecycle_schedule import due, rewound
from openami.jobs.engine import wait_for_all
from openami.services import Services

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
    troubles |= settling.settle_all(hasty)
    _tell(svc, troubles)
    duties.sweep(hasty)
    retention.sweep(svc)
    archiving.sweep(hasty)


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
            for target in targets.of_run(tx, current, each.tick):
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
                            expires_at=_after(each.schedule.retain.age, now),
                            deprecates_at=_after(
                                each.schedule.deprecate and each.schedule.deprecate.age, now
                            ),
                        )
                    ],
                )
        settled = {**current.ran_through, **{each.schedule.name: each.tick for each in found}}
        policies.save(tx, replace(current, ran_through=settled))


def _after(age: Period | None, now: datetime) -> datetime | None:
    """An age counts from when something is made, be it late or not."""
    return None if age is None else age.after(now)


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
            making.make(svc, *wanted, run)
            troubles.setdefault(run.policy_id, "")
        except Settled:
            continue
        except EC2Error as refusal:
            told = _refused(svc, run, refusal)
            if told:
                troubles[run.policy_id] = troubles.get(run.policy_id) or told
    return troubles


def _wait_a_little(svc: Services) -> None:
    """What ends soon is settled by this sweep, and not a minute later by the next."""
    with svc.catalog.read() as tx:
        made = runs.in_stage(tx, RunStage.MADE)
        waited = [job_id for run in made for job_id in making.jobs_of(tx, run)]
    wait_for_all(svc.jobs, waited, svc.settings.settle_timeout_s)


def _forget(svc: Services, run: LifecycleRun) -> None:
    with svc.catalog.begin() as tx:
        current = runs.fetch(tx, run)
        if current is not None and current.stage is RunStage.DUE:
            runs.remove(tx, run)


def _refused(svc: Services, run: LifecycleRun, refusal: EC2Error) -> str:
    """What to tell of it: it is tried again for a while. That its target is gone is no trouble."""
    told = f"{run.target} at {run.tick:%Y-%m-%dT%H:%MZ}: {refusal.code}: {refusal}"
    _log.warning("%s, schedule '%s', cannot do its work: %s", run.policy_id, run.schedule, told)
    gone = refusal.code.endswith(".NotFound")
    tried_for = COPY_TRIED_FOR if is_of_copy(run) else TRIED_FOR
    if gone or svc.clock.now() > run.planned_at + tried_for:
        _forget(svc, run)
    return "" if gone else told


def _tell(svc: Services, troubles: Troubles) -> None:
    """A policy whose work was refused is in error and says why, until its work is done again."""
    for policy_id, told in troubles.items():
        with svc.catalog.begin() as tx:
            policy = policies.fetch_any(tx, policy_id)
            if policy is None or policy.state is PolicyState.DISABLED:
                continue
            state = PolicyState.ERROR if told else PolicyState.ENABLED
            policies.save(tx, replace(policy, state=state, status_message=told[:500] or None))
