"""A machine that is watched: what it tells counts, in the order in which it happened."""

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openami.compute.driver import MachineFailed
from openami.compute.qemu import running
from openami.compute.qemu.files import MachineFiles
from openami.compute.qemu.qmp import EventLoop
from openami.compute.qemu.running import RunningMachine
from support.net import a_port
from support.waiting import until

GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}}
ERROR = {"node-name": "top-vol0a", "reason": "Input/output error", "action": "stop"}


class FakeQemu:
    """Tells `status`, or nothing, and after that the event `then`, if any."""

    def __init__(
        self, files: MachineFiles, status: str | None, then: dict[str, Any] | None
    ) -> None:
        self.orders: list[str] = []
        self._status, self._then = status, then
        self._listener = files.listen(files.monitor)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):  # nobody may have come
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.sendall(_line(GREETING))
            while command := connection.recv(65536):
                asked = json.loads(command)
                self.orders.append(asked["execute"])
                if asked["execute"] == "query-status" and self._status is None:
                    continue
                connection.sendall(_line(self._answer(asked)))
                if asked["execute"] == "query-status" and self._then is not None:
                    connection.sendall(_line(self._then))

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        told = {"status": self._status} if asked["execute"] == "query-status" else {}
        return {"return": told} | {key: asked[key] for key in ("id",) if key in asked}


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\r\n"


def _event(name: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 0}}


Watched = Callable[[str | None, dict[str, Any] | None], tuple[RunningMachine, FakeQemu]]


@pytest.fixture
def watched() -> Iterator[Watched]:
    loop = EventLoop()
    made: list[tuple[RunningMachine, FakeQemu]] = []
    with tempfile.TemporaryDirectory(prefix="machine-") as directory:
        files = MachineFiles(directory=Path(directory))

        def make(
            status: str | None, then: dict[str, Any] | None
        ) -> tuple[RunningMachine, FakeQemu]:
            machine = RunningMachine(
                loop,
                a_port("vpc-0a"),
                files,
                os.pidfd_open(os.getpid()),
                lambda _: None,
                lambda _: None,
            )
            made.append((machine, FakeQemu(files, status, then)))
            return made[-1]

        yield make
        for machine, theirs in made:
            loop.submit(machine.let_go()).result(30)
            theirs.close()
        loop.close()


def test_an_error_after_the_status_was_told_is_not_forgotten(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine tells that it runs, then that it does not; who asked takes its time."""
    monkeypatch.setattr(running, "_RESUME_EVERY_S", 0.0)
    machine, theirs = watched("running", _event("BLOCK_IO_ERROR", ERROR))
    read = machine.monitor.read

    def slowly(*asked: Any, **how: Any) -> Any:
        told = read(*asked, **how)
        until(lambda: machine.stalls)
        return told

    monkeypatch.setattr(machine.monitor, "read", slowly)
    machine.connect(30)
    assert machine.stalls.volumes == {"vol-0a"}
    until(lambda: tended(machine) and "cont" in theirs.orders, what="it is resumed")
    assert machine.stalls.volumes == {"vol-0a"}
    assert machine.files.stalled.read_text() == "vol-0a Input/output error\n"


def test_a_machine_that_is_found_waiting_for_its_disk_is_told_and_resumed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_RESUME_EVERY_S", 0.0)
    machine, theirs = watched("io-error", None)
    machine.connect(30)
    until(lambda: machine.stalls)
    until(lambda: tended(machine) and "cont" in theirs.orders, what="it is resumed")


def test_a_machine_that_does_not_tell_its_status_is_asked_again(watched: Watched) -> None:
    """It may be paused, and then nothing comes from it that would tell."""
    machine, _ = watched(None, None)
    with pytest.raises(MachineFailed, match="no answer to query-status"):
        machine.connect(0.5)
    assert machine.lost_monitor()


def tended(machine: RunningMachine) -> bool:
    machine._loop.submit(machine.tend()).result(30)
    return True
