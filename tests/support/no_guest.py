"""Drivers for the moments in which a guest or a host does not do what it is asked."""

from collections.abc import Callable, Mapping, Set
from pathlib import Path

from openami.compute.driver import DiskCopy, Machine, MachineFailed, Needs
from openami.compute.record.driver import RecordDriver
from openami.domain.ids import InstanceId, VolumeId


class StubbornDriver(RecordDriver):
    """Its guests never let go of a disk by themselves."""

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:
        return super().detach(instance_id, volume_id, force) if force else False


class StalledDriver(RecordDriver):
    """The machines that `waiting` names wait for disks of theirs."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.waiting: dict[InstanceId, set[VolumeId]] = {}

    def stalled(self) -> Mapping[InstanceId, Set[VolumeId]]:
        return self.waiting


class BrokenHost(RecordDriver):
    """Starts machines until it is broken, and none after that."""

    broken = False

    def start(self, machine: Machine) -> None:
        if self.broken:
            raise MachineFailed("the host is out of memory")
        super().start(machine)


class WatchedDriver(RecordDriver):
    """Tells what was asked of it; `on_press` happens when a guest is asked to shut down."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.presses = 0
        self.copied: list[set[VolumeId]] = []
        self.grown: list[tuple[VolumeId, int]] = []
        self.on_press: Callable[[], object] = lambda: None

    def power_button(self, instance_id: InstanceId) -> None:
        self.presses += 1
        act, self.on_press = self.on_press, lambda: None
        act()
        super().power_button(instance_id)

    def grow(self, instance_id: InstanceId, volume_id: VolumeId, size_bytes: int) -> None:
        self.grown.append((volume_id, size_bytes))
        super().grow(instance_id, volume_id, size_bytes)

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        self.copied.append(set(copies))
        return super().copy_disks(instance_id, copies, needs)
