"""The directory of one machine. Only root reads and writes it; QEMU is given descriptors."""

import os
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.compute.driver import MachineFailed
from openami.compute.qemu.command_line import UEFI_CODE, UEFI_VARIABLES

_LOG_BYTES_MAX: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFiles:
    directory: Path

    @property
    def pid(self) -> Path:
        """Which process it is, while it runs."""
        return self.directory / "process.json"

    @property
    def monitor(self) -> Path:
        return self.directory / "qmp.sock"

    @property
    def agent(self) -> Path:
        """The host's end of the channel to the guest's own agent."""
        return self.directory / "agent.sock"

    @property
    def frozen(self) -> Path:
        """There while the guest may have been asked to freeze, and not heard to have thawed."""
        return self.directory / "frozen"

    @property
    def stalled(self) -> Path:
        """There while errors of its disks keep the machine from running: which, and why."""
        return self.directory / "stalled"

    @property
    def console(self) -> Path:
        return self.directory / "console.log"

    @property
    def log(self) -> Path:
        """What QEMU itself has to say, of the last start."""
        return self.directory / "qemu.log"

    @property
    def firmware_variables(self) -> Path:
        """What the guest's UEFI remembers, also over stop and start."""
        return self.directory / "uefi-variables.fd"

    def said(self) -> str:
        """The end of QEMU's log, in one line."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES_MAX))
                text = file.read(_LOG_BYTES_MAX).decode(errors="replace")
        except FileNotFoundError:
            return ""
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    def listen(self, path: Path) -> socket.socket:
        """A socket that listens before there is a machine behind it."""
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            with self.short_name(path) as name:
                listener.bind(name)
            listener.listen(1)
        except OSError:
            listener.close()
            raise
        return listener

    @contextmanager
    def short_name(self, path: Path) -> Generator[str]:
        """A name for a socket that fits, however deep the directory is (unix(7): 108 bytes)."""
        directory = os.open(self.directory, os.O_PATH | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{directory}/{path.name}"
        finally:
            os.close(directory)

    def open_firmware_variables(self) -> int:
        """Raises MachineFailed where OVMF is not installed."""
        if not self.firmware_variables.exists():
            if not (UEFI_CODE.exists() and UEFI_VARIABLES.exists()):
                raise MachineFailed(f"UEFI machines need {UEFI_CODE}: install the package ovmf")
            staged = self.firmware_variables.with_suffix(".new")
            shutil.copyfile(UEFI_VARIABLES, staged)
            staged.rename(self.firmware_variables)
        return os.open(self.firmware_variables, os.O_RDWR | os.O_CLOEXEC)

    def process_is_gone(self) -> None:
        for path in (self.pid, self.monitor, self.agent, self.frozen, self.stalled):
            path.unlink(missing_ok=True)
