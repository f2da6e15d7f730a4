"""Drivers for the moments in which a guest or a host does not do what it is asked."""

from openami.compute.driver import Machine, MachineFailed
from openami.compute.record.driver import RecordDriver
from openami.domain.ids import InstanceId, VolumeId


class StubbornDriver(RecordDriver):
    """Its guests never let go of a disk by themselves."""

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:
        return super().detach(instance_id, volume_id, force) if force else False


class BrokenHost(RecordDriver):
    """Starts machines until it is broken, and none after that."""

    broken = False

    def start(self, machine: Machine) -> None:
        if self.broken:
            raise MachineFailed("the host is out of memory")
        super().start(machine)
