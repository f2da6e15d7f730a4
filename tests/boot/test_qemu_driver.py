"""Real machines under QEMU: what their guests see, and what becomes of them when things end."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from openami.compute.driver import (
    ComputeDriver,
    DiskCopy,
    Firmware,
    Machine,
    MachineFailed,
    MachineState,
)
from openami.compute.qemu import driver
from openami.compute.qemu.driver import QemuDriver
from openami.compute.qemu.process import Process
from openami.diskimage.qcow2 import changed_blocks, virtual_size_bytes
from openami.domain.ids import InstanceId
from openami.settings import Settings
from support.disks import tiny_disk
from support.machines import (
    MIB,
    Heard,
    TapNetwork,
    a_base,
    a_boot_sector,
    a_chattering_sector,
    a_counting_sector,
    a_directory,
    a_disk,
    a_machine,
    a_rebooting_sector,
    copies_to,
    no_limit,
    ports_of,
    the_newest_number,
)
from support.waiting import until

pytestmark = pytest.mark.boot


class Host:
    def __init__(self, directory: Path) -> None:
        self.directory, self.network = directory, TapNetwork()
        self.start_server()

    def start_server(self) -> None:
        self.heard = Heard()
        self.driver: ComputeDriver = QemuDriver(
            self.directory / "instances", self.network, Settings(accelerator="tcg")
        )
        self.driver.watch(self.heard.on_exit, self.heard.on_reset)

    def runs(self, sector: bytes, *more, size_bytes: int = 8 * MIB) -> Machine:
        base = a_base(self.directory, sector, size_bytes)
        machine = a_machine(a_disk(self.directory, base), *more)
        self.driver.start(machine)
        return machine

    def file(self, machine: Machine, name: str) -> Path:
        return self.directory / "instances" / machine.instance_id / name

    def pid(self, machine: Machine) -> int:
        process = Process.load(self.file(machine, "process.json"))
        assert process is not None
        return process.pid

    def says(self, machine: Machine, text: bytes, timeout_s: float = 60.0) -> bytes:
        def said() -> bytes | None:
            output = self.driver.console_output(machine.instance_id)
            return output if text in output else None

        found = until(said, timeout_s)
        assert isinstance(found, bytes)
        return found


@pytest.fixture
def host() -> Iterator[Host]:
    with a_directory() as directory:
        host = Host(directory)
        try:
            yield host
        finally:
            host.driver.adopt({})
            host.driver.close()


def test_the_process_has_no_rights_and_nothing_open_but_what_it_was_given(host: Host) -> None:
    leaked, other_end = os.pipe()
    os.set_inheritable(leaked, True)
    try:
        machine = host.runs(a_boot_sector())
    finally:
        os.close(leaked)
        os.close(other_end)
    pid = host.pid(machine)
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    uid = str(Settings().first_machine_uid + machine.port.number)
    assert status["Uid"].split() == status["Gid"].split() == [uid] * 4
    assert status["Groups"].split() == []
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert os.getsid(pid) == pid
    namespace = f"/proc/{pid}/ns/net"
    assert Path(namespace).readlink() != Path("/proc/self/ns/net").readlink()
    # Beside its own event and signal descriptors: no pipe, no file but its own.
    opened = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert not [name for name in opened if name.startswith("pipe:")]
    ours = {name for name in opened if name.startswith(str(host.directory))}
    [disk] = machine.disks
    files = {host.file(machine, name) for name in ("console.log", "qemu.log")}
    assert ours == {str(path) for path in (*files, disk.overlay, disk.base)}


def test_the_process_is_not_a_child_that_keeps_our_output_open(host: Host) -> None:
    machine = host.runs(a_boot_sector())
    pid = host.pid(machine)
    assert {str(Path(f"/proc/{pid}/fd/{n}").readlink()) for n in (0, 1)} == {"/dev/null"}


def test_the_console_and_the_screen_can_be_read(host: Host) -> None:
    machine = host.runs(a_boot_sector(b"hello from the guest\r\n"))
    host.says(machine, b"hello from the guest\r\n")
    assert host.driver.console_screenshot(machine.instance_id).startswith(b"\xff\xd8\xff")
    assert host.driver.console_screenshot(machine.instance_id).startswith(b"\xff\xd8\xff")


def test_a_chattering_console_costs_a_bounded_part_of_the_disk(host: Host) -> None:
    machine = host.runs(a_chattering_sector())
    console = host.file(machine, "console.log")
    with console.open("ab") as file:  # as if the guest had been at it for long
        file.write(b"-" * 5 * MIB)
    assert console.stat().st_blocks * 512 >= 5 * MIB
    until(lambda: console.stat().st_blocks * 512 < 2 * MIB)
    until(lambda: b"blah blah" in host.driver.console_output(machine.instance_id)[-1000:])
    assert len(host.driver.console_output(machine.instance_id)) == 64 * 1024
    assert console.stat().st_size > 5 * MIB


def test_a_guest_that_reboots_is_told_each_time_and_its_network_counts_as_restarted(
    host: Host,
) -> None:
    machine = host.runs(a_rebooting_sector())
    until(lambda: len(host.heard.resets) >= 3)
    assert set(host.heard.resets) == {machine.instance_id}
    assert len(host.network.restarts) >= 3
    assert host.driver.state(machine.instance_id) is MachineState.RUNNING


def test_a_process_that_is_killed_by_another_is_told_once_with_the_reason(host: Host) -> None:
    machine = host.runs(a_boot_sector())
    os.kill(host.pid(machine), signal.SIGKILL)
    assert host.driver.wait_absent(machine.instance_id, 10)
    until(lambda: host.heard.exits)
    host.driver.kill(machine.instance_id)
    host.driver.close()
    assert host.heard.exits == [(machine.instance_id, "killed by SIGKILL")]
    assert host.network.plugged == {}
    assert not host.file(machine, "process.json").exists()
    host.start_server()


def test_the_end_of_an_adopted_machine_is_told_too(host: Host) -> None:
    machine = host.runs(a_boot_sector())
    host.driver.close()
    host.start_server()
    assert host.driver.adopt(ports_of(machine)) == {machine.instance_id}
    os.kill(host.pid(machine), signal.SIGKILL)
    until(lambda: host.heard.exits)
    assert [who for who, _ in host.heard.exits] == [machine.instance_id]


def test_a_machine_that_does_not_answer_yet_is_taken_up_all_the_same(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_ADOPT_TIMEOUT_S", 0.5)
    machine = host.runs(a_boot_sector())
    host.driver.close()
    noted = Process.load(host.file(machine, "process.json"))
    assert noted is not None
    os.kill(noted.pid, signal.SIGSTOP)
    host.start_server()
    assert host.driver.adopt(ports_of(machine)) == {machine.instance_id}
    assert host.network.plugged
    os.kill(noted.pid, signal.SIGCONT)
    until(lambda: _shows_its_screen(host, machine), 30)
    target = host.directory / "copy.qcow2"
    host.driver.copy_disks(
        machine.instance_id, copies_to({machine.disks[0].volume_id: target}), no_limit
    )
    assert host.heard.exits == []


def _shows_its_screen(host: Host, machine: Machine) -> bool:
    with suppress(MachineFailed):
        return bool(host.driver.console_screenshot(machine.instance_id))
    return False


def test_a_machine_that_ended_while_the_server_was_away_is_not_taken_up(host: Host) -> None:
    machine = host.runs(a_boot_sector(b"last words"))
    host.says(machine, b"last words")
    pid = host.pid(machine)
    host.driver.close()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    host.start_server()
    assert host.driver.adopt(ports_of(machine)) == set()
    assert host.driver.state(machine.instance_id) is MachineState.ABSENT
    assert b"last words" in host.driver.console_output(machine.instance_id)
    assert host.heard.exits == []


def test_a_pid_that_is_another_process_by_now_is_left_in_peace(host: Host) -> None:
    machine = host.runs(a_boot_sector())
    host.driver.kill(machine.instance_id)
    host.driver.close()
    with subprocess.Popen(["sleep", "60"]) as other:
        real = Process.of(other.pid)
        replace(real, started=real.started - 1).save(host.file(machine, "process.json"))
        host.start_server()
        assert host.driver.adopt(ports_of(machine)) == set()
        host.driver.forget(machine.instance_id)
        assert other.poll() is None
        other.kill()


def test_a_machine_whose_server_died_before_noting_its_pid_is_found(host: Host) -> None:
    machine = host.runs(a_boot_sector())
    pid = host.pid(machine)
    host.driver.close()
    host.file(machine, "process.json").unlink()
    host.start_server()
    assert host.driver.adopt(ports_of(machine)) == {machine.instance_id}
    assert host.pid(machine) == pid


def test_a_start_after_such_a_death_ends_the_nameless_process_first(host: Host) -> None:
    machine = host.runs(a_boot_sector())
    pid = host.pid(machine)
    host.driver.close()
    host.file(machine, "process.json").unlink()
    host.start_server()
    host.driver.start(machine)
    assert host.pid(machine) != pid
    assert not Path(f"/proc/{pid}").exists()


def test_two_machines_cannot_have_one_disk(host: Host) -> None:
    one = host.runs(a_boot_sector())
    other = a_machine(*one.disks)
    with pytest.raises(MachineFailed, match="lock"):
        host.driver.start(other)
    assert host.driver.state(one.instance_id) is MachineState.RUNNING
    assert set(host.network.plugged) == {one.instance_id}
    assert not (host.directory / "instances" / other.instance_id).exists()
    host.driver.close()
    assert host.heard.exits == []
    host.start_server()
    host.driver.adopt(ports_of(one))


def test_a_machine_takes_twenty_disks_more_than_its_first(host: Host) -> None:
    more = [a_disk(host.directory) for _ in range(12)]
    machine = host.runs(a_boot_sector(), *more)
    for _ in range(9):
        host.driver.attach(machine.instance_id, a_disk(host.directory))
    assert host.driver.state(machine.instance_id) is MachineState.RUNNING


def test_a_copy_is_one_point_in_time_of_all_disks_while_the_guest_writes(host: Host) -> None:
    """Number n is on the first disk before it is on the second, and n+1 comes after both.

    Each copy but the first holds what changed since the one before, and nothing is missing.
    """
    other = a_disk(host.directory, a_base(host.directory, b"", 8 * MIB))
    machine = host.runs(a_counting_sector(), other)
    disks = (machine.disks[0], other)
    host.says(machine, b"." * 20)
    found: dict[str, dict[int, bytes]] = {each.serial: {} for each in disks}
    numbers = []
    for turn in range(20):
        since = None if turn == 0 else f"{turn - 1}"
        copies = {
            each.volume_id: DiskCopy(
                target=host.directory / f"{turn}-{each.serial}", mark=f"{turn}", since=since
            )
            for each in disks
        }
        partial = host.driver.copy_disks(machine.instance_id, copies, no_limit)
        assert partial == (set() if since is None else set(copies))
        for each in disks:
            found[each.serial] |= _blocks(copies[each.volume_id].target)
        newest = [the_newest_number(found[each.serial]) for each in disks]
        assert newest[0] - newest[1] in (0, 1)
        numbers.append(newest[0])
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[-1], "the guest went on"
    assert b"!" not in host.driver.console_output(machine.instance_id)


def test_a_machine_waits_for_its_disk_and_goes_on_by_itself(host: Host) -> None:
    with _a_small_filesystem(host.directory / "small", "600k") as place:
        other = a_disk(place, a_base(host.directory, b"", 8 * MIB))
        machine = host.runs(a_counting_sector(), other)
        until(lambda: host.driver.state(machine.instance_id) is MachineState.PAUSED)
        # Disks can be copied all the same.
        target = host.directory / "copy.qcow2"
        host.driver.copy_disks(
            machine.instance_id, copies_to({machine.disks[0].volume_id: target}), no_limit
        )
        assert the_newest_number(_blocks(target)) >= 1
        assert host.driver.state(machine.instance_id) is MachineState.PAUSED
        subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
        until(lambda: host.driver.state(machine.instance_id) is MachineState.RUNNING)
        before = len(host.driver.console_output(machine.instance_id))
        until(lambda: len(host.driver.console_output(machine.instance_id)) > before + 20)
        assert b"!" not in host.driver.console_output(machine.instance_id)
        host.driver.forget(machine.instance_id)


def test_a_copy_that_finds_no_room_fails_leaves_no_file_and_the_machine_alone(host: Host) -> None:
    with _a_small_filesystem(host.directory / "small", "1m") as place:
        other = a_disk(host.directory, a_base(host.directory, b"", 8 * MIB))
        machine = host.runs(a_counting_sector(), other)
        host.says(machine, b"." * 20)
        fits, does_not = host.directory / "fits", place / "does-not"
        with pytest.raises(OSError, match="No space left"):
            host.driver.copy_disks(
                machine.instance_id,
                copies_to({machine.disks[0].volume_id: fits, other.volume_id: does_not}),
                no_limit,
            )
        assert not fits.exists()
        assert not does_not.exists()
        assert host.driver.state(machine.instance_id) is MachineState.RUNNING
        host.driver.copy_disks(machine.instance_id, copies_to({other.volume_id: fits}), no_limit)


def test_a_started_machine_leaves_us_no_descriptor_when_it_is_gone(host: Host) -> None:
    def used() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    host.driver.forget(host.runs(a_boot_sector()).instance_id)
    before = used()
    for _ in range(3):
        host.driver.forget(host.runs(a_boot_sector()).instance_id)
    assert used() <= before


def _blocks(overlay: Path) -> dict[int, bytes]:
    blocks = changed_blocks(overlay, virtual_size_bytes(overlay), lambda _: bytes(512 * 1024))
    return {index: block for index, block in blocks if index}


@contextmanager
def _a_small_filesystem(path: Path, size: str) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


class TestTiny:
    """With a guest that has drivers: Linux and busybox."""

    def boots(self, host: Host, firmware: Firmware = Firmware.BIOS) -> Machine:
        disk = a_disk(host.directory, tiny_disk(), "/dev/xvda")
        machine = a_machine(disk, firmware=firmware, memory_mib=256)
        host.driver.start(machine)
        host.says(machine, b"tiny: READY", 120)
        return machine

    def test_it_sees_disks_come_and_go_and_shuts_down_when_asked(self, host: Host) -> None:
        machine = self.boots(host)
        disk = a_disk(host.directory, size_bytes=3 * MIB)
        host.driver.attach(machine.instance_id, disk)
        host.says(machine, disk.serial.encode())
        assert host.driver.detach(machine.instance_id, disk.volume_id, force=False)
        host.says(machine, b"gone")
        host.driver.attach(machine.instance_id, disk)
        until(lambda: _output(host, machine.instance_id).count(disk.serial.encode()) >= 2)
        assert host.driver.detach(machine.instance_id, disk.volume_id, force=True)

        host.driver.power_button(machine.instance_id)
        assert host.driver.wait_absent(machine.instance_id, 30)
        until(lambda: host.heard.exits)
        [(who, reason)] = host.heard.exits
        assert who == machine.instance_id
        assert "shutdown" in reason
        assert host.driver.state(machine.instance_id) is MachineState.ABSENT

    def test_it_boots_by_uefi_and_keeps_its_variables_over_a_stop(self, host: Host) -> None:
        machine = self.boots(host, Firmware.UEFI)
        variables = host.file(machine, "uefi-variables.fd")
        host.driver.kill(machine.instance_id)
        kept = variables.read_bytes()
        assert kept != Path("/usr/share/OVMF/OVMF_VARS_4M.fd").read_bytes()
        host.driver.start(machine)
        until(lambda: _output(host, machine.instance_id).count(b"tiny: READY") == 2, 120)


def _output(host: Host, instance_id: InstanceId) -> bytes:
    return host.driver.console_output(instance_id)
