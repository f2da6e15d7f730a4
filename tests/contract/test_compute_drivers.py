"""What every compute driver must do. The guest is a boot sector that prints and halts."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from openami.compute.driver import ComputeDriver, MachineFailed, MachineState
from openami.compute.qemu.driver import QemuDriver
from openami.compute.record.driver import RecordDriver
from openami.diskimage.qcow2 import changed_blocks, virtual_size_bytes
from openami.domain.ids import InstanceId, VolumeId
from openami.settings import Settings
from support.machines import (
    MIB,
    Heard,
    TapNetwork,
    a_base,
    a_boot_sector,
    a_directory,
    a_disk,
    a_machine,
    copies_to,
    no_limit,
    ports_of,
    qcow2_backing_name_bytes,
)
from support.waiting import until

BLOCK = 512 * 1024


@dataclass
class Host:
    """A host with a driver that can be started anew, as after a restart of the server."""

    directory: Path
    make: Callable[[], ComputeDriver]
    network: TapNetwork
    heard: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.driver = self.make()
        self.driver.watch(self.heard.on_exit, self.heard.on_reset)

    def restart(self) -> None:
        self.driver.close()
        self.heard = Heard()
        self.driver = self.make()
        self.driver.watch(self.heard.on_exit, self.heard.on_reset)

    def base(self) -> Path:
        return a_base(self.directory, a_boot_sector())

    def machine(self, *more):
        return a_machine(a_disk(self.directory, self.base(), "/dev/xvda"), *more)


@pytest.fixture(params=["record", pytest.param("qemu", marks=pytest.mark.boot)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with a_directory() as directory:
        network = TapNetwork()
        settings = Settings(accelerator="tcg")
        makers: dict[str, Callable[[], ComputeDriver]] = {
            "record": lambda: RecordDriver(directory / "instances"),
            "qemu": lambda: QemuDriver(directory / "instances", network, settings),
        }
        host = Host(directory=directory, make=makers[request.param], network=network)
        try:
            yield host
        finally:
            host.driver.adopt({})
            host.driver.close()


def write(overlay: Path, *commands: str) -> None:
    argv = [part for command in commands for part in ("-c", command)]
    subprocess.run(["qemu-io", "-f", "qcow2", *argv, overlay], check=True, capture_output=True)


def content(overlay: Path, base: Path) -> list[tuple[int, bytes]]:
    """Which blocks the overlay decides, and what they hold over its base."""
    raw = base.read_bytes()

    def read_base(index: int) -> bytes:
        return raw[index * BLOCK : (index + 1) * BLOCK].ljust(BLOCK, b"\0")

    return list(changed_blocks(overlay, virtual_size_bytes(overlay), read_base))


def test_a_machine_that_was_never_started_is_absent(host: Host) -> None:
    nobody = InstanceId("i-0123456789abcdef0")
    assert host.driver.state(nobody) is MachineState.ABSENT
    assert host.driver.wait_absent(nobody, 0)
    assert not host.driver.reachable(nobody)
    assert host.driver.console_output(nobody) == b""


def test_a_started_machine_runs_when_start_returns(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    assert host.driver.state(machine.instance_id) is MachineState.RUNNING
    assert not host.driver.wait_absent(machine.instance_id, 0)


def test_starting_a_machine_that_runs_leaves_it_alone(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    host.driver.start(machine)
    assert host.driver.state(machine.instance_id) is MachineState.RUNNING
    assert host.heard.exits == []


def test_a_machine_whose_disk_is_missing_cannot_be_started_and_leaves_nothing(host: Host) -> None:
    disk = replace(a_disk(host.directory), overlay=host.directory / "no-such-file")
    machine = a_machine(disk)
    with pytest.raises(MachineFailed, match="no-such-file"):
        host.driver.start(machine)
    assert host.driver.state(machine.instance_id) is MachineState.ABSENT
    assert host.network.plugged == {}
    assert not (host.directory / "instances" / machine.instance_id).exists()


def test_a_killed_machine_is_gone_and_its_end_is_no_news(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    host.driver.kill(machine.instance_id)
    assert host.driver.state(machine.instance_id) is MachineState.ABSENT
    assert host.driver.wait_absent(machine.instance_id, 0)
    assert host.network.plugged == {}
    host.driver.close()  # after which nothing is on its way any more
    assert host.heard.exits == []
    host.driver = host.make()


def test_a_machine_that_is_gone_can_be_killed_forgotten_and_asked_to_shut_down(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    for _ in range(2):
        host.driver.kill(machine.instance_id)
        host.driver.power_button(machine.instance_id)
    for _ in range(2):
        host.driver.forget(machine.instance_id)


def test_a_killed_machine_starts_again_from_the_same_disks(host: Host) -> None:
    machine = host.machine()
    for _ in range(3):
        host.driver.start(machine)
        assert host.driver.state(machine.instance_id) is MachineState.RUNNING
        host.driver.kill(machine.instance_id)
    assert machine.disks[0].overlay.exists()


def test_the_console_is_still_there_after_the_end_and_gone_when_forgotten(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    until(lambda: host.driver.console_output(machine.instance_id))
    host.driver.kill(machine.instance_id)
    assert host.driver.console_output(machine.instance_id)
    host.driver.forget(machine.instance_id)
    assert host.driver.console_output(machine.instance_id) == b""


def test_forgetting_a_running_machine_ends_it_and_keeps_its_disks(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    host.driver.forget(machine.instance_id)
    assert host.driver.state(machine.instance_id) is MachineState.ABSENT
    assert machine.disks[0].overlay.exists()
    assert [
        p for p in (host.directory / "instances").iterdir() if machine.instance_id in p.name
    ] == []


def test_a_reset_machine_still_runs_and_the_reset_is_told(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    host.driver.reset(machine.instance_id)
    until(lambda: host.heard.resets == [machine.instance_id])
    assert host.driver.state(machine.instance_id) is MachineState.RUNNING


def test_what_needs_a_running_machine_is_refused_without_one(host: Host) -> None:
    machine = host.machine()
    target = {machine.disks[0].volume_id: host.directory / "copy"}
    for refused in (
        lambda: host.driver.reset(machine.instance_id),
        lambda: host.driver.attach(machine.instance_id, machine.disks[0]),
        lambda: host.driver.console_screenshot(machine.instance_id),
        lambda: host.driver.copy_disks(machine.instance_id, copies_to(target), no_limit),
    ):
        with pytest.raises(MachineFailed, match=machine.instance_id):
            refused()
    assert not (host.directory / "copy").exists()


def test_a_disk_can_be_attached_twice_and_copied(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    disk = a_disk(host.directory, size_bytes=3 * MIB)
    host.driver.attach(machine.instance_id, disk)
    host.driver.attach(machine.instance_id, disk)
    target = host.directory / "copy.qcow2"
    host.driver.copy_disks(machine.instance_id, copies_to({disk.volume_id: target}), no_limit)
    assert virtual_size_bytes(target) == 3 * MIB


def test_a_disk_whose_file_is_missing_cannot_be_attached(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    disk = replace(a_disk(host.directory), overlay=host.directory / "no-such-file")
    with pytest.raises(MachineFailed, match="no-such-file"):
        host.driver.attach(machine.instance_id, disk)
    assert host.driver.state(machine.instance_id) is MachineState.RUNNING


def test_detaching_a_disk_by_force_succeeds_and_it_can_go_to_another_machine(host: Host) -> None:
    one, other, disk = host.machine(), host.machine(), a_disk(host.directory)
    host.driver.start(one)
    host.driver.start(other)
    host.driver.attach(one.instance_id, disk)
    assert host.driver.detach(one.instance_id, disk.volume_id, force=True)
    assert host.driver.detach(one.instance_id, disk.volume_id, force=True)
    host.driver.attach(other.instance_id, disk)
    assert host.driver.state(one.instance_id) is MachineState.RUNNING


def test_a_disk_of_a_machine_that_is_gone_is_detached(host: Host) -> None:
    machine = host.machine()
    assert host.driver.detach(machine.instance_id, machine.disks[0].volume_id, force=False)


def test_a_copy_holds_what_the_overlay_decides_and_names_no_backing_file(host: Host) -> None:
    """Data, data that covers part of a block, zeros over data of the base, and a discard."""
    data_base = a_base(host.directory, b"\xaa" * 4 * MIB)
    data = a_disk(host.directory, data_base, "/dev/sdf")
    write(
        data.overlay,
        f"write -P 1 0 {BLOCK}",
        f"write -P 2 {2 * BLOCK + 4096} 8192",
        f"write -z {3 * BLOCK} {BLOCK}",
        f"write -z {5 * BLOCK} 65536",
        f"discard {6 * BLOCK} {BLOCK}",
    )
    machine = host.machine(data)
    host.driver.start(machine)
    target = host.directory / "copy.qcow2"
    host.driver.copy_disks(machine.instance_id, copies_to({data.volume_id: target}), no_limit)
    host.driver.kill(machine.instance_id)

    assert content(target, data_base) == content(data.overlay, data_base)
    assert [index for index, _ in content(target, data_base)] == [0, 2, 3, 5, 6]
    assert qcow2_backing_name_bytes(target) == 0
    assert virtual_size_bytes(target) == 4 * MIB
    assert target.stat().st_uid == 0
    subprocess.run(["qemu-img", "check", "-q", target], check=True)


def test_several_disks_are_copied_at_once_and_a_copy_may_be_made_again(host: Host) -> None:
    base = a_base(host.directory, b"\xaa" * MIB)
    disks = [a_disk(host.directory, base, f"/dev/sd{letter}") for letter in "fgh"]
    for number, disk in enumerate(disks):
        write(disk.overlay, f"write -P {number + 1} 0 {BLOCK}")
    machine = host.machine(*disks)
    host.driver.start(machine)
    targets = {disk.volume_id: host.directory / f"copy-{disk.volume_id}" for disk in disks}
    for _ in range(2):
        host.driver.copy_disks(machine.instance_id, copies_to(targets), no_limit)
    for number, disk in enumerate(disks):
        [(index, block)] = content(targets[disk.volume_id], base)
        assert (index, block) == (0, bytes([number + 1]) * BLOCK)


def test_a_copy_of_a_disk_that_is_not_attached_fails_and_leaves_no_file(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    target = host.directory / "copy.qcow2"
    with pytest.raises(MachineFailed, match="attached"):
        host.driver.copy_disks(
            machine.instance_id, copies_to({VolumeId("vol-0123456789abcdef0"): target}), no_limit
        )
    assert not target.exists()


def test_machines_go_on_when_the_server_ends_and_are_taken_up_again(host: Host) -> None:
    stays, gone, killed = host.machine(), host.machine(), host.machine()
    for machine in (stays, gone, killed):
        host.driver.start(machine)
    host.driver.kill(killed.instance_id)
    host.restart()
    assert host.driver.adopt(ports_of(stays, killed)) == {stays.instance_id}
    assert host.driver.state(stays.instance_id) is MachineState.RUNNING
    for machine in (gone, killed):
        assert host.driver.state(machine.instance_id) is MachineState.ABSENT
    assert host.driver.console_output(gone.instance_id) == b""


def test_an_adopted_machine_obeys_as_before(host: Host) -> None:
    machine, disk = host.machine(), a_disk(host.directory)
    host.driver.start(machine)
    host.driver.attach(machine.instance_id, disk)
    host.restart()
    assert host.driver.adopt(ports_of(machine)) == {machine.instance_id}
    assert host.driver.adopt(ports_of(machine)) == {machine.instance_id}
    host.driver.copy_disks(
        machine.instance_id, copies_to({disk.volume_id: host.directory / "copy"}), no_limit
    )
    assert host.driver.detach(machine.instance_id, disk.volume_id, force=True)
    host.driver.reset(machine.instance_id)
    until(lambda: host.heard.resets == [machine.instance_id])
    host.driver.kill(machine.instance_id)
    assert host.driver.wait_absent(machine.instance_id, 0)


def test_a_driver_says_its_kind(host: Host) -> None:
    assert host.driver.kind in ("qemu", "record")


def test_it_may_be_closed_twice(host: Host) -> None:
    host.driver.close()
    host.driver.close()
    host.driver = host.make()


def test_the_port_of_a_machine_can_be_changed_while_it_runs(host: Host) -> None:
    machine = host.machine()
    host.driver.start(machine)
    changed = replace(machine.port, public_ip="127.100.0.9")
    host.driver.update_port(changed)
    assert host.network.updates == ([changed] if host.driver.kind == "qemu" else [])
