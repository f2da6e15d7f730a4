"""The `record` compute driver: machines that are only state, for testing API clients at speed.

Nothing runs. Every call succeeds at once, as it would on a host where all goes well, and what
cannot be without a machine (a screen) is refused. State is one small file per machine, so it
survives a restart of the server.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Final, Self

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

CONSOLE: Final = (
    b"this instance is a record: openami runs with compute_driver=record, so nothing boots\r\n"
)
_SUFFIX: Final = ".record.json"
# qcow2 keeps the place and length of its backing file's name in these bytes of its header.
_BACKING_FIELDS: Final = (8, 12)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    running: bool
    overlays: Mapping[VolumeId, Path]

    def written(self) -> str:
        overlays = {volume_id: str(path) for volume_id, path in self.overlays.items()}
        return json.dumps({"running": self.running, "overlays": overlays})

    @classmethod
    def read(cls, text: str) -> Self:
        told = json.loads(text)
        overlays = {VolumeId(one): Path(path) for one, path in told["overlays"].items()}
        return cls(running=bool(told["running"]), overlays=overlays)


class RecordDriver:
    """Implements openami.compute.driver.ComputeDriver. `directory` gets a file per machine."""

    kind = "record"

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._lock = RLock()
        self._callbacks = ThreadPoolExecutor(max_workers=1, thread_name_prefix="records")
        self._on_exit: OnExit | None = None
        self._on_reset: OnReset | None = None
        self._records = {
            InstanceId(path.name.removesuffix(_SUFFIX)): _Record.read(path.read_text())
            for path in directory.glob(f"*{_SUFFIX}")
        }

    def capacity_mib(self) -> None:
        """Records need no memory."""

    def start(self, machine: Machine) -> None:
        for disk in machine.disks:
            if not disk.overlay.exists():
                raise MachineFailed(f"{disk.overlay} cannot be opened: there is no such file")
        overlays = {
            disk.volume_id: disk.overlay for disk in machine.disks if disk.volume_id is not None
        }
        with self._lock:
            if not self._is_running(machine.instance_id):
                self._write(machine.instance_id, _Record(running=True, overlays=overlays))

    def state(self, instance_id: InstanceId) -> MachineState:
        with self._lock:
            running = self._is_running(instance_id)
            return MachineState.RUNNING if running else MachineState.ABSENT

    def power_button(self, instance_id: InstanceId) -> None:
        """There is no guest to ask: it shuts down at once."""
        with self._lock:
            if self._is_running(instance_id):
                self._stop(instance_id)
                if on_exit := self._on_exit:
                    self._soon(lambda: on_exit(instance_id, "shutdown (a record)"))

    def wait_absent(self, instance_id: InstanceId, timeout_s: float) -> bool:  # noqa: ARG002
        """Nothing here takes time, so there is nothing to wait for."""
        return self.state(instance_id) is MachineState.ABSENT

    def kill(self, instance_id: InstanceId) -> None:
        with self._lock:
            if self._is_running(instance_id):
                self._stop(instance_id)

    def reset(self, instance_id: InstanceId) -> None:
        with self._lock:
            self._running(instance_id)
            if on_reset := self._on_reset:
                self._soon(lambda: on_reset(instance_id))

    def forget(self, instance_id: InstanceId) -> None:
        with self._lock:
            self._records.pop(instance_id, None)
            self._file(instance_id).unlink(missing_ok=True)

    def reset_firmware(self, instance_id: InstanceId) -> None:
        """A record has no firmware."""

    def attach(self, instance_id: InstanceId, disk: Disk) -> None:
        with self._lock:
            record = self._running(instance_id)
            if not disk.overlay.exists():
                raise MachineFailed(f"{disk.overlay} cannot be opened: there is no such file")
            if disk.volume_id is not None:
                overlays = {**record.overlays, disk.volume_id: disk.overlay}
                self._write(instance_id, replace(record, overlays=overlays))

    def detach(self, instance_id: InstanceId, volume_id: VolumeId, force: bool) -> bool:  # noqa: ARG002
        """No guest holds on to a disk, so force makes no difference."""
        with self._lock:
            if record := self._records.get(instance_id):
                left = {one: path for one, path in record.overlays.items() if one != volume_id}
                self._write(instance_id, replace(record, overlays=left))
        return True

    def pivot(self, instance_id: InstanceId, volume_id: VolumeId, base: Path) -> None:
        """No guest reads the disk."""

    def grow(self, instance_id: InstanceId, volume_id: VolumeId, size_bytes: int) -> None:  # noqa: ARG002
        """No guest looks at the disk, so there is nobody to tell."""
        with self._lock:
            if volume_id not in self._running(instance_id).overlays:
                raise MachineFailed(f"no disk {volume_id} is attached")

    def resume(self, instance_id: InstanceId) -> None:
        """A record never waits."""

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        """The overlays as they are: nothing writes to them, so nothing is noted either."""
        with self._lock:
            overlays = self._running(instance_id).overlays
        if missing := set(copies) - set(overlays):
            raise MachineFailed(f"no disk {min(missing)} is attached")
        try:
            needs(sum(overlays[volume_id].stat().st_size for volume_id in copies))
            for volume_id, wanted in copies.items():
                _copy(overlays[volume_id], wanted.target)
        except OSError as wrong:
            for wanted in copies.values():
                wanted.target.unlink(missing_ok=True)
            raise MachineFailed(f"a disk cannot be copied: {wrong}") from wrong
        return frozenset()

    def update_port(self, port: Port) -> None:
        """A record has no network."""

    def reachable(self, instance_id: InstanceId) -> bool:
        return self.state(instance_id) is MachineState.RUNNING

    def stalled(self) -> Mapping[InstanceId, Set[VolumeId]]:
        return {}  # nothing reads or writes their disks

    def console_output(self, instance_id: InstanceId) -> bytes:
        with self._lock:
            return CONSOLE if instance_id in self._records else b""

    def console_screenshot(self, instance_id: InstanceId) -> bytes:
        raise MachineFailed(f"{instance_id} is a record and has no screen")

    def adopt(self, ports: Mapping[InstanceId, Port]) -> set[InstanceId]:
        with self._lock:
            for instance_id in set(self._records) - set(ports):
                self.forget(instance_id)
            return {one for one in ports if self._is_running(one)}

    def watch(self, on_exit: OnExit, on_reset: OnReset) -> None:
        self._on_exit, self._on_reset = on_exit, on_reset

    def close(self) -> None:
        self._callbacks.shutdown()

    def _file(self, instance_id: InstanceId) -> Path:
        return self._directory / f"{instance_id}{_SUFFIX}"

    def _write(self, instance_id: InstanceId, record: _Record) -> None:
        path = self._file(instance_id)
        staged = path.with_suffix(".new")
        staged.write_text(record.written())
        staged.rename(path)
        self._records[instance_id] = record

    def _is_running(self, instance_id: InstanceId) -> bool:
        record = self._records.get(instance_id)
        return record is not None and record.running

    def _running(self, instance_id: InstanceId) -> _Record:
        record = self._records.get(instance_id)
        if record is None or not record.running:
            raise MachineFailed(f"{instance_id} does not run")
        return record

    def _stop(self, instance_id: InstanceId) -> None:
        self._write(instance_id, replace(self._records[instance_id], running=False))

    def _soon(self, work: Callable[[], None]) -> None:
        self._callbacks.submit(work).add_done_callback(_log_failure)


def _log_failure(work: "Future[None]") -> None:
    if failure := work.exception():
        _log.error("what follows from a machine's event failed", exc_info=failure)


def _copy(overlay: Path, target: Path) -> None:
    """A durable copy that names no backing file."""
    shutil.copyfile(overlay, target)
    target.chmod(0o600)
    with target.open("r+b") as file:
        start, length = _BACKING_FIELDS
        file.seek(start)
        file.write(bytes(length))
        file.flush()
        os.fsync(file.fileno())
