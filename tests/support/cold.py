"""A host where machines start before their disks are there, without machines and without bytes.

What each disk of each machine reads is remembered: a file, or a socket of the block daemon.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from openami.blockstore.cache import BaseCache
from openami.blockstore.volumes import VolumeHost
from openami.compute.driver import Disk, ExportsUnknown, Machine
from openami.compute.record.driver import RecordDriver
from openami.domain.ids import InstanceId, Region, VolumeId
from openami.domain.manifest import Root
from openami.nbd.client import Export
from openami.services import Services
from openami.workflows import cold_disks
from support.asking import put
from support.block_daemon import FakeBlockDaemon
from support.builders import a_snapshot, an_image
from support.crash import Fuse, FusedCatalog
from support.fakes import services
from support.stored import ROOT, stored


class ReadingDriver(RecordDriver):
    """Machines outlive this object's user, as they outlive a server; a host's end ends them."""

    def __init__(self, directory: Path, moment: Callable[[], None]) -> None:
        super().__init__(directory)
        self._moment = moment
        self.knows_exports = True
        self.reads: dict[VolumeId, Path | None] = {}
        self.of: dict[VolumeId, InstanceId] = {}

    def start(self, machine: Machine) -> None:
        self._moment()
        super().start(machine)
        for disk in machine.disks:
            self._plugged(machine.instance_id, disk)
        self._moment()

    def attach(self, instance_id: InstanceId, disk: Disk) -> None:
        if disk.export is not None and not self.knows_exports:
            raise ExportsUnknown(f"{instance_id} was started long ago")
        self._moment()
        super().attach(instance_id, disk)
        self._plugged(instance_id, disk)
        self._moment()

    def pivot(self, instance_id: InstanceId, volume_id: VolumeId, base: Path) -> None:
        self._moment()
        if self.of.get(volume_id) == instance_id:
            self.reads[volume_id] = base
        self._moment()

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:
        self.reads.pop(volume_id, None)
        self.of.pop(volume_id, None)
        return super().detach(instance_id, volume_id, force)

    def kill(self, instance_id: InstanceId) -> None:
        self._moment()
        super().kill(instance_id)
        for volume_id in [each for each, its in self.of.items() if its == instance_id]:
            del self.of[volume_id], self.reads[volume_id]
        self._moment()

    def power_button(self, instance_id: InstanceId) -> None:
        """It shuts down at once; what follows is as if it had been killed."""
        self.kill(instance_id)

    def _plugged(self, instance_id: InstanceId, disk: Disk) -> None:
        if disk.volume_id is not None and disk.volume_id not in self.of:
            self.of[disk.volume_id] = instance_id
            self.reads[disk.volume_id] = disk.export or disk.base


class FusedBlockDaemon(FakeBlockDaemon):
    moment: Callable[[], None] = staticmethod(lambda: None)
    opened = 0

    def open_export(
        self, export_id: str, region: Region, root: Root, uid: int, profile: Sequence[int] = ()
    ) -> Path:
        self.moment()
        path = super().open_export(export_id, region, root, uid, profile)
        self.opened += 1
        self.moment()
        return path

    def close_export(self, export_id: str) -> None:
        self.moment()
        super().close_export(export_id)
        self.moment()


def cold_services(tmp_path: Path, fuse: Fuse | None = None) -> Services:
    """Services with a block daemon, and an image of one disk that is not on the host."""
    fuse = fuse or Fuse()
    driver = ReadingDriver(tmp_path / "instances", fuse.moment)

    def colder(svc: Services) -> Services:
        cache = BaseCache(tmp_path / "cache")
        host = VolumeHost(tmp_path / "volumes", cache, svc.stores, over_absent_bases=True)
        blocks = FusedBlockDaemon(tmp_path / "blocks", cache, svc.stores)
        blocks.moment = fuse.moment
        catalog = FusedCatalog(svc.catalog, fuse)
        return replace(svc, catalog=catalog, volumes=host, blocks=blocks)

    svc = services(tmp_path, compute=driver, disturbed=colder)
    put(svc, a_snapshot(root=stored(svc, ROOT)), an_image())
    return svc


def driver_of(svc: Services) -> ReadingDriver:
    assert isinstance(svc.compute, ReadingDriver)
    return svc.compute


def daemon_of(svc: Services) -> FusedBlockDaemon:
    assert isinstance(svc.blocks, FusedBlockDaemon)
    return svc.blocks


def exports(svc: Services) -> dict[str, Export]:
    return dict(daemon_of(svc).exports())


def hydrate(svc: Services) -> None:
    """Every disk that is offered comes to this host."""
    for export in exports(svc).values():
        daemon_of(svc).hydrate(export.region, export.root)


def tend(svc: Services) -> None:
    cold_disks.tend(svc, daemon_of(svc))
