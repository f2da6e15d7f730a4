"""What one lifecycle run makes: an image, a snapshot, a set of snapshots, or a copy of one."""

from collections.abc import Mapping, Sequence

from openami.actions import copy_image, copy_snapshot, create_image
from openami.actions import snapshot_sets as set_actions
from openami.actions import snapshots as snapshot_actions
from openami.actions.lifecycle import targets
from openami.actions.lifecycle.objects import (
    copy_rule_of,
    description,
    fulfil,
    snapshots_of,
    system_tags,
)
from openami.catalog import images, snapshots, tags
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import ImageNotFound
from openami.domain.ids import ImageId, InstanceId, SnapshotId, VolumeId
from openami.domain.image import Image, ImageState
from openami.domain.lifecycle_policy import (
    CustomPlan,
    LifecyclePolicy,
    PolicyType,
    Schedule,
    Target,
)
from openami.domain.lifecycle_run import LifecycleRun, is_of_copy
from openami.domain.snapshot import Snapshot
from openami.domain.tag import is_reserved
from openami.services import Services
from openami.workflows import copy_image as image_copy_workflow
from openami.workflows import copy_snapshot as snapshot_copy_workflow
from openami.workflows import create_image as image_workflow
from openami.workflows import create_snapshot as snapshot_workflow
from openami.workflows import create_snapshots as set_workflow
from openami.workflows import store_copies


def make(svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun) -> None:
    """Raises EC2Error when it is refused, Settled when it is not wanted any more."""
    images_ = policy.plan.policy_type is PolicyType.IMAGES
    if is_of_copy(run):
        making = _copy_image if images_ else _copy_snapshot
    elif images_:
        making = _make_image
    else:
        making = _make_snapshot if policy.plan.target is Target.VOLUME else _make_set
    making(svc, policy, schedule, run)


def jobs_of(tx: Transaction, run: LifecycleRun) -> list[str]:
    """The ids of the jobs that end when what was made is whole."""
    copied = is_of_copy(run)
    if run.image_id is not None:
        if copied:
            return [f"{image_copy_workflow.NAME}:{run.image_id}"]
        return _halves(image_workflow.NAME, [run.image_id])
    found = [snapshots.fetch_any(tx, each) for each in run.snapshot_ids]
    sets = {each.set_id for each in found if each is not None and each.set_id is not None}
    if sets:
        return _halves(set_workflow.NAME, sorted(sets))
    if copied:
        return [f"{snapshot_copy_workflow.NAME}:{each}" for each in run.snapshot_ids]
    return _halves(snapshot_workflow.NAME, run.snapshot_ids)


def _halves(first: str, owners: Sequence[str]) -> list[str]:
    """The copies of the volumes, and their way into the store."""
    return [*(f"{first}:{each}" for each in owners), *map(store_copies.job_id_for, owners)]


def _make_image(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> None:
    plan = policy.plan
    given = _tags(svc, policy, schedule, run)
    place = policy.schedules.index(schedule) + 1
    asked = create_image.Creation(
        instance_id=InstanceId(run.target),
        name=f"{policy.id}_{run.target}_{place}_{run.tick:%Y-%m-%dT%H.%M}",
        description=description(run),
        no_reboot=not isinstance(plan, CustomPlan) or plan.no_reboot is not False,
        image_tags=given,
        snapshot_tags=given,
    )

    def noting(tx: Transaction, image: Image) -> None:
        fulfil(tx, run, image.id, snapshots_of(image))

    create_image.create_image(svc, _caller(svc, policy, run), asked, noting)


def _make_snapshot(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> None:
    def noting(tx: Transaction, snapshot: Snapshot) -> None:
        fulfil(tx, run, None, (snapshot.id,))

    snapshot_actions.create_snapshot(
        svc,
        _caller(svc, policy, run),
        VolumeId(run.target),
        description(run),
        _tags(svc, policy, schedule, run),
        noting,
    )


def _make_set(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> None:
    """Each snapshot has the tags of its volume, if tags are copied, and not of the instance."""
    plan = policy.plan
    assert isinstance(plan, CustomPlan)
    with svc.catalog.read() as tx:
        excluded = targets.volumes_left_out(tx, policy, InstanceId(run.target))
    asked = set_actions.SnapshotSet(
        instance_id=InstanceId(run.target),
        description=description(run),
        exclude_root=bool(plan.exclude_boot_volume),
        excluded=excluded,
        copies_tags=schedule.copy_tags,
        tags={**_tags_of_schedule(schedule, run), **system_tags(run)},
    )

    def noting(tx: Transaction, made: Sequence[Snapshot]) -> None:
        fulfil(tx, run, None, tuple(each.id for each in made))

    set_actions.create_snapshots(svc, _caller(svc, policy, run), asked, noting)


def _copy_image(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> None:
    with svc.catalog.read() as tx:
        source = images.fetch_any(tx, ImageId(run.target))
    if source is None or source.state is ImageState.DEREGISTERED:
        raise ImageNotFound(run.target)
    given = _tags_of_copy(svc, policy, schedule, run)
    asked = copy_image.ImageCopying(
        source_region=policy.region,
        source_image_id=source.id,
        name=source.name,
        description=description(run),
        image_tags=given,
        snapshot_tags=given,
    )

    def noting(tx: Transaction, image: Image) -> None:
        fulfil(tx, run, image.id, snapshots_of(image))

    copy_image.copy_image(svc, _caller(svc, policy, run), asked, noting)


def _copy_snapshot(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> None:
    asked = copy_snapshot.SnapshotCopying(
        source_region=policy.region,
        source_snapshot_id=SnapshotId(run.target),
        description=description(run),
        tags=_tags_of_copy(svc, policy, schedule, run),
    )

    def noting(tx: Transaction, snapshot: Snapshot) -> None:
        fulfil(tx, run, None, (snapshot.id,))

    copy_snapshot.copy_snapshot(svc, _caller(svc, policy, run), asked, noting)


def _caller(svc: Services, policy: LifecyclePolicy, run: LifecycleRun) -> Caller:
    return targets.caller_of(policy, svc.ids.request_id(), run.region)


def _tags(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> Mapping[str, str]:
    """Those of the source if they are to be copied, those of the schedule, and DLM's own."""
    copied = _copied(svc, policy, run, schedule.copy_tags)
    return {**copied, **_tags_of_schedule(schedule, run), **system_tags(run)}


def _tags_of_copy(
    svc: Services, policy: LifecyclePolicy, schedule: Schedule, run: LifecycleRun
) -> Mapping[str, str]:
    rule = copy_rule_of(schedule, run)
    copied = _copied(svc, policy, run, rule is not None and rule.copy_tags)
    return {**copied, **system_tags(run)}


def _copied(
    svc: Services, policy: LifecyclePolicy, run: LifecycleRun, wanted: bool
) -> Mapping[str, str]:
    """The tags that the account itself gave the source, if they are to be copied."""
    if not wanted:
        return {}
    with svc.catalog.read() as tx:
        found = tags.of_one(tx, policy.owner, run.target)
    return {key: value for key, value in found.items() if not is_reserved(key)}


def _tags_of_schedule(schedule: Schedule, run: LifecycleRun) -> Mapping[str, str]:
    variable = {key: _value(value, run) for key, value in schedule.variable_tags}
    return {**dict(schedule.tags_to_add), **variable}


def _value(variable: str, run: LifecycleRun) -> str:
    return run.target if variable == "$(instance-id)" else f"{run.tick:%Y-%m-%dT%H:%M:%SZ}"
