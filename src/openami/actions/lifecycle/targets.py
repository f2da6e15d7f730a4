"""What a lifecycle policy is for at this moment: instances or volumes, by tag or by their age.

https://docs.aws.amazon.com/ebs/latest/userguide/snapshot-ami-policy.html
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from openami.catalog import images, instances, snapshots, tags, volumes
from openami.catalog.catalog import Transaction
from openami.domain.allowed_images import AllowedImagesSettings
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.ids import InstanceId, Region, VolumeId
from openami.domain.image import ImageState
from openami.domain.instance import InstanceState
from openami.domain.lifecycle_policy import (
    CustomPlan,
    DefaultPlan,
    Exclusions,
    LifecyclePolicy,
    Pairs,
    Target,
)
from openami.domain.lifecycle_run import SET_BACK_MAX
from openami.domain.snapshot import SnapshotState
from openami.domain.volume import Volume, VolumeState

ALL: Final = Page()
TOLERANCE: Final = timedelta(hours=1)
"""A backup is made some time after it was due: the next one is due as if it had not been."""

_GONE: Final = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)
_THERE: Final = (VolumeState.AVAILABLE, VolumeState.IN_USE)


def caller_of(policy: LifecyclePolicy, request_id: str, region: Region | None = None) -> Caller:
    """A policy acts as its account, in its own region or in that of a copy."""
    return Caller(account=policy.owner, region=region or policy.region, request_id=request_id)


def of(tx: Transaction, policy: LifecyclePolicy) -> list[str]:
    """The ids of all that the policy is for."""
    caller, plan = caller_of(policy, ""), policy.plan
    if isinstance(plan, DefaultPlan):
        return _of_default(tx, caller, plan.target, plan.exclusions)
    return sorted(
        {
            each
            for key, value in plan.target_tags
            for each in _there(tx, caller, plan.target, (_by_tag(key, value),))
        }
    )


def there(tx: Transaction, policy: LifecyclePolicy) -> list[str]:
    """The ids of all of the policy's kind that there are, whether it is for them or not."""
    return _there(tx, caller_of(policy, ""), policy.plan.target, ())


def of_run(tx: Transaction, policy: LifecyclePolicy, tick: datetime) -> list[str]:
    """Those that get a backup now: with a default policy, those that have no recent one."""
    found, plan = of(tx, policy), policy.plan
    if isinstance(plan, CustomPlan):
        if plan.makes_sets:
            found = [each for each in found if _has_volumes(tx, policy, InstanceId(each))]
        return found
    before = tick - timedelta(days=plan.create_days) + TOLERANCE
    newest = _newest(tx, caller_of(policy, ""), plan.target, tick)
    return [each for each in found if each not in newest or newest[each] <= before]


def _by_tag(key: str, value: str) -> Filter:
    """Exactly this value: what EC2's filters take for wildcards is meant literally."""
    return Filter(name=f"tag:{key}", values=(re.sub(r"([*?\\])", r"\\\1", value),))


def volumes_left_out(
    tx: Transaction, policy: LifecyclePolicy, instance_id: InstanceId
) -> frozenset[VolumeId]:
    """The instance's data volumes that the policy's snapshots of instances leave out."""
    plan = policy.plan
    assert isinstance(plan, CustomPlan)
    held = volumes.of_instance(tx, instance_id)
    tagged = tags.of_many(tx, policy.owner, [each.id for each in held])
    return frozenset(
        each.id
        for each in held
        if _has_one(tagged.get(each.id, {}), plan.exclude_data_volume_tags or ())
        and not is_boot_volume(tx, each)
    )


def _has_volumes(tx: Transaction, policy: LifecyclePolicy, instance_id: InstanceId) -> bool:
    """Whether anything of the instance is left for a set of snapshots."""
    plan = policy.plan
    assert isinstance(plan, CustomPlan)
    out = volumes_left_out(tx, policy, instance_id)
    return any(
        each.id not in out and not (plan.exclude_boot_volume and is_boot_volume(tx, each))
        for each in volumes.of_instance(tx, instance_id)
    )


def _there(
    tx: Transaction, caller: Caller, target: Target, conditions: tuple[Filter, ...]
) -> list[str]:
    if target is Target.INSTANCE:
        found = instances.describe(tx, caller, (), conditions, ALL)
        return [each.id for each in found if each.state not in _GONE]
    return [each.id for each in _volumes(tx, caller, conditions)]


def _volumes(tx: Transaction, caller: Caller, conditions: tuple[Filter, ...]) -> list[Volume]:
    found = volumes.describe(tx, caller, (), conditions, ALL)
    return [each for each in found if each.state in _THERE]


def _of_default(
    tx: Transaction, caller: Caller, target: Target, left_out: Exclusions | None
) -> list[str]:
    found = _there(tx, caller, target, ())
    if left_out is None:
        return found
    if target is Target.VOLUME:
        found = [each.id for each in _volumes(tx, caller, ()) if not _is_out(tx, each, left_out)]
    tagged = tags.of_many(tx, caller.account, found)
    return [each for each in found if not _has_one(tagged.get(each, {}), left_out.tags)]


def _is_out(tx: Transaction, volume: Volume, left_out: Exclusions) -> bool:
    if volume.volume_type in left_out.volume_types:
        return True
    return bool(left_out.boot_volumes) and is_boot_volume(tx, volume)


def is_boot_volume(tx: Transaction, volume: Volume) -> bool:
    """Whether it is attached as the root device of an instance."""
    if volume.attachment is None:
        return False
    instance = instances.fetch_any(tx, volume.attachment.instance_id)
    return instance is not None and instance.root_device_name == volume.attachment.device_name


def _has_one(tags_of: Mapping[str, str], pairs: Pairs) -> bool:
    return any(tags_of.get(key) == value for key, value in pairs)


def _newest(tx: Transaction, caller: Caller, target: Target, now: datetime) -> dict[str, datetime]:
    """Instance or volume → when its newest backup was begun, whoever made that.

    One of a time that is still to come was made while the clock ran ahead: it may be very old.
    """
    until = now + SET_BACK_MAX
    if target is Target.VOLUME:
        taken = snapshots.describe(tx, caller, snapshots.Scope(owners=(caller.account,)), (), ALL)
        return _latest(
            (each.volume_id, each.started_at)
            for each in taken
            if each.state is not SnapshotState.ERROR and each.started_at <= until
        )
    scope = images.Scope(owners=(caller.account,), include_disabled=True)
    made = images.describe(tx, caller, scope, (), ALL, now, AllowedImagesSettings())
    return _latest(
        (each.source_instance_id, each.created_at)
        for each in made
        if each.source_instance_id is not None
        and each.state is not ImageState.FAILED
        and each.created_at <= until
    )


def _latest(moments: Iterable[tuple[str, datetime]]) -> dict[str, datetime]:
    newest: dict[str, datetime] = {}
    for name, moment in moments:
        newest[name] = max(moment, newest.get(name, moment))
    return newest
