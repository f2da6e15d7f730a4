"""A hypervisor for tests: machines are entries of a dict, and a test says how they behave."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from openami.compute.driver import (
    Disk,
    DiskCopy,
    Machine,
    MachineFailed,
    MachineState,
    Needs,
    OnExit,
    OnReset,
    Port,
)
from openami.domain.ids import InstanceId, VolumeId


@dataclass
class ScriptedHypervisor:
    """`refuses` are instance numbers (ports) that do not start; `deaf` guests ignore ACPI,
    `without_disk` are those that wait for one.

    `log` has every call that changed a machine, as "verb instance-id".
    """

    kind: str = "record"
    capacity: int | None = None
    refuses: set[int] = field(default_factory=set[int])
    deaf: bool = False
    without_disk: set[InstanceId] = field(default_factory=set[InstanceId])
    machines: dict[InstanceId, Machine] = field(default_factory=dict[InstanceId, Machine])
    ports: dict[InstanceId, Port] = field(default_factory=dict[InstanceId, Port])
    up: set[InstanceId] = field(default_factory=set[InstanceId])
    log: list[str] = field(default_factory=list[str])
    console: bytes = b"[    0.000000] Linux\n"
    on_exit: OnExit | None = None

    def capacity_mib(self) -> int | None:
        return self.capacity

    def start(self, machine: Machine) -> None:
        if machine.port.number in self.refuses:
            raise MachineFailed("the host is on fire")
        if machine.instance_id not in self.machines:
            for disk in machine.disks:
                assert disk.overlay.exists(), disk
            self.machines[machine.instance_id] = machine
            self.ports[machine.instance_id] = machine.port
            self.log.append(f"start {machine.instance_id}")

    def state(self, instance_id: InstanceId) -> MachineState:
        return MachineState.RUNNING if instance_id in self.machines else MachineState.ABSENT

    def power_button(self, instance_id: InstanceId) -> None:
        self.log.append(f"press {instance_id}")
        if not self.deaf:
            self._end(instance_id)

    def wait_absent(self, instance_id: InstanceId, timeout_s: float) -> bool:
        return instance_id not in self.machines

    def kill(self, instance_id: InstanceId) -> None:
        if instance_id in self.machines:
            self.log.append(f"kill {instance_id}")
        self._end(instance_id)

    def reset(self, instance_id: InstanceId) -> None:
        self.log.append(f"reset {instance_id}")

    def forget(self, instance_id: InstanceId) -> None:
        self.log.append(f"forget {instance_id}")
        self._end(instance_id)

    def reset_firmware(self, instance_id: InstanceId) -> None:
        self.log.append(f"reset-firmware {instance_id}")

    def attach(self, instance_id: InstanceId, disk: Disk) -> None:
        self.log.append(f"attach {instance_id}")

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:
        self.log.append(f"detach {instance_id}")
        return True

    def pivot(self, instance_id: InstanceId, volume_id: VolumeId, base: Path) -> None:
        self.log.append(f"pivot {instance_id}")

    def grow(self, instance_id: InstanceId, volume_id: VolumeId, size_bytes: int) -> None:
        self.log.append(f"grow {instance_id}")

    def resume(self, instance_id: InstanceId) -> None:
        self.log.append(f"resume {instance_id}")

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        raise MachineFailed("nothing to copy")

    def update_port(self, port: Port) -> None:
        self.ports[port.instance_id] = port
        self.log.append(f"update {port.instance_id}")

    def reachable(self, instance_id: InstanceId) -> bool:
        return instance_id in self.up

    def stalled(self) -> Mapping[InstanceId, Set[VolumeId]]:
        return {each: frozenset[VolumeId]() for each in self.without_disk}

    def console_output(self, instance_id: InstanceId) -> bytes:
        return self.console if instance_id in self.ports else b""

    def console_screenshot(self, instance_id: InstanceId) -> bytes:
        if instance_id not in self.machines:
            raise MachineFailed("no screen")
        return b"\xff\xd8JPEG"

    def adopt(self, ports: Mapping[InstanceId, Port]) -> set[InstanceId]:
        return set(self.machines) & set(ports)

    def watch(self, on_exit: OnExit, on_reset: OnReset) -> None:
        self.on_exit = on_exit

    def close(self) -> None: ...

    def _end(self, instance_id: InstanceId) -> None:
        self.machines.pop(instance_id, None)
        self.up.discard(instance_id)
