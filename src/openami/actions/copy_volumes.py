"""CopyVolumes: a volume as it is now becomes another one beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openami.actions.quotas import Quota, check_room
from openami.catalog import idempotency, ingests, tags, volumes
from openami.domain.block_device import EbsDevice, check_volume
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.idempotency import ClientToken
from openami.domain.ids import VolumeId
from openami.domain.volume import Volume, VolumeState
from openami.services import Services
from openami.workflows import copy_volume as workflow

_READABLE = (VolumeState.AVAILABLE, VolumeState.IN_USE)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeCopying:
    """What CopyVolumes is told; `ebs` is what the copy is to be."""

    source_volume_id: VolumeId
    ebs: EbsDevice
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    token: ClientToken | None = None


def copy_volumes(
    svc: Services, caller: Caller, asked: VolumeCopying
) -> tuple[Volume, Mapping[str, str]]:
    """A volume that is creating, in the source's zone. Its moment is within this call."""
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            volume = volumes.fetch_owned(tx, VolumeId(earlier), caller.account, caller.region)
            return volume, tags.of_one(tx, caller.account, volume.id)
        source = volumes.fetch_owned(tx, asked.source_volume_id, caller.account, caller.region)
        if source.state not in _READABLE:
            raise EC2Error.of("IncorrectState", f"Volume '{source.id}' is '{source.state}'.")
        volume = _copy_of(svc, source, asked.ebs)
        check_room(svc, tx, Quota.STORAGE_GIB, volume.owner, volume.region, more=volume.size_gib)
        volumes.add(tx, volume)
        ingests.begin(tx, volume.id, volume.region, volume.created_at, source)
        tags.put(tx, caller.account, caller.region, ("volume", volume.id), asked.tags)
        idempotency.remember(tx, caller, asked.token, volume.id, volume.created_at)
    svc.jobs.wait(workflow.start(svc, volume.id), svc.settings.settle_timeout_s)
    return volume, asked.tags


def _copy_of(svc: Services, source: Volume, ebs: EbsDevice) -> Volume:
    """Raises InvalidParameterValue, and what CreateVolume raises for a type and its figures."""
    size_gib = source.size_gib if ebs.volume_size_gib is None else ebs.volume_size_gib
    if size_gib < source.size_gib:
        raise InvalidParameterValue(
            f"The volume size ({size_gib} GiB) is smaller than that of the volume"
            f" {source.id} ({source.size_gib} GiB)."
        )
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
        region=source.region,
        availability_zone=source.availability_zone,
        owner=source.owner,
        size_gib=size_gib,
        state=VolumeState.CREATING,
        created_at=svc.clock.now(),
        volume_type=volume_type,
        iops=ebs.iops,
        throughput=ebs.throughput,
        source_volume_id=source.id,
    )
