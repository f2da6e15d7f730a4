"""QEMU without a guest: its disks are real, the test writes to them in the guest's place."""

import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from openami.compute.driver import Disk, DiskCopy, Machine, MachineFailed, MachineState, Needs
from openami.compute.qemu import disk_copies, disks
from openami.compute.qemu.command_line import QEMU, node_name, overlay_node
from openami.compute.qemu.disks import open_disk
from openami.compute.qemu.qmp import EventLoop, Monitor
from openami.compute.record.driver import RecordDriver
from openami.domain.ids import InstanceId, VolumeId
from support.waiting import until


class BareQemu:
    """One process with some disks, each also served over NBD, as `top-<serial>`."""

    def __init__(self, *given: Disk) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix="qemu-")  # a short name: unix(7)
        self._qmp, self._nbd = (Path(self._sockets.name) / name for name in ("qmp", "nbd"))
        self._loop = EventLoop()
        arguments = ("-S", "-nodefaults", "-display", "none", "-machine", "none")
        monitor = f"unix:{self._qmp},server=on,wait=off"
        self._process = subprocess.Popen([QEMU, *arguments, "-qmp", monitor])
        self.connect()
        address = {"type": "unix", "data": {"path": str(self._nbd)}}
        self.monitor.ask("nbd-server-start", {"addr": address})
        for disk in given:
            self.plug(disk)

    def connect(self) -> None:
        """As a server that has just started does."""
        connection = socket.socket(socket.AF_UNIX)
        until(lambda: self._answers(connection))
        self.monitor = Monitor(self._loop, "bare", lambda _name, _data: None)
        self.monitor.connect(connection)

    def _answers(self, connection: socket.socket) -> bool:
        try:
            connection.connect(str(self._qmp))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def plug(self, disk: Disk) -> None:
        top = node_name(disk.serial)
        with ExitStack() as opened:
            overlay, base = open_disk(disk, opened)
            sets = [
                None if each is None else self.monitor.give(each, top) for each in (overlay, base)
            ]
        assert sets[0] is not None
        self.monitor.ask("blockdev-add", overlay_node(disk, sets[0], sets[1]))
        self._serve(top)

    def _serve(self, top: str) -> None:
        export = {"type": "nbd", "id": top, "node-name": top, "writable": True}
        self.monitor.ask("block-export-add", export)

    def grow(self, disk: Disk, size_bytes: int) -> None:
        """NBD's clients could not be told."""
        top = node_name(disk.serial)
        self.monitor.ask("block-export-del", {"id": top, "mode": "hard"})
        until(lambda: top not in {one["id"] for one in self.monitor.ask("query-block-exports")})
        assert disk.volume_id is not None
        disks.grow(self.monitor, disk.volume_id, size_bytes)
        self._serve(top)

    def write(self, disk: Disk, *commands: str) -> None:
        script = [word for command in commands for word in ("-c", command)]
        where = f"nbd+unix:///{node_name(disk.serial)}?socket={self._nbd}"
        done = subprocess.run(
            ["qemu-io", "-f", "raw", *script, where], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed" not in done.stdout + done.stderr, done.stdout + done.stderr

    def marks(self, disk: Disk) -> set[str]:
        told = self.monitor.ask("query-named-block-nodes", {"flat": True})
        (node,) = [one for one in told if one["node-name"] == node_name(disk.serial)]
        return {each["name"].removeprefix("since-") for each in node.get("dirty-bitmaps", ())}

    def end(self) -> None:
        """All that was written is on the disks."""
        self.monitor.ask("quit")
        self._process.wait(30)
        self.monitor.close()
        self._loop.close()
        self._sockets.cleanup()


class BareDriver(RecordDriver):
    """Records whose disks are open in a QEMU without a guest while they run."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.machines: dict[InstanceId, BareQemu] = {}
        self.disks: dict[VolumeId, tuple[BareQemu, Disk]] = {}
        self.partial: list[set[VolumeId]] = []
        """Of each copy the volumes of which it was no more than the changes."""

    def start(self, machine: Machine) -> None:
        running = self.state(machine.instance_id) is MachineState.RUNNING
        super().start(machine)
        if not running:
            qemu = self.machines[machine.instance_id] = BareQemu(*machine.disks)
            self.disks |= {disk.volume_id: (qemu, disk) for disk in machine.disks if disk.volume_id}

    def attach(self, instance_id: InstanceId, disk: Disk) -> None:
        super().attach(instance_id, disk)
        if disk.volume_id is not None and disk.volume_id not in self.disks:
            self.machines[instance_id].plug(disk)
            self.disks[disk.volume_id] = (self.machines[instance_id], disk)

    def grow(self, instance_id: InstanceId, volume_id: VolumeId, size_bytes: int) -> None:
        super().grow(instance_id, volume_id, size_bytes)
        qemu, disk = self.disks[volume_id]
        qemu.grow(disk, size_bytes)

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        if instance_id not in self.machines:
            raise MachineFailed(f"{instance_id} does not run")
        partial = disk_copies.copy(self.machines[instance_id].monitor, copies, needs)
        self.partial.append(set(partial))
        return partial

    def write(self, volume_id: str, blocks: Mapping[int, str]) -> None:
        """Fill blocks with a sign each, as the guest would; wherever the volume is."""
        qemu, disk = self.disks[VolumeId(volume_id)]
        qemu.write(disk, *_fills(blocks))

    def marks(self, volume_id: str) -> set[str]:
        qemu, disk = self.disks[VolumeId(volume_id)]
        return qemu.marks(disk)

    def close(self) -> None:
        for instance_id in list(self.machines):
            self._end(instance_id)
        super().close()

    def _stop(self, instance_id: InstanceId) -> None:
        self._end(instance_id)
        super()._stop(instance_id)

    def _end(self, instance_id: InstanceId) -> None:
        qemu = self.machines.pop(instance_id)
        self.disks = {each: at for each, at in self.disks.items() if at[0] is not qemu}
        qemu.end()


def _fills(blocks: Mapping[int, str]) -> Sequence[str]:
    return [f"write -P {ord(sign)} {index * 512}k 512k" for index, sign in blocks.items()]
