"""The monitor, spoken to by a machine that may be hostile."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from openami.compute.driver import MachineFailed
from openami.compute.qemu.qmp import REPLY_BYTES_MAX, EventLoop, Monitor
from support.waiting import until

GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}}}
GREETING["QMP"]["capabilities"] = []  # type: ignore[assignment]


class FakeQemu:
    """Answers each command with what `answer` says; bytes are sent as they are."""

    def __init__(self, answer: Callable[[str], Any]) -> None:
        self._answer = answer
        self.ours, self._theirs = socket.socketpair()
        self.ours.setblocking(False)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def says(self, message: object) -> None:
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._theirs.sendall(raw + b"\r\n")

    def _run(self) -> None:
        try:
            self.says(GREETING)
            # A client sends one command at a time and ends it with nothing.
            while command := self._theirs.recv(65536):
                if not command.strip():  # what a descriptor travels with
                    continue
                asked = json.loads(command)
                answer = self._answer(asked["execute"])
                if isinstance(answer, dict):
                    self.says({**answer, **{key: asked[key] for key in ("id",) if key in asked}})
                elif answer is not None:
                    self.says(answer)
        except OSError:
            return

    def close(self) -> None:
        with suppress(OSError):  # the other end may be closed already
            self._theirs.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._theirs.close()


Talks = Callable[[Callable[[str], Any]], tuple[Monitor, FakeQemu]]


class Events(list[tuple[str, dict[str, Any]]]):
    def __call__(self, name: str, data: Any) -> None:
        self.append((name, dict(data)))


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def talks(events: Events) -> Iterator[Talks]:
    loop = EventLoop()
    opened: list[tuple[Monitor, FakeQemu]] = []

    def connected(answer: Callable[[str], Any]) -> tuple[Monitor, FakeQemu]:
        def answers(command: str) -> Any:
            return {"return": {}} if command == "qmp_capabilities" else answer(command)

        machine = FakeQemu(answers)
        monitor = Monitor(loop, "i-1", events)
        opened.append((monitor, machine))
        monitor.connect(machine.ours)
        return monitor, machine

    yield connected
    for monitor, machine in opened:
        monitor.close()
        machine.close()
    loop.close()


def test_an_answer_is_returned(talks: Talks) -> None:
    monitor, _ = talks(lambda command: {"return": {"you said": command}})
    assert monitor.ask("query-status") == {"you said": "query-status"}


def test_a_refusal_is_told_with_the_machine_and_the_command_and_only_in_part(talks: Talks) -> None:
    monitor, _ = talks(lambda _: {"error": {"class": "GenericError", "desc": "no! " * 10_000}})
    with pytest.raises(MachineFailed, match="i-1: device_add: no! no!") as refused:
        monitor.ask("device_add")
    assert len(str(refused.value)) < 2000


def test_a_machine_that_does_not_answer_fails_the_call_in_time(talks: Talks) -> None:
    monitor, _ = talks(lambda _: None)
    with pytest.raises(MachineFailed, match="no answer to query-status"):
        monitor.ask("query-status", timeout_s=0.05)


def test_an_answer_without_end_breaks_the_connection_and_no_more(talks: Talks) -> None:
    monitor, _ = talks(lambda _: b"x" * (REPLY_BYTES_MAX + 2))
    with pytest.raises(MachineFailed, match="monitor is gone"):
        monitor.ask("query-status")
    until(lambda: not monitor.connected)
    with pytest.raises(MachineFailed, match="monitor is gone"):
        monitor.ask("query-status")


@pytest.mark.parametrize(
    "nonsense", [b"}{", b"[]", b'{"return": {}, "id": "unknown"}', b"\xff", b"[" * 100_000]
)
def test_nonsense_fails_the_call(talks: Talks, nonsense: bytes) -> None:
    monitor, _ = talks(lambda _: nonsense)
    with pytest.raises(MachineFailed):
        monitor.ask("query-status", timeout_s=2)


@pytest.mark.parametrize("nonsense", [{}, [], None, "x", 7, [{}], [7], {"fdset-id": "many"}])
def test_an_answer_of_another_shape_fails_the_call(talks: Talks, nonsense: object) -> None:
    monitor, machine = talks(lambda _: {"return": nonsense})
    with pytest.raises(MachineFailed, match="an answer that cannot be"):
        monitor.read("query-status", lambda told: int(told["status"]))
    with pytest.raises(MachineFailed, match="an answer that cannot be"):
        monitor.give(machine.ours.fileno(), "disk")


@pytest.mark.parametrize("nonsense", [7, [{}], [{"fdset-id": 1, "fds": [7]}]])
def test_sets_of_descriptors_of_another_shape_fail_the_call(talks: Talks, nonsense: object) -> None:
    monitor, _ = talks(lambda _: {"return": nonsense})
    with pytest.raises(MachineFailed, match="an answer that cannot be"):
        monitor.take_back("disk")


def test_events_are_handed_on_and_those_expected_are_awaited(talks: Talks, events: Events) -> None:
    monitor, machine = talks(lambda _: {"return": {}})
    at = {"seconds": 1, "microseconds": 1}
    with monitor.expect(lambda name, data: (name, data.get("guest")) == ("RESET", True)) as reset:
        assert not reset.wait(0)
        machine.says({"event": "STOP", "timestamp": at})
        machine.says({"event": "RESET", "timestamp": at, "data": {"guest": True}})
        assert reset.wait(10)
    until(lambda: len(events) == 2)
    assert events == [("STOP", {}), ("RESET", {"guest": True})]


def test_who_waits_for_an_event_hears_at_once_that_the_connection_is_over(talks: Talks) -> None:
    monitor, _ = talks(lambda _: {"return": {}})
    with monitor.expect(lambda *_: False) as never:
        threading.Timer(0.05, monitor.close).start()
        with pytest.raises(MachineFailed, match="monitor is gone"):
            never.wait(60)


def test_an_event_is_awaited_however_many_others_are_expected_meanwhile(talks: Talks) -> None:
    monitor, machine = talks(lambda _: {"return": {}})
    with ExitStack() as many, monitor.expect(lambda name, _: name == "STOP") as stop:
        for _ in range(300):
            many.enter_context(monitor.expect(lambda *_: False))
        machine.says({"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}})
        assert stop.wait(10)


def test_a_machine_that_is_gone_cannot_be_greeted(talks: Talks) -> None:
    loop = EventLoop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.close()
    with pytest.raises(MachineFailed, match="monitor is gone"):
        Monitor(loop, "i-1", lambda *_: None).connect(ours)
    loop.close()
