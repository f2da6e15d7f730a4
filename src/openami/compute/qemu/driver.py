"""The `qemu` compute driver: one QEMU process per instance, which outlives the server.

What runs is asked of the host: a machine's directory says which process it is, and its monitor
says how it is. In memory there is only the connection to each.
"""

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Set
from contextlib import ExitStack, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Final

from openami.compute.driver import (
    Disk,
    DiskCopy,
    Firmware,
    Machine,
    MachineFailed,
    MachineState,
    Needs,
    Network,
    OnExit,
    OnReset,
    Port,
)
from openami.compute.qemu import accelerator, console, disk_copies, disks, process
from openami.compute.qemu.command_line import Descriptors, DiskDescriptors, command_line
from openami.compute.qemu.files import MachineFiles
from openami.compute.qemu.news import News
from openami.compute.qemu.qmp import EventLoop
from openami.compute.qemu.running import RunningMachine
from openami.domain.ids import InstanceId, VolumeId
from openami.settings import Settings

_START_TIMEOUT_S: Final = 30.0
_ADOPT_TIMEOUT_S: Final = 5.0
_TEND_EVERY_S: Final = 1.0
_RECONNECT_TIMEOUT_S: Final = 1.0
_log = logging.getLogger(__name__)


class QemuDriver:
    """Implements openami.compute.driver.ComputeDriver. Needs root, for taps and users.

    `directory` gets a folder per machine. Machine n runs as the user first_machine_uid + n.
    `exports` is where the block daemon's sockets are, if there is one.
    """

    kind = "qemu"

    def __init__(
        self,
        directory: Path,
        network: Network,
        settings: Settings,
        exports: Path | None = None,
    ) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._network, self._settings = directory, network, settings
        self._exports = exports
        self._machines: dict[InstanceId, RunningMachine] = {}
        self._locks: dict[InstanceId, threading.RLock] = {}
        self._guard = threading.Lock()
        self._on_exit: OnExit | None = None
        self._on_reset: OnReset | None = None
        self._loop = EventLoop()
        self._news = News("machines")
        # Apart: machines that do not answer must not keep back what others have to tell.
        self._reconnections = News("reconnections", threads=2)
        self._closing = False
        self._tending = self._loop.submit(self._tend())

    def capacity_mib(self) -> int:
        """All the memory of the host."""
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20

    def start(self, machine: Machine) -> None:
        """See ComputeDriver.start."""
        instance_id = machine.port.instance_id
        with self._lock(instance_id):
            if self._alive(instance_id) is not None:
                return
            self._end_stray(instance_id)
            files = self._files(instance_id)
            known = files.directory.exists()
            files.directory.mkdir(mode=0o700, exist_ok=True)
            try:
                self._started(machine, files).tell_end = True
            except (MachineFailed, OSError) as wrong:
                said = files.said()
                self._undo(instance_id, files, known=known)
                raise MachineFailed(
                    f"{instance_id} cannot be started: {wrong} {said}".strip()
                ) from wrong

    def state(self, instance_id: InstanceId) -> MachineState:
        running = self._machines.get(instance_id)
        return MachineState.ABSENT if running is None else running.state()

    def power_button(self, instance_id: InstanceId) -> None:
        if running := self._machines.get(instance_id):
            with suppress(MachineFailed):  # gone, or deaf: the caller waits and then kills
                running.monitor.ask("system_powerdown")

    def wait_absent(self, instance_id: InstanceId, timeout_s: float) -> bool:
        running = self._machines.get(instance_id)
        return running is None or running.exited.wait(timeout_s)

    def kill(self, instance_id: InstanceId) -> None:
        with self._lock(instance_id):
            if running := self._machines.get(instance_id):
                running.kill()
                self._clean_up(running)
            else:
                self._end_stray(instance_id)
                self._network.unplug(instance_id)

    def reset(self, instance_id: InstanceId) -> None:
        self._running(instance_id).monitor.ask("system_reset")

    def forget(self, instance_id: InstanceId) -> None:
        with self._lock(instance_id):
            self.kill(instance_id)
            shutil.rmtree(self._files(instance_id).directory, ignore_errors=True)
        with self._guard:
            self._locks.pop(instance_id, None)

    def reset_firmware(self, instance_id: InstanceId) -> None:
        with self._lock(instance_id):
            if self._alive(instance_id) is not None:
                raise MachineFailed(f"{instance_id} runs, and so does its firmware")
            self._files(instance_id).firmware_variables.unlink(missing_ok=True)

    def attach(self, instance_id: InstanceId, disk: Disk) -> None:
        with self._lock(instance_id):
            running = self._running(instance_id)
            exports = None if disk.export is None else running.number_of(disk.export.parent)
            disks.attach(running.monitor, disk, exports)

    def pivot(self, instance_id: InstanceId, volume_id: VolumeId, base: Path) -> None:
        with self._lock(instance_id):
            disks.pivot(self._running(instance_id).monitor, volume_id, base)

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:
        with self._lock(instance_id):
            running = self._alive(instance_id)
            return running is None or running.detach(volume_id, force=force)

    def grow(self, instance_id: InstanceId, volume_id: VolumeId, size_bytes: int) -> None:
        with self._lock(instance_id):
            disks.grow(self._running(instance_id).monitor, volume_id, size_bytes)

    def resume(self, instance_id: InstanceId) -> None:
        self._running(instance_id).monitor.ask("cont")

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        running = self._running(instance_id)
        self._abandon_old_copies(running)
        # Not under the lock: it may take minutes, and the machine may be killed meanwhile.
        return disk_copies.copy(running.monitor, copies, needs, running.agent.still)

    def update_port(self, port: Port) -> None:
        self._network.update(port)

    def reachable(self, instance_id: InstanceId) -> bool:
        running = self._alive(instance_id)
        waits = running is None or running.stalls
        return not waits and self._network.reachable(instance_id)

    def stalled(self) -> Mapping[InstanceId, Set[VolumeId]]:
        machines = list(self._machines.values())
        return {each.instance_id: each.stalls.volumes for each in machines if each.stalls}

    def console_output(self, instance_id: InstanceId) -> bytes:
        return console.last_output(self._files(instance_id).console)

    def console_screenshot(self, instance_id: InstanceId) -> bytes:
        return console.screenshot(self._running(instance_id).monitor)

    def adopt(self, ports: Mapping[InstanceId, Port]) -> set[InstanceId]:
        """See ComputeDriver.adopt. Also finds out the accelerator, so that no start has to."""
        _log.info("machines run on %s", self._accelerator)
        found = {InstanceId(path.name) for path in self._directory.iterdir() if path.is_dir()}
        self._name_the_nameless(found)
        for instance_id in found:
            with self._lock(instance_id):
                try:
                    if instance_id not in ports:
                        self.forget(instance_id)
                    elif instance_id not in self._machines:
                        self._adopt(ports[instance_id])
                except (MachineFailed, OSError):
                    # One machine, which may be hostile, must not keep the others from us.
                    _log.exception("%s cannot be taken up", instance_id)
        return {one for one in ports if self._alive(one) is not None}

    def watch(self, on_exit: OnExit, on_reset: OnReset) -> None:
        self._on_exit, self._on_reset = on_exit, on_reset

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._tending.cancel()
        for running in list(self._machines.values()):
            self._loop.submit(running.let_go()).result()
        self._news.close()
        self._reconnections.close()
        self._loop.close()
        self._machines.clear()
        self._network.close()

    @cached_property
    def _accelerator(self) -> str:
        cache = self._directory / "accelerator.json"
        return accelerator.accelerator(
            self._settings.accelerator, cache, self._settings.first_machine_uid
        )

    def _files(self, instance_id: InstanceId) -> MachineFiles:
        return MachineFiles(directory=self._directory / instance_id)

    def _lock(self, instance_id: InstanceId) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault(instance_id, threading.RLock())

    def _alive(self, instance_id: InstanceId) -> RunningMachine | None:
        running = self._machines.get(instance_id)
        return None if running is None or running.exited.is_set() else running

    def _running(self, instance_id: InstanceId) -> RunningMachine:
        if (running := self._alive(instance_id)) is None:
            raise MachineFailed(f"{instance_id} does not run")
        return running

    def _started(self, machine: Machine, files: MachineFiles) -> RunningMachine:
        with ExitStack() as opened:
            given = self._opened(machine, files, opened)
            argv = command_line(machine, self._accelerator, given)
            log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            opened.callback(os.close, log)
            groups = accelerator.kvm_groups() if self._accelerator == "kvm" else ()
            uid = self._settings.first_machine_uid + machine.port.number
            pid = process.spawn(argv, uid, groups, given.numbers(), log)
        # Ours and not waited for yet, so the number cannot belong to another process.
        pidfd = os.pidfd_open(pid)
        running = self._watched(machine.port, files, pidfd)
        process.Process.of(pid).save(files.pid)
        self._network.serve(machine.port)  # while the process comes up
        running.connect(_START_TIMEOUT_S)
        if running.exited.is_set():
            raise MachineFailed(f"its process {running.reason}")
        return running

    def _opened(self, machine: Machine, files: MachineFiles, opened: ExitStack) -> Descriptors:
        """Everything that the process is given; closed here by the stack once it has it."""

        def ours(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        pairs = [disks.open_disk(disk, opened) for disk in machine.disks]
        uefi = machine.firmware is Firmware.UEFI
        return Descriptors(
            monitor=opened.enter_context(files.listen(files.monitor)).fileno(),
            agent=opened.enter_context(files.listen(files.agent)).fileno(),
            console=ours(console.open_console(files.console)),
            disks=tuple(DiskDescriptors(overlay=overlay, base=base) for overlay, base in pairs),
            firmware_variables=ours(files.open_firmware_variables()) if uefi else None,
            tap=ours(self._network.plug(machine.port)),
            exports=self._open_exports(machine, ours),
        )

    def _open_exports(self, machine: Machine, ours: Callable[[int], int]) -> int | None:
        """For every machine: a disk that needs it may be plugged in any time."""
        if self._exports is not None and self._exports.exists():
            return ours(os.open(self._exports, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        if any(disk.export is not None for disk in machine.disks):
            raise MachineFailed("there is no block daemon to serve its disks")
        return None

    def _watched(self, port: Port, files: MachineFiles, pidfd: int) -> RunningMachine:
        running = RunningMachine(self._loop, port, files, pidfd, self._ended, self._was_reset)
        self._machines[port.instance_id] = running
        return running

    def _undo(self, instance_id: InstanceId, files: MachineFiles, *, known: bool) -> None:
        if running := self._machines.get(instance_id):
            running.kill()
            self._clean_up(running)
        else:
            files.process_is_gone()
            self._network.unplug(instance_id)
        if not known:
            shutil.rmtree(files.directory, ignore_errors=True)

    def _adopt(self, port: Port) -> None:
        files = self._files(port.instance_id)
        pidfd = process.opened(files.pid)
        if pidfd is None:
            files.process_is_gone()
            self._network.clear(port)
            return
        running = self._watched(port, files, pidfd)
        try:
            self._network.adopt(port)
        except MachineFailed as wrong:
            _log.warning("%s cannot be taken up and is ended: %s", port.instance_id, wrong)
            running.kill()
            self._clean_up(running)
            self._network.clear(port)
            return
        running.tell_end = running.wants_monitor = running.has_old_copies = True
        try:
            running.connect(_ADOPT_TIMEOUT_S)
            self._abandon_old_copies(running)
        except MachineFailed as slow:
            # The host may be busy: a guest that does not answer now is no reason to end it.
            _log.warning("%s runs and does not answer yet: %s", port.instance_id, slow)

    def _abandon_old_copies(self, running: RunningMachine) -> None:
        """Before there is a copy of this server's; MachineFailed means that it must be retried."""
        with self._lock(running.instance_id):
            if running.has_old_copies:
                disk_copies.abandon(running.monitor)
                running.has_old_copies = False

    def _name_the_nameless(self, found: set[InstanceId]) -> None:
        """Note the processes whose server died before it could."""
        nameless = {one for one in found if process.Process.load(self._files(one).pid) is None}
        for instance_id, pid in process.named(nameless):
            with suppress(FileNotFoundError, ProcessLookupError):
                process.Process.of(pid).save(self._files(instance_id).pid)

    def _end_stray(self, instance_id: InstanceId) -> None:
        """End a process of the machine's that this server has not taken up."""
        files = self._files(instance_id)
        if not files.directory.exists():
            return
        self._name_the_nameless({instance_id})
        pidfd = process.opened(files.pid)
        if pidfd is not None:
            try:
                process.kill(pidfd)
                if not process.has_ended(pidfd, _START_TIMEOUT_S):
                    raise MachineFailed(f"{instance_id} does not end, though it was killed")
                process.exit_status(pidfd)
            finally:
                os.close(pidfd)
        files.process_is_gone()

    def _clean_up(self, running: RunningMachine) -> None:
        """Of a machine whose process is gone; once."""
        with self._lock(running.instance_id):
            if self._machines.get(running.instance_id) is running:
                running.files.process_is_gone()
                self._network.unplug(running.instance_id)
                del self._machines[running.instance_id]

    def _ended(self, running: RunningMachine) -> None:
        self._news.add(running.instance_id, partial(self._tell_end, running))

    def _tell_end(self, running: RunningMachine) -> None:
        with self._lock(running.instance_id):
            self._clean_up(running)
            news = running.tell_end
            running.tell_end = False
        if news and self._on_exit is not None:
            self._on_exit(running.instance_id, running.reason)

    def _was_reset(self, running: RunningMachine) -> None:
        self._news.add(running.instance_id, partial(self._tell_reset, running), once="reset")

    def _tell_reset(self, running: RunningMachine) -> None:
        self._network.restarted(running.instance_id)
        if self._on_reset is not None:
            self._on_reset(running.instance_id)

    def _reconnect(self, running: RunningMachine) -> None:
        with suppress(MachineFailed):  # it is tried again in a second
            if running.lost_monitor():
                running.connect(_RECONNECT_TIMEOUT_S)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_TEND_EVERY_S)
            for running in list(self._machines.values()):
                if not running.exited.is_set():
                    await running.tend()
                if running.lost_monitor():
                    connect = partial(self._reconnect, running)
                    self._reconnections.add(running.instance_id, connect, once="connect")
