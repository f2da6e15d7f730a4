"""What is done later to what lifecycle policies made: it is deprecated, or lent no longer."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from openami.actions import image_retirement, snapshot_attributes
from openami.actions.lifecycle import targets
from openami.actions.snapshot import fast_restores
from openami.catalog import images
from openami.catalog import lifecycle_policies as policies
from openami.catalog import lifecycle_runs as runs
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.lifecycle_policy import LifecyclePolicy
from openami.domain.lifecycle_run import LifecycleRun
from openami.services import Services

AT_ONCE: Final = timedelta(minutes=1)
"""EC2 deprecates at no moment that is past when it looks at it."""

_log = logging.getLogger(__name__)


def sweep(svc: Services) -> None:
    """Each duty is done first and noted then: after a crash it is done again, to no effect."""
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        known = {policy.id: policy for policy in policies.everyone(tx)}
        deprecated = runs.to_deprecate(tx, now)
        unshared = runs.to_unshare(tx, now)
        slowed_down = runs.to_slow_down(tx, now)
    for run in deprecated:
        policy = known.get(run.policy_id)
        if policy is not None and policy.runs:
            _try(svc, policy, run, _deprecate)
            _note(svc, run, lambda current: replace(current, deprecated=True))
    for run in unshared:
        policy = known.get(run.policy_id)
        if policy is not None:
            _try(svc, policy, run, _unshare)
            _note(svc, run, lambda current: replace(current, unshares_at=None, shared_with=()))
    for run in slowed_down:
        policy = known.get(run.policy_id)
        if policy is not None:
            _try(svc, policy, run, _slow_down)
            _note(svc, run, lambda current: replace(current, fast_until=None, fast_zones=()))


def _try(
    svc: Services,
    policy: LifecyclePolicy,
    run: LifecycleRun,
    duty: Callable[[Services, Caller, LifecycleRun], None],
) -> None:
    """Refused is what is gone, or was changed by its owner so that it is in no need of it."""
    caller = targets.caller_of(policy, svc.ids.request_id(), run.region)
    try:
        duty(svc, caller, run)
    except EC2Error as refusal:
        _log.warning("%s has no more to do for %s: %s", policy.id, run.target, refusal)


def _deprecate(svc: Services, caller: Caller, run: LifecycleRun) -> None:
    """What its owner has deprecated already stays as it is."""
    assert run.image_id is not None
    with svc.catalog.read() as tx:
        image = images.fetch_owned(tx, run.image_id, caller.account, caller.region)
    if image.deprecated_at is None:
        soon = svc.clock.now() + AT_ONCE
        image_retirement.enable_image_deprecation(svc, caller, run.image_id, soon)


def _unshare(svc: Services, caller: Caller, run: LifecycleRun) -> None:
    taken = snapshot_attributes.VolumePermissions(accounts=frozenset(run.shared_with))
    for snapshot_id in run.snapshot_ids:
        snapshot_attributes.remove_volume_permission(svc, caller, snapshot_id, taken)


def _slow_down(svc: Services, caller: Caller, run: LifecycleRun) -> None:
    fast_restores.disable_fast_snapshot_restores(svc, caller, run.snapshot_ids, run.fast_zones)


def _note(svc: Services, run: LifecycleRun, done: Callable[[LifecycleRun], LifecycleRun]) -> None:
    with svc.catalog.begin() as tx:
        current = runs.fetch(tx, run)
        if current is not None:
            runs.save(tx, done(current))
