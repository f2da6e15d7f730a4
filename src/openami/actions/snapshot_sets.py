"""CreateSnapshots: all volumes of an instance, or some, at one moment.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshots.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from openami.actions import snapshots as snapshot_actions
from openami.catalog import instances, tags, volumes
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import IncorrectInstanceState, InvalidParameterValue
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.instance import Instance, InstanceState
from openami.domain.snapshot import Snapshot
from openami.domain.volume import Volume, VolumeState
from openami.jobs.engine import wait_for_all
from openami.services import Services
from openami.workflows import create_snapshots as workflow
from openami.workflows import store_copies

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSet:
    """What CreateSnapshots is told."""

    instance_id: InstanceId
    description: str = ""
    exclude_root: bool = False
    excluded: frozenset[VolumeId] = frozenset()
    copies_tags: bool = False
    tags: Tags = field(default_factory=dict[str, str])


Noting = Callable[[Transaction, Sequence[Snapshot]], None]
"""What is to be written down in the transaction that makes the set, or not at all."""


def create_snapshots(
    svc: Services,
    caller: Caller,
    asked: SnapshotSet,
    noting: Noting = lambda _tx, _snapshots: None,
) -> list[tuple[Snapshot, Tags]]:
    """The pending snapshots, the root's first; their one moment is within this call."""
    set_id = svc.ids.new("snapset")
    made: list[tuple[Snapshot, Tags]] = []
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, asked.instance_id, caller.account, caller.region)
        if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
            raise IncorrectInstanceState(instance.id, instance.state, "CreateSnapshots")
        for volume in _chosen(tx, instance, asked):
            its_tags = {**_source_tags(tx, caller, volume, asked), **asked.tags}
            snapshot = snapshot_actions.begin(
                svc, tx, volume, asked.description, its_tags, set_id=set_id
            )
            made.append((snapshot, its_tags))
        noting(tx, [snapshot for snapshot, _ in made])
    halves = [workflow.start(svc, set_id), store_copies.job_id_for(set_id)]
    wait_for_all(svc.jobs, halves, svc.settings.settle_timeout_s)
    return made


def _source_tags(tx: Transaction, caller: Caller, volume: Volume, asked: SnapshotSet) -> Tags:
    return tags.of_one(tx, caller.account, volume.id) if asked.copies_tags else {}


def _chosen(tx: Transaction, instance: Instance, asked: SnapshotSet) -> list[Volume]:
    attached = {
        each.attachment.device_name: each
        for each in volumes.of_instance(tx, instance.id)
        if each.attachment is not None and each.state is VolumeState.IN_USE
    }
    root = attached.pop(instance.root_device_name, None)
    data = list(attached.values())
    if root is not None and root.id in asked.excluded:
        raise InvalidParameterValue(
            f"The volume '{root.id}' is the root volume: use ExcludeBootVolume to leave it out."
        )
    strange = asked.excluded - {each.id for each in data}
    if strange:
        raise InvalidParameterValue(
            f"The volume '{min(strange)}' is not attached to instance '{instance.id}'."
        )
    chosen = [each for each in data if each.id not in asked.excluded]
    if root is not None and not asked.exclude_root:
        chosen.insert(0, root)
    if not chosen:
        raise InvalidParameterValue(f"No volume of instance '{instance.id}' is left to snapshot.")
    return chosen
