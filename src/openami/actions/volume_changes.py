"""What of a volume may be changed: its size, type and speed, and whether it does I/O."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from openami.actions.quotas import Quota, check_room
from openami.catalog import volume_modifications, volumes
from openami.catalog.catalog import Transaction
from openami.compute.driver import MachineState
from openami.domain.block_device import EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, MissingParameter, UnsupportedOperation
from openami.domain.filter import Filter, Page
from openami.domain.ids import VolumeId
from openami.domain.volume import AttachmentState, Volume, VolumeState
from openami.domain.volume_modification import (
    ModificationState,
    Shape,
    VolumeModification,
    target_of,
)
from openami.services import Services
from openami.workflows import modify_volume as workflow

_DAY: Final = timedelta(hours=24)


def modify_volume(
    svc: Services, caller: Caller, volume_id: VolumeId, change: EbsDevice
) -> VolumeModification:
    """A modification that is modifying. A disk in use grows under its guest."""
    if change == EbsDevice():
        raise MissingParameter("size, volumeType, iops or throughput")
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
        _check_modifiable(svc, tx, volume)
        original, target = Shape.of(volume), target_of(volume, change)
        more_gib = target.size_gib - original.size_gib
        if more_gib:
            check_room(svc, tx, Quota.STORAGE_GIB, caller.account, caller.region, more=more_gib)
        modification = VolumeModification(
            id=svc.ids.new("volmod"),
            volume_id=volume.id,
            region=volume.region,
            owner=volume.owner,
            state=ModificationState.MODIFYING,
            started_at=svc.clock.now(),
            latest=True,
            original_size_gib=original.size_gib,
            original_volume_type=original.volume_type,
            original_iops=original.iops,
            original_throughput=original.throughput,
            target_size_gib=target.size_gib,
            target_volume_type=target.volume_type,
            target_iops=target.iops,
            target_throughput=target.throughput,
        )
        volume_modifications.add(tx, modification)
    svc.jobs.wait(workflow.start(svc, modification), svc.settings.settle_timeout_s)
    return modification


def _check_modifiable(svc: Services, tx: Transaction, volume: Volume) -> None:
    """https://docs.aws.amazon.com/ebs/latest/userguide/modify-volume-requirements.html"""
    its = volume.attachment
    settled = its is None or its.state is AttachmentState.ATTACHED
    if volume.state not in (VolumeState.AVAILABLE, VolumeState.IN_USE) or not settled:
        raise EC2Error.of(
            "IncorrectState", f"Volume '{volume.id}' is neither 'available' nor 'in-use'."
        )
    unfinished = volume_modifications.unfinished_of(tx, volume.id)
    if unfinished is not None:
        raise EC2Error.of(
            "IncorrectModificationState",
            f"Volume '{volume.id}' is currently being modified: it is '{unfinished.state}'.",
        )
    most = svc.settings.volume_modifications_per_day
    since = svc.clock.now() - _DAY
    if most and volume_modifications.count_since(tx, volume.id, since) >= most:
        raise EC2Error.of(
            "VolumeModificationRateExceeded",
            f"You've reached the maximum modification rate per volume limit: {most} in 24 hours.",
        )


def describe_volumes_modifications(
    svc: Services,
    caller: Caller,
    volume_ids: Sequence[VolumeId],
    conditions: Sequence[Filter],
    page: Page,
) -> Sequence[VolumeModification]:
    """The newest modification of each volume, by volume id. Raises VolumeNotFound first."""
    with svc.catalog.read() as tx:
        if volume_ids:
            volumes.describe(tx, caller, volume_ids, (), Page())
        return volume_modifications.describe(tx, caller, volume_ids, conditions, page)


def enable_volume_io(svc: Services, caller: Caller, volume_id: VolumeId) -> None:
    """A machine that waits because a disk failed tries again now."""
    with svc.catalog.begin() as tx:
        volume = volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
    its = volume.attachment
    if its is not None and svc.compute.state(its.instance_id) is MachineState.PAUSED:
        svc.compute.resume(its.instance_id)


def modify_auto_enable_io(
    svc: Services, caller: Caller, volume_id: VolumeId, *, enabled: bool
) -> None:
    """Machines that wait for a disk always try again by themselves."""
    with svc.catalog.begin() as tx:
        volumes.fetch_owned(tx, volume_id, caller.account, caller.region)
        if not enabled:
            raise UnsupportedOperation(
                "openami enables the I/O of a volume by itself as soon as its data can be read"
                " again: AutoEnableIO cannot be false."
            )
