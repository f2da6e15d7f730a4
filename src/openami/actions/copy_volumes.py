"""CopyVolumes: a volume as it is now becomes another one beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from openami.actions.volumes import check_holds, creating, made_earlier, put
from openami.catalog import ingests, volumes
from openami.domain.block_device import EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.idempotency import ClientToken
from openami.domain.ids import VolumeId
from openami.domain.volume import Volume, VolumeState
from openami.jobs.engine import wait_for_all
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
        earlier = made_earlier(tx, caller, asked.token)
        if earlier is not None:
            return earlier
        source = volumes.fetch_owned(tx, asked.source_volume_id, caller.account, caller.region)
        if source.state not in _READABLE:
            raise EC2Error.of("IncorrectState", f"Volume '{source.id}' is '{source.state}'.")
        volume = _copy_of(svc, caller, source, asked.ebs)
        put(svc, tx, caller, volume, asked.tags, asked.token)
        ingests.begin(tx, volume.id, volume.region, volume.created_at, source)
    halves = [workflow.start(svc, volume.id), workflow.fill_job_id(volume.id)]
    wait_for_all(svc.jobs, halves, svc.settings.settle_timeout_s)
    return volume, asked.tags


def _copy_of(svc: Services, caller: Caller, source: Volume, ebs: EbsDevice) -> Volume:
    """Raises InvalidParameterValue, and what CreateVolume raises for a type and its figures."""
    size_gib = source.size_gib if ebs.volume_size_gib is None else ebs.volume_size_gib
    check_holds(size_gib, f"volume {source.id}", source.size_gib)
    volume = creating(svc, caller, source.availability_zone, ebs, size_gib)
    return replace(volume, source_volume_id=source.id)
