"""What openami asks of a hypervisor. tests/contract holds every driver to this.

A driver keeps no records: what should run is in the catalog, what does run is asked of
the host. Every call may be repeated, after a crash too, and then finds its work done.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from openami.domain.ids import InstanceId, VolumeId, VpcId


class MachineState(StrEnum):
    ABSENT = "absent"  # no process; its directory may still be there
    RUNNING = "running"
    PAUSED = "paused"  # stopped by an I/O error of its disk; resumes when the disk is back


class Firmware(StrEnum):
    BIOS = "legacy-bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """One block device of a machine: a qcow2 overlay over an optional read-only base.

    The base is a raw file, or, while that is not on this host, what the block daemon serves on
    the unix socket `export`. A disk has one of the two at most.
    `serial` is what the guest reads back (virtio-blk, at most 20 bytes): the volume id
    without its dash. An instance-store disk has no volume id and the serial `ephemeralN`.
    """

    device_name: str
    serial: str
    overlay: Path
    base: Path | None
    volume_id: VolumeId | None = None
    export: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCopy:
    """How one disk of a running machine is to be copied to a new file at `target`.

    From no later than the moment of the copy the machine notes under the name `mark` which
    blocks change. With `since`, the mark of an earlier copy, only blocks noted under it are
    copied, if the machine has noted them all. It forgets all marks but these and `keep`.
    """

    target: Path
    mark: str | None = None
    since: str | None = None
    keep: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One ingress permission of a security group, already resolved to addresses.

    `protocol` is "tcp", "udp", "icmp" or "-1" (all). `sources` are IPv4 CIDR blocks;
    a rule that names a group is resolved to the /32s of its members by the caller.
    """

    protocol: str
    from_port: int
    to_port: int
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A machine's place in the network: one routed tap, whose name is the guest's identity.

    `number` is unique on the host among the machines that exist: it names the tap and the
    user that the machine's process runs as.
    """

    number: int
    instance_id: InstanceId
    vpc_id: VpcId
    vpc_cidr: str
    subnet_cidr: str
    mac: str
    private_ip: str
    hostname: str
    public_ip: str | None  # a loopback address of the host (127.x.y.z)
    ingress: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything a driver needs to run one instance. The first disk is the one it boots."""

    instance_id: InstanceId
    instance_type: str
    vcpus: int
    memory_mib: int
    firmware: Firmware
    disks: tuple[Disk, ...]
    port: Port


Needs = Callable[[int], None]
"""Told how many bytes are about to be written at most; what it raises ends the work."""

OnExit = Callable[[InstanceId, str], None]
"""Told when a machine's process ends by itself; the text says why ("shutdown", "killed …")."""

OnReset = Callable[[InstanceId], None]
"""Told when the guest rebooted itself or was reset."""


