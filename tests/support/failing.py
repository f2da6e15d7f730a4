"""Hosts on which one thing goes wrong, for tests of what comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from openami.compute.driver import Disk, DiskCopy, Machine, MachineFailed, Needs, Port
from openami.domain.ids import InstanceId, VolumeId
from support.hypervisor import ScriptedHypervisor


def _nothing(_: InstanceId) -> None: ...


@dataclass
class FailingHypervisor(ScriptedHypervisor):
    """`firewall_fails` names machines whose port cannot be changed; the hooks run at their moment.

    `held` are volumes that no detachment gets out of the machine; `starting` runs within a start.
    """

    firewall_fails: set[str] = field(default_factory=set[str])
    held: set[str] = field(default_factory=set[str])
    attach_fails: bool = False
    starting: Callable[[InstanceId], None] = _nothing
    copying: Callable[[InstanceId], None] = _nothing
    pressed: Callable[[InstanceId], None] = _nothing
    waiting: Callable[[InstanceId], None] = _nothing

    def start(self, machine: Machine) -> None:
        self.starting(machine.instance_id)
        super().start(machine)

    def update_port(self, port: Port) -> None:
        if port.instance_id in self.firewall_fails:
            raise MachineFailed("nft took more than 30 s")
        super().update_port(port)

    def power_button(self, instance_id: InstanceId) -> None:
        self.pressed(instance_id)
        super().power_button(instance_id)

    def wait_absent(self, instance_id: InstanceId, timeout_s: float) -> bool:
        self.waiting(instance_id)
        return super().wait_absent(instance_id, timeout_s)

    def attach(self, instance_id: InstanceId, disk: Disk) -> None:
        super().attach(instance_id, disk)
        if self.attach_fails:
            raise MachineFailed(f"{disk.overlay} is not to be had")

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:
        super().detach(instance_id, volume_id, force)
        if force and volume_id in self.held:
            raise MachineFailed("QEMU does not answer")
        return volume_id not in self.held

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        self.copying(instance_id)
        for wanted in copies.values():
            wanted.target.write_bytes(b"a copy")
        return frozenset()
