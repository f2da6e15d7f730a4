"""One running machine, watched: its process, its monitor and what they tell.

The event loop's thread watches; it only ever notes and hands on. Whoever wants to know waits
for `exited`.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from openami.compute.driver import ExportsUnknown, MachineFailed, MachineState, Port
from openami.compute.qemu import console, disks, process
from openami.compute.qemu.files import MachineFiles
from openami.compute.qemu.guest_agent import GuestAgent
from openami.compute.qemu.qmp import TIMEOUT_S, EventLoop, Monitor
from openami.compute.qemu.stalls import Stalls
from openami.domain.ids import VolumeId

_KILL_TIMEOUT_S: Final = 30.0
_LAST_WORDS_S: Final = 1.0
_RESUME_EVERY_S: Final = 2.0
_PAUSED: Final = ("paused", "io-error")
_log = logging.getLogger(__name__)

Told = Callable[["RunningMachine"], None]


class RunningMachine:
    """Made when the process runs. `on_end` and `on_reset` are called in the loop's thread."""

    def __init__(
        self,
        loop: EventLoop,
        port: Port,
        files: MachineFiles,
        pidfd: int,
        on_end: Told,
        on_reset: Told,
    ) -> None:
        self.port, self.files = port, files
        self.instance_id = port.instance_id
        self.monitor = Monitor(loop, self.instance_id, self._on_event)
        self.agent = GuestAgent(loop, files, self.monitor, lambda: self._waits_for_disk)
        self.stalls = Stalls(files.stalled)
        self.exited = threading.Event()
        self.tell_end = False  # whether its end is news: not before it was started, nor if killed
        self.wants_monitor = False  # whether a monitor that is not connected is to be
        self.has_old_copies = False  # whether a server that is no more may have left copies
        self.reason = ""
        self._loop, self._pidfd = loop, pidfd
        self._pidfd_guard = threading.Lock()  # it is closed in the loop's thread
        self._on_end, self._on_reset = on_end, on_reset
        self._waits_for_disk = False
        self._next_resume = 0.0
        self._punched_until = 0
        self._console_is_loose = False
        loop.call(self._watch)

    def connect(self, timeout_s: float) -> None:
        """Speak with the machine. It has been listening since before it ran. MachineFailed."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            # Blocking, it would wait without end for a machine that accepts nothing.
            connection.setblocking(False)
            with self.files.short_name(self.files.monitor) as name:
                connection.connect(name)
        except OSError as wrong:
            connection.close()
            raise MachineFailed(f"{self.instance_id} has no monitor: {wrong}") from wrong
        # Before anything is heard: an event may be newer than a status.
        self._waits_for_disk = False
        self.monitor.connect(connection, timeout_s)
        self.wants_monitor = True
        try:
            is_paused = self._status(timeout_s) == "io-error"
        except MachineFailed:
            # A paused machine says nothing by itself: so that somebody asks again, it is as if
            # the monitor had broken off.
            self.monitor.close()
            raise
        self._loop.call(lambda: self._begin(is_paused=is_paused))

    def state(self) -> MachineState:
        if self.exited.is_set():
            return MachineState.ABSENT
        try:
            paused = self._status() in _PAUSED
        except MachineFailed:
            # It may have ended just now; else it runs and only its monitor does not answer.
            gone = self.exited.wait(_LAST_WORDS_S)
            return MachineState.ABSENT if gone else MachineState.RUNNING
        return MachineState.PAUSED if paused else MachineState.RUNNING

    def number_of(self, directory: Path) -> int:
        """The machine's own descriptor of a directory. Raises ExportsUnknown if it has none."""
        its = process.Process.load(self.files.pid)
        number = None if its is None else process.number_of(its.pid, directory)
        if number is None:
            raise ExportsUnknown(f"{self.instance_id} was started without {directory}")
        return number

    def kill(self) -> None:
        """Gone when this returns. Raises MachineFailed if the kernel does not let go of it."""
        self.tell_end = False
        with self._pidfd_guard:
            if self._pidfd >= 0:
                process.kill(self._pidfd)
        if not self.exited.wait(_KILL_TIMEOUT_S):
            raise MachineFailed(f"{self.instance_id} does not end, though it was killed")

    def detach(self, volume_id: VolumeId, *, force: bool) -> bool:
        """See ComputeDriver.detach. What kept the machine from that disk is over with it."""
        is_out = disks.detach(self.monitor, volume_id, force=force)
        if is_out:
            self._loop.call(lambda: self.stalls.forget(volume_id))
        return is_out

    async def tend(self) -> None:
        """Called every second in the loop's thread: bound the console, resume, thaw."""
        try:
            self._punched_until = console.give_back_space(self.files.console, self._punched_until)
        except OSError as wrong:
            if not self._console_is_loose:
                _log.warning("the console of %s has no bounds: %s", self.instance_id, wrong)
            self._console_is_loose = True
        if self._waits_for_disk and time.monotonic() >= self._next_resume:
            self._next_resume = time.monotonic() + _RESUME_EVERY_S
            await self.monitor.order("cont")
        self.stalls.tend(is_paused=self._waits_for_disk)
        self.agent.tend()

    def lost_monitor(self) -> bool:
        """Whether the monitor broke off, or said too much, while the machine goes on."""
        return self.wants_monitor and not self.monitor.connected and not self.exited.is_set()

    async def let_go(self) -> None:
        """In the loop's thread: stop watching; the machine goes on."""
        self._close_pidfd()
        await self.monitor.disconnect()

    def _close_pidfd(self) -> None:
        with self._pidfd_guard:
            if self._pidfd >= 0:
                self._loop.loop.remove_reader(self._pidfd)
                os.close(self._pidfd)
                self._pidfd = -1

    def _begin(self, *, is_paused: bool) -> None:
        self._waits_for_disk |= is_paused
        self.stalls.begin(is_paused=is_paused)

    def _watch(self) -> None:
        if self._pidfd >= 0:
            self._loop.loop.add_reader(self._pidfd, self._ended)

    def _status(self, timeout_s: float = TIMEOUT_S) -> str:
        return self.monitor.read(
            "query-status", lambda told: str(told["status"]), timeout_s=timeout_s
        )

    def _on_event(self, name: str, data: Mapping[str, Any]) -> None:
        if name == "SHUTDOWN":
            self.reason = f"shutdown ({str(data.get('reason'))[:40]})"
        elif name == "RESET":
            self.agent.was_reset()
            self._on_reset(self)
        elif name == "RESUME":
            self._waits_for_disk = False
        elif name == "BLOCK_IO_ERROR" and data.get("action") == "stop":
            node, reason = str(data.get("node-name")), str(data.get("reason"))
            _log.warning("%s waits for its disk %s: %s", self.instance_id, node, reason[:200])
            self._waits_for_disk = True
            self.stalls.met(node, reason)
            self._next_resume = time.monotonic() + _RESUME_EVERY_S

    def _ended(self) -> None:
        status = process.exit_status(self._pidfd)
        self._close_pidfd()
        # The monitor's last words may still be on their way to us.
        self._loop.loop.create_task(self._finish(status))

    async def _finish(self, status: str) -> None:
        try:
            with suppress(TimeoutError):
                await self.monitor.drained(_LAST_WORDS_S)
            await self.monitor.disconnect()
        finally:
            self.reason = self.reason or status
            self.exited.set()
            self._on_end(self)
