"""Disks that a machine reads from a socket until it is given their file (QEMU alone).

The server of the socket is qemu-nbd.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from openami.compute.driver import (
    Disk,
    DiskCopy,
    ExportsUnknown,
    Machine,
    MachineFailed,
    MachineState,
)
from openami.compute.qemu import stalls
from openami.compute.qemu.driver import QemuDriver
from openami.diskimage.qcow2 import changed_blocks
from openami.domain.block import BLOCK_BYTES
from openami.domain.ids import InstanceId
from openami.settings import Settings
from support.blocks import qemu_io
from support.machines import (
    MIB,
    Heard,
    TapNetwork,
    a_base,
    a_directory,
    a_disk,
    a_machine,
    a_rebooting_sector,
    no_limit,
    ports_of,
)
from support.waiting import until

pytestmark = pytest.mark.boot

PATTERN = bytes(range(256)) * (4 * MIB // 256)


@dataclass
class Host:
    directory: Path
    network: TapNetwork = field(default_factory=TapNetwork)
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def __post_init__(self) -> None:
        self.sockets = self.directory / "blocks" / "sockets"
        self.sockets.mkdir(mode=0o711, parents=True)
        self.sockets.parent.chmod(0o700)
        self.heard = Heard()
        self.driver = self._driver()

    def _driver(self) -> QemuDriver:
        settings = Settings(accelerator="tcg")
        driver = QemuDriver(
            self.directory / "instances", self.network, settings, exports=self.sockets
        )
        driver.watch(self.heard.on_exit, self.heard.on_reset)
        return driver

    def restart(self) -> None:
        self.driver.close()
        self.driver = self._driver()

    def cold_disk(self, base: Path, device: str = "/dev/sdf") -> Disk:
        disk = a_disk(self.directory, base, device)
        return replace(disk, base=None, export=self.sockets / f"{disk.volume_id}.sock")

    def serve(self, base: Path, disk: Disk, number: int) -> None:
        """Offer the base to the user of the machine with that number."""
        assert disk.export is not None
        disk.export.unlink(missing_ok=True)
        home = os.open(self.sockets, os.O_PATH)  # the name of a socket must be short
        name = f"/proc/self/fd/{home}/{disk.export.name}"
        argv = ["qemu-nbd", "-r", "-t", "-f", "raw", "-x", "", "-k", name, base]
        self.servers.append(subprocess.Popen(argv, pass_fds=[home]))
        os.close(home)
        until(disk.export.exists, what="qemu-nbd listens")
        uid = Settings().first_machine_uid + number
        os.chown(disk.export, uid, uid)
        disk.export.chmod(0o600)

    def serve_no_more(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
        self.servers.clear()

    def content(self, instance_id: InstanceId, disk: Disk) -> bytes:
        """What a guest would read from the whole disk, as QEMU itself reads it."""
        monitor = self.driver._machines[instance_id].monitor
        path = self.directory / "content"
        path.write_bytes(bytes(4 * MIB))
        with path.open("r+b") as file:
            number = monitor.give(file.fileno(), "content")
        node = {"driver": "file", "node-name": "content", "filename": f"/dev/fdset/{number}"}
        monitor.ask("blockdev-add", node)
        backup = {"device": f"top-{disk.serial}", "target": "content", "sync": "full"}
        monitor.ask("blockdev-backup", backup | {"job-id": "content", "auto-dismiss": False})
        until(lambda: monitor.ask("query-jobs")[0]["status"] == "concluded")
        (job,) = monitor.ask("query-jobs")
        assert "error" not in job, job
        monitor.ask("job-dismiss", {"id": "content"})
        monitor.ask("blockdev-del", {"node-name": "content"})
        monitor.take_back("content")
        return path.read_bytes()

    def nodes(self, instance_id: InstanceId) -> set[str]:
        running = self.driver._machines[instance_id]
        told = running.monitor.ask("query-named-block-nodes", {"flat": True})
        return {each["node-name"] for each in told}

    def held_descriptors(self, instance_id: InstanceId, path: Path) -> int:
        (pid,) = [
            pid
            for pid in Path("/proc").iterdir()
            if pid.name.isdigit() and _is_machine(pid, instance_id)
        ]
        return sum(each.readlink() == path for each in (pid / "fd").iterdir())


def _is_machine(process: Path, instance_id: InstanceId) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return arguments.startswith(b"qemu-") and instance_id.encode() in arguments


@pytest.fixture
def host() -> Iterator[Host]:
    with a_directory() as directory:
        host = Host(directory)
        try:
            yield host
        finally:
            host.driver.adopt({})
            host.driver.close()
            host.serve_no_more()


def pattern_base(host: Host) -> Path:
    return a_base(host.directory, PATTERN)


def again(host: Host, instance_id: InstanceId) -> int:
    """How often the guest has read its boot sector."""
    return host.driver.console_output(instance_id).count(b"again")


def a_machine_that_reads(host: Host) -> tuple[Machine, Path]:
    """One whose guest boots over and over, from a disk that is served, and its base."""
    base = a_base(host.directory, a_rebooting_sector())
    disk = host.cold_disk(base, "/dev/xvda")
    machine = a_machine(disk)
    host.serve(base, disk, machine.port.number)
    host.driver.start(machine)
    until(lambda: again(host, machine.instance_id) > 1, what="the guest reads")
    return machine, base


def pivot(host: Host, machine: Machine, base: Path) -> None:
    host.driver.pivot(machine.instance_id, machine.disks[0].volume_id, base)


def is_paused(host: Host, machine: Machine) -> bool:
    return host.driver.state(machine.instance_id) is MachineState.PAUSED


def test_a_guest_goes_on_when_its_disk_becomes_a_file(host: Host) -> None:
    machine, base = a_machine_that_reads(host)
    host.serve_no_more()  # at the worst moment
    for _ in range(2):
        pivot(host, machine, base)
    before = again(host, machine.instance_id)
    until(lambda: again(host, machine.instance_id) > before + 1, what="the guest reads the file")
    assert not host.nodes(machine.instance_id) & {f"cold-{machine.disks[0].serial}"}
    assert host.held_descriptors(machine.instance_id, base) > 0


def test_a_guest_waits_for_a_server_that_is_away_and_is_unreachable_meanwhile(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, base = a_machine_that_reads(host)
    host.network.answering.add(machine.instance_id)
    assert host.driver.reachable(machine.instance_id)
    host.serve_no_more()
    until(lambda: is_paused(host, machine), what="the guest is paused")
    assert not host.driver.reachable(machine.instance_id)
    assert host.driver.stalled() == {machine.instance_id: {machine.disks[0].volume_id}}
    told = (host.directory / "instances" / machine.instance_id / "stalled").read_text()
    assert told.startswith(f"{machine.disks[0].volume_id} ")
    before = again(host, machine.instance_id)
    host.serve(base, machine.disks[0], machine.port.number)
    until(lambda: again(host, machine.instance_id) > before + 1, what="the guest reads again")
    monkeypatch.setattr(stalls, "QUIET_S", 0.5)
    until(lambda: host.driver.reachable(machine.instance_id), what="it has run for a while")
    assert host.driver.stalled() == {}


def test_a_socket_of_another_user_s_keeps_a_machine_from_starting(host: Host) -> None:
    base = pattern_base(host)
    disk = host.cold_disk(base)
    machine = a_machine(disk)
    host.serve(base, disk, machine.port.number + 1)
    with pytest.raises(MachineFailed, match="Permission denied"):
        host.driver.start(machine)
    assert host.network.plugged == {}


def test_a_pivot_goes_on_where_a_server_s_end_cut_it_off(host: Host) -> None:
    base = pattern_base(host)
    disk = host.cold_disk(base)
    machine = a_machine(disk)
    host.serve(base, disk, machine.port.number)
    host.driver.start(machine)
    running = host.driver._machines[machine.instance_id]
    with base.open("rb") as file:
        number = running.monitor.give(file.fileno(), f"top-{disk.serial}")
    where = {"driver": "file", "node-name": f"base-file-{disk.serial}", "read-only": True}
    where["filename"] = f"/dev/fdset/{number}"
    node = {"driver": "raw", "node-name": f"base-{disk.serial}", "read-only": True, "file": where}
    running.monitor.ask("blockdev-add", node)
    host.restart()
    host.driver.adopt(ports_of(machine))
    host.driver.pivot(machine.instance_id, disk.volume_id, base)
    host.serve_no_more()
    assert host.content(machine.instance_id, disk) == PATTERN


def test_a_disk_is_plugged_in_cold_pivoted_and_taken_out_without_a_trace(host: Host) -> None:
    base, machine = pattern_base(host), a_machine(a_disk(host.directory))
    host.driver.start(machine)
    before = host.nodes(machine.instance_id)
    host.restart()  # what the machine was given at its start is found again
    host.driver.adopt(ports_of(machine))
    disk = host.cold_disk(base)
    host.serve(base, disk, machine.port.number)
    for _ in range(2):
        host.driver.attach(machine.instance_id, disk)
    assert host.content(machine.instance_id, disk) == PATTERN
    host.driver.pivot(machine.instance_id, disk.volume_id, base)
    assert host.driver.detach(machine.instance_id, disk.volume_id, force=True)
    # The guest, which hears nothing, keeps its device with nothing behind it.
    assert host.nodes(machine.instance_id) - before == {f"void-{disk.serial}"}
    assert host.held_descriptors(machine.instance_id, base) == 0


def test_a_disk_that_nobody_serves_is_not_plugged_in_and_leaves_nothing(host: Host) -> None:
    base, machine = pattern_base(host), a_machine(a_disk(host.directory))
    host.driver.start(machine)
    before = host.nodes(machine.instance_id)
    disk = host.cold_disk(base)
    with pytest.raises(MachineFailed):
        host.driver.attach(machine.instance_id, disk)
    assert host.nodes(machine.instance_id) == before
    host.serve(base, disk, machine.port.number)
    host.driver.attach(machine.instance_id, disk)
    assert host.driver.detach(machine.instance_id, disk.volume_id, force=True)
    assert host.nodes(machine.instance_id) - before == {f"void-{disk.serial}"}


def test_a_machine_that_was_started_without_a_block_daemon_says_so(host: Host) -> None:
    machine = a_machine(a_disk(host.directory))
    host.sockets.rmdir()
    host.driver.start(machine)
    host.sockets.mkdir()
    with pytest.raises(ExportsUnknown):
        host.driver.attach(machine.instance_id, host.cold_disk(pattern_base(host)))


def test_a_disk_can_be_copied_while_it_is_cold_and_after_its_pivot(host: Host) -> None:
    base = pattern_base(host)
    disk = host.cold_disk(base)
    machine = a_machine(disk)
    qemu_io(disk.overlay, ["write -P 7 4096 4096"])
    host.serve(base, disk, machine.port.number)
    host.driver.start(machine)
    target = host.directory / "copy"
    for _ in range(2):
        host.driver.copy_disks(
            machine.instance_id, {disk.volume_id: DiskCopy(target=target)}, no_limit
        )
        [(index, block)] = changed_blocks(target, 4 * MIB, lambda _: PATTERN[:BLOCK_BYTES])
        assert index == 0
        assert (block[4095:4097], block[8191:8193]) == (b"\xff\x07", b"\x07\x00")
        host.driver.pivot(machine.instance_id, disk.volume_id, base)