class ComputeDriver(Protocol):
    """Machines of one host, in EC2's terms. `kind` is told with each instance (D17)."""

    kind: str

    def capacity_mib(self) -> int | None:
        """The memory there is for machines, before overcommitment; None if it has no limit."""
        ...

    def start(self, machine: Machine) -> None:
        """Run the machine; it runs when this returns. One that runs already is left alone.

        Raises MachineFailed with a sentence for the operator if it cannot be started;
        nothing of it is left then.
        """
        ...

    def state(self, instance_id: InstanceId) -> MachineState: ...

    def power_button(self, instance_id: InstanceId) -> None:
        """Ask the guest to shut down (ACPI). Returns at once; a machine that is gone is fine."""
        ...

    def wait_absent(self, instance_id: InstanceId, timeout_s: float) -> bool:
        """True as soon as the machine's process is gone, False if it is not within the time."""
        ...

    def kill(self, instance_id: InstanceId) -> None:
        """End the process now; it is gone when this returns."""
        ...

    def reset(self, instance_id: InstanceId) -> None:
        """Reboot as the reset button does."""
        ...

    def forget(self, instance_id: InstanceId) -> None:
        """Kill it if needed and remove everything of the machine but its disks' overlays."""
        ...

    def reset_firmware(self, instance_id: InstanceId) -> None:
        """Forget what the machine's UEFI remembers. Only of a machine that does not run."""
        ...

    def attach(self, instance_id: InstanceId, disk: Disk) -> None:
        """Plug a disk into the running machine. Attached already is fine.

        Raises MachineFailed; the machine may hold the disk even so, until `detach` with
        `force` has said that it does not. ExportsUnknown if it can only be given a base.
        """
        ...

    def pivot(self, instance_id: InstanceId, volume_id: VolumeId, base: Path) -> None:
        """Have a disk of the running machine read `base` in place of the block daemon's export.

        `base` holds the same bytes; the guest notices nothing, and one that waits for the
        daemon goes on. Done already, or a disk that is not attached, is fine. Raises
        MachineFailed.
        """
        ...

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:
        """Ask the guest to let go of a disk; True when it is unplugged and closed.

        False when the guest has not let go within a few seconds (ask again). With `force`
        the disk is taken away whatever the guest says. True as well for a disk that was
        attached in part or not at all. Raises MachineFailed when that cannot be found out.
        """
        ...

    def grow(self, instance_id: InstanceId, volume_id: VolumeId, size_bytes: int) -> None:
        """Make a disk of the running machine larger; its guest sees it at once.

        Raises MachineFailed, also when the machine does not have the disk.
        """
        ...

    def resume(self, instance_id: InstanceId) -> None:
        """Let a machine that waits for its disk try again now. Raises MachineFailed."""
        ...

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        """Write what the running machine's disks hold into new qcow2 files, and tell how much.

        All at one point in time, the moment of the call, while the guest goes on. The files
        name no backing file. Of the volumes that are returned they hold the blocks that
        changed since `since`, of the others the overlay's own clusters. Complete when this
        returns. `needs` is told, before any is taken, how many bytes they take at most; what it
        raises ends the copy. Raises MachineFailed, and OSError when there is no room for them.
        """
        ...

    def update_port(self, port: Port) -> None:
        """Make the machine's firewall and relays what `port` says now."""
        ...

    def reachable(self, instance_id: InstanceId) -> bool:
        """Whether the guest's network stack has answered since this start of the machine."""
        ...

    def stalled(self) -> Mapping[InstanceId, Set[VolumeId]]:
        """The machines that errors of their disks keep from running, and which disks these are,
        as far as that is known. They go on by themselves when the disks do."""
        ...

    def console_output(self, instance_id: InstanceId) -> bytes:
        """The last 64 KiB of the serial console, also of a machine that no longer runs."""
        ...

    def console_screenshot(self, instance_id: InstanceId) -> bytes:
        """What the machine's screen shows now, as JPEG. Raises MachineFailed if it is absent."""
        ...

    def adopt(self, ports: Mapping[InstanceId, Port]) -> set[InstanceId]:
        """After a restart of the server: take up the machines that still run, and tell which.

        `ports` is what the catalog says should run. A machine on the host that is not in
        it is ended and forgotten.
        """
        ...

    def watch(self, on_exit: OnExit, on_reset: OnReset) -> None:
        """Call back, from a thread of the driver's own, for everything that happens from now."""
        ...

    def close(self) -> None:
        """Let go of everything this process holds. Machines go on running."""
        ...


class Network(Protocol):
    """The network of one host, as a driver uses it. All calls may be repeated."""

    def plug(self, port: Port) -> int:
        """Make the VPC's namespace and the port's tap; the descriptor is for the machine.

        Nothing passes until `serve`. The caller closes the descriptor after handing it to the
        machine's process; the tap lives while that lives. Raises MachineFailed.
        """
        ...

    def serve(self, port: Port) -> None:
        """Serve a port that was plugged: firewall, DHCP, DNS, metadata, relays.

        Apart from `plug`, so that it can be done while the machine's process comes up. Raises
        MachineFailed; the caller then unplugs.
        """
        ...

    def adopt(self, port: Port) -> None:
        """Serve a port whose tap is already there, held by a machine that still runs.

        Such a guest has its address already: it is reachable as soon as it answers. Raises
        MachineFailed if there is no such tap.
        """
        ...

    def update(self, port: Port) -> None:
        """Make firewall and relays what `port` says now."""
        ...

    def unplug(self, instance_id: InstanceId) -> None:
        """Stop serving the instance's port and remove its rules; first end its machine.

        The last port of a VPC takes the VPC's namespace along, unless a tap is still in it.
        """
        ...

    def clear(self, port: Port) -> None:
        """Remove what an earlier process left of a port whose machine is gone."""
        ...

    def reachable(self, instance_id: InstanceId) -> bool:
        """Whether the guest behind the port has taken its address and answers."""
        ...

    def restarted(self, instance_id: InstanceId) -> None:
        """The guest was reset: it counts as unreachable until it answers again."""
        ...

    def close(self) -> None:
        """Close every socket of this process. Taps of running machines stay."""
        ...


class MachineFailed(Exception):
    """The host could not do what was asked of a machine; the message is for the operator."""


class ExportsUnknown(MachineFailed):
    """The machine was started without a way to the block daemon: its disks need their bases."""
