"""Volumes: made blank or of a snapshot, listed, deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from openami.actions.quotas import Quota, check_room
from openami.actions.snapshot.fast_restores import fast_if_wanted
from openami.catalog import idempotency, snapshots, tags, volumes
from openami.catalog.catalog import Transaction
from openami.domain.block_device import EbsDevice, check_volume
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from openami.domain.filter import Filter, Page
from openami.domain.idempotency import ClientToken
from openami.domain.ids import VolumeId
from openami.domain.snapshot import Snapshot
from openami.domain.volume import Volume, VolumeEvent, VolumeState
from openami.domain.zone import checked_zone
from openami.services import Services
from openami.workflows import create_volume as create_workflow
from openami.workflows import delete_volume as delete_workflow
from openami.workflows import recycle_bin as bin_workflow

Tags = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """What CreateVolume is told."""

    availability_zone: str
    ebs: EbsDevice
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    token: ClientToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeStatus:
    """A volume, and whether an error of its disk keeps its machine from running."""

    volume: Volume
    is_stalled: bool

    @property
    def id(self) -> VolumeId:
        return self.volume.id


def create_volume(
    svc: Services, caller: Caller, asked: VolumeRequest
) -> tuple[Volume, Mapping[str, str]]:
    """A volume that is creating; it is available as soon as its disk is there."""
    checked_zone(asked.availability_zone, caller.region)
    with svc.catalog.begin() as tx:
        earlier = made_earlier(tx, caller, asked.token)
        if earlier is not None:
            return earlier
        volume = fast_if_wanted(tx, _new_volume(svc, tx, caller, asked))
        put(svc, tx, caller, volume, asked.tags, asked.token)
    svc.jobs.wait(create_workflow.start(svc, volume.id), svc.settings.settle_timeout_s)
    return volume, asked.tags


def made_earlier(
    tx: Transaction, caller: Caller, token: ClientToken | None
) -> tuple[Volume, Mapping[str, str]] | None:
    """The volume that a call with the token has made, and its tags, as they are now."""
    earlier = idempotency.earlier(tx, caller, token)
    if earlier is None:
        return None
    volume = volumes.fetch_owned(tx, VolumeId(earlier), caller.account, caller.region)
    return volume, tags.of_one(tx, caller.account, volume.id)


def put(
    svc: Services,
    tx: Transaction,
    caller: Caller,
    volume: Volume,
    its_tags: Mapping[str, str],
    token: ClientToken | None,
) -> None:
    """Note a new volume. Raises VolumeLimitExceeded where its account has no room for it."""
    check_room(svc, tx, Quota.STORAGE_GIB, volume.owner, volume.region, more=volume.size_gib)
    volumes.add(tx, volume)
    tags.put(tx, volume.owner, volume.region, ("volume", volume.id), its_tags)
    idempotency.remember(tx, caller, token, volume.id, volume.created_at)


def _new_volume(svc: Services, tx: Transaction, caller: Caller, asked: VolumeRequest) -> Volume:
    ebs = asked.ebs
    if ebs.encrypted:
        raise UnsupportedOperation("openami does not encrypt volumes yet")
    snapshot = _source(tx, caller, ebs)
    if snapshot is None:
        if ebs.volume_size_gib is None:
            raise MissingParameter("size/snapshot")
        return creating(svc, caller, asked.availability_zone, ebs, ebs.volume_size_gib)
    least_gib = snapshot.volume_size_gib
    size_gib = least_gib if ebs.volume_size_gib is None else ebs.volume_size_gib
    volume = creating(svc, caller, asked.availability_zone, ebs, size_gib)
    check_holds(size_gib, f"snapshot {snapshot.id}", least_gib)
    return replace(volume, snapshot_id=snapshot.id, root=snapshot.root)


def creating(
    svc: Services, caller: Caller, availability_zone: str, ebs: EbsDevice, size_gib: int
) -> Volume:
    """A volume of the type and with the figures of `ebs`.

    Raises InvalidParameterValue and what else `check_volume` raises for figures that the type
    does not have.
    """
    volume_type = ebs.volume_type or "gp2"
    check_volume(
        EbsDevice(
            volume_size_gib=size_gib,
            volume_type=volume_type,
            iops=ebs.iops,
            throughput=ebs.throughput,
        )
    )
    return Volume(
        id=VolumeId(svc.ids.new("vol")),
        region=caller.region,
        availability_zone=availability_zone,
        owner=caller.account,
        size_gib=size_gib,
        state=VolumeState.CREATING,
        created_at=svc.clock.now(),
        volume_type=volume_type,
        iops=ebs.iops,
        throughput=ebs.throughput,
    )


def check_holds(size_gib: int, source: str, source_gib: int) -> None:
    """Raises InvalidParameterValue where a volume is too small for what comes into it."""
    if size_gib < source_gib:
        raise InvalidParameterValue(
            f"The volume size ({size_gib} GiB) is smaller than that of the {source}"
            f" ({source_gib} GiB)."
        )


def _source(tx: Transaction, caller: Caller, ebs: EbsDevice) -> Snapshot | None:
    if ebs.snapshot_id is None:
        return None
    return snapshots.fetch_visible(tx, ebs.snapshot_id, caller.account, caller.region).usable()


def describe_volumes(
    svc: Services,
    caller: Caller,
    volume_ids: Sequence[VolumeId],
    conditions: Sequence[Filter],
    page: Page,
) -> tuple[Sequence[Volume], Tags]:
    """The caller's volumes, by id, and their tags."""
    with svc.catalog.read() as tx:
        found = volumes.describe(tx, caller, volume_ids, conditions, page)
        return found, tags.of_many(tx, caller.account, [volume.id for volume in found])


def describe_volume_status(
    svc: Services,
    caller: Caller,
    volume_ids: Sequence[VolumeId],
    conditions: Sequence[Filter],
    page: Page,
) -> Sequence[VolumeStatus]:
    """The caller's volumes, by id, searched by the names of DescribeVolumeStatus."""
    stalled = {each for its in svc.compute.stalled().values() for each in its}
    with svc.catalog.read() as tx:
        known = volumes.status_filters(stalled)
        found = volumes.describe(tx, caller, volume_ids, conditions, page, known)
    return [VolumeStatus(volume=each, is_stalled=each.id in stalled) for each in found]


def fetch_volume(svc: Services, caller: Caller, volume_id: VolumeId) -> Volume:
    with svc.catalog.read() as tx:
        return volumes.fetch_owned(tx, volume_id, caller.account, caller.region)


def delete_volume(svc: Services, caller: Caller, volume_id: VolumeId) -> None:
    """Its bytes go at once, unless a rule keeps it in the Recycle Bin; snapshots of it stay."""
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
        if volume.attachment is not None:
            raise EC2Error.of(
                "VolumeInUse",
                f"Volume {volume_id} is currently attached to {volume.attachment.instance_id}",
            )
        if bin_workflow.retains_volume(svc, tx, volume):
            return
        volumes.save(tx, volume.after(VolumeEvent.DELETE))
    svc.jobs.wait(delete_workflow.start(svc, volume_id), svc.settings.settle_timeout_s)
