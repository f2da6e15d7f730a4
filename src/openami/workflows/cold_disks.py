"""Disks whose bases are not on this host yet: machines read them from the block daemon until
they are, and then from the file.

The daemon offers each disk on a socket of its own, by the volume's id, from before its machine
may read it until after it no longer does. `tend` ends what is over; it looks at what there is,
so whatever a crash cut off goes on with the next round. Without a daemon, or where it does not
answer, bases are restored first.
"""

import logging
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Final

from openami.catalog import volumes
from openami.catalog.storage import boot_profiles
from openami.compute.driver import Disk, MachineFailed, MachineState, Port
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.volume import Volume
from openami.nbd.client import BlockDaemon, DaemonAway, Export, ExportRefused
from openami.services import Services
from openami.workflows import scratch, tenure

TEND_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)


def disk_of(svc: Services, volume: Volume, port: Port) -> Disk:
    """An attached volume as the machine behind `port` is to have it, at once if that can be.

    The caller holds the locks of instance and volume. Raises VolumeAbsent; where the base has
    to be restored first, also ChunkLost, ChunkCorrupt, StoreFull; StoreAway.
    """
    missing = svc.volumes.absent_base(volume.id)
    if svc.blocks is None or missing is None:
        return restored_disk_of(svc, volume)
    tenure.await_begun(svc, volume.region)  # the daemon would read a store that may be another's
    uid = svc.settings.first_machine_uid + port.number
    try:
        with svc.catalog.read() as tx:
            profile = boot_profiles.find(tx, missing)
        export = svc.blocks.open_export(volume.id, volume.region, missing, uid, profile)
    except (DaemonAway, ExportRefused) as failure:
        _log.warning("%s is restored before it is used: %s", volume.id, failure)
        return restored_disk_of(svc, volume)
    return Disk(
        device_name=_device_name(volume),
        serial=_serial(volume),
        overlay=svc.volumes.overlay(volume.id),
        base=None,
        volume_id=volume.id,
        export=export,
    )


def restored_disk_of(svc: Services, volume: Volume) -> Disk:
    """The same over a base that is a file of this host, made first where it is not here."""
    overlay, base = svc.volumes.paths(volume.id, volume.region)
    return Disk(
        device_name=_device_name(volume),
        serial=_serial(volume),
        overlay=overlay,
        base=base,
        volume_id=volume.id,
    )


def _device_name(volume: Volume) -> str:
    assert volume.attachment is not None
    return volume.attachment.device_name


def _serial(volume: Volume) -> str:
    return volume.id.replace("-", "")


def tend(svc: Services, blocks: BlockDaemon) -> None:
    """Pivot the machines whose bases are here now, and end the exports that nobody reads.

    Whoever is busy with a machine is not waited for: there is a next round. Raises DaemonAway.
    """
    for export_id, export in blocks.exports().items():
        volume_id = VolumeId(export_id)
        try:
            _tend_one(svc, blocks, volume_id, export)
        except (MachineFailed, ExportRefused) as failure:
            _log.warning("%s still reads from the block daemon: %s", volume_id, failure)


def let_go(svc: Services, volume_ids: Iterable[VolumeId]) -> None:
    """End the exports of a machine that is no more, before the next one may have its user.

    A daemon that is away offers nothing; when it is back, `tend` ends them.
    """
    if svc.blocks is None:
        return
    try:
        exports = svc.blocks.exports()
        for volume_id in exports.keys() & set(volume_ids):
            _end(svc, svc.blocks, volume_id, exports[volume_id])
    except (DaemonAway, ExportRefused) as failure:
        _log.warning("what a machine read ends later than it: %s", failure)


def _end(svc: Services, blocks: BlockDaemon, export_id: str, export: Export) -> None:
    """And keep with the image what its machine has read first."""
    profile = blocks.profile(export.root)
    blocks.close_export(export_id)
    with svc.catalog.read() as tx:
        is_news = len(profile) > len(boot_profiles.find(tx, export.root))
    if is_news:
        with svc.catalog.begin() as tx:
            boot_profiles.save(tx, export.root, profile)


def _tend_one(svc: Services, blocks: BlockDaemon, volume_id: VolumeId, export: Export) -> None:
    instance_id = _reader(svc, volume_id)
    # In the order in which everybody locks them. A volume that is nowhere has its own alone.
    needed = (scratch.copying(instance_id), str(instance_id or volume_id), str(volume_id))
    with ExitStack() as held:
        if not all(held.enter_context(svc.locks.if_free(key)) for key in needed):
            return
        if _reader(svc, volume_id) != instance_id:
            return
        if instance_id is not None and svc.compute.state(instance_id) is not MachineState.ABSENT:
            told = blocks.hydration(export.region, export.root)
            if not told.complete:
                return
            svc.compute.pivot(instance_id, volume_id, told.path)
        _end(svc, blocks, volume_id, export)


def _reader(svc: Services, volume_id: VolumeId) -> InstanceId | None:
    """Whose machine may read the volume."""
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, volume_id)
    attachment = None if volume is None else volume.attachment
    return None if attachment is None else attachment.instance_id
