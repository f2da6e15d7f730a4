"""Whose file systems are held still for the moment of a copy, and that they always go on."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from openami.compute.qemu import guest_agent
from openami.compute.qemu.command_line import AGENT
from openami.compute.qemu.files import MachineFiles
from openami.compute.qemu.guest_agent import ANSWER_BYTES_MAX, GuestAgent
from openami.compute.qemu.qmp import EventLoop, Monitor
from support.guest_agent import FakeAgent
from support.waiting import until

FREEZE, THAW, GREET = "guest-fsfreeze-freeze", "guest-fsfreeze-thaw", "guest-sync-delimited"


class Machine:
    """As QEMU tells of it: whether the guest has the channel open."""

    def __init__(self, directory: Path) -> None:
        self.files, self.open, self.waits, self.questions = (
            MachineFiles(directory=directory),
            True,
            False,
            0,
        )
        self.loop = EventLoop()
        self.theirs = FakeAgent(self.files)
        self.ours = self.taken_up()

    def taken_up(self) -> GuestAgent:
        """As by a server that has just started."""
        return GuestAgent(self.loop, self.files, cast("Monitor", self), lambda: self.waits)

    def read(self, command: str, reader: Callable[[Any], bool]) -> bool:
        assert command == "query-chardev"
        self.questions += 1
        others = [{"label": "console", "frontend-open": True}]
        return reader([*others, {"label": AGENT, "frontend-open": self.open}])

    def copied(self) -> bool:
        """Whether the file systems were still at the moment of a copy."""
        with self.ours.still():
            return self.theirs.frozen

    def tended(self, ours: GuestAgent) -> bool:
        self.loop.submit(_done(ours.tend)).result(30)
        return not self.files.frozen.exists()

    def close(self) -> None:
        self.theirs.close()
        self.loop.close()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for limit in ("_GREETING_TIMEOUT_S", "_FREEZE_TIMEOUT_S", "_THAW_TIMEOUT_S"):
        monkeypatch.setattr(guest_agent, limit, 30.0)  # a test that waits so long fails anyway
    with tempfile.TemporaryDirectory(prefix="agent-") as directory:
        machine = Machine(Path(directory))
        yield machine
        machine.close()


async def _done(work: Callable[[], None]) -> None:
    work()


def test_the_files_are_still_for_the_moment_of_the_copy_and_not_longer(machine: Machine) -> None:
    for _ in range(3):
        assert machine.copied()
        assert not machine.theirs.frozen
        assert not machine.files.frozen.exists()
    assert machine.theirs.asked == 3 * [GREET, FREEZE, THAW]


def test_a_copy_that_fails_thaws_the_guest(machine: Machine) -> None:
    with pytest.raises(OSError, match="no room"), machine.ours.still():
        raise OSError("no room")
    assert machine.theirs.asked == [GREET, FREEZE, THAW]
    assert not machine.theirs.frozen


def test_a_guest_that_runs_no_agent_is_not_asked(machine: Machine) -> None:
    machine.open = False
    assert not machine.copied()
    assert machine.theirs.asked == []


def test_a_guest_that_waits_for_its_disk_is_not_asked(machine: Machine) -> None:
    machine.waits = True
    assert not machine.copied()
    assert (machine.theirs.asked, machine.questions) == ([], 0)


def test_of_a_machine_that_was_started_without_a_channel_nothing_is_asked(
    machine: Machine,
) -> None:
    machine.files.agent.unlink()
    assert not machine.copied()
    assert machine.questions == 0


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"\xff[]\n",
        b"\xff" + 5000 * b"[" + b"\n",
        b"\xff{}\n",
        b'\xff{"return": 1}\n',
        b"\xffno json\n",
        b"\xff\xfe\xff\n",
        2 * ANSWER_BYTES_MAX * b"\xff",
        2 * ANSWER_BYTES_MAX * b"\n",
        2 * ANSWER_BYTES_MAX * b"x",
        ANSWER_BYTES_MAX // 4 * b"\xff{}\n",
    ],
    ids=lambda said: repr(said[:12]),
)
def test_an_agent_that_does_not_greet_is_left_alone_and_the_copy_is_made(
    machine: Machine, says: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_agent, "_GREETING_TIMEOUT_S", 0.2)
    machine.theirs.behaves = lambda _command, _given: says
    assert not machine.copied()
    until(lambda: machine.theirs.asked == [GREET])
    assert not machine.files.frozen.exists()


def test_what_others_were_answered_is_passed_over(machine: Machine) -> None:
    stale = b'{"error": {"class": "GenericError"}}\n\xff{"return": 1}\n{"ret\xff{"return": 2}\n'

    def behaves(command: str, given: Any) -> bytes | None:
        return stale + machine.theirs.answer(command, given) if command == GREET else None

    machine.theirs.behaves = behaves
    assert machine.copied()
    assert not machine.theirs.frozen


@pytest.mark.parametrize("says", [b"", b'{"error": {"class": "CommandNotFound"}}\n', b"[]\n"])
def test_an_agent_that_does_not_say_it_froze_is_thawed_all_the_same(
    machine: Machine, says: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have frozen, or be about to."""
    monkeypatch.setattr(guest_agent, "_FREEZE_TIMEOUT_S", 0.2)

    def behaves(command: str, given: Any) -> bytes | None:
        if command != FREEZE:
            return None
        machine.theirs.answer(command, given)
        return says

    machine.theirs.behaves = behaves
    assert machine.copied()
    assert THAW in machine.theirs.asked
    assert not machine.theirs.frozen
    assert not machine.files.frozen.exists()


def test_a_thaw_without_an_answer_is_tried_until_there_is_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_agent, "_THAW_TIMEOUT_S", 0.2)
    monkeypatch.setattr(guest_agent, "_THAW_AGAIN_S", 0.0)
    machine.theirs.behaves = lambda command, _given: b"" if command == THAW else None
    assert machine.copied()
    assert machine.theirs.frozen
    assert machine.files.frozen.exists()
    until(lambda: machine.tended(machine.ours) or machine.theirs.asked.count(THAW) > 2)
    assert machine.theirs.frozen
    machine.theirs.behaves = lambda _command, _given: None
    until(lambda: machine.tended(machine.ours))
    assert not machine.theirs.frozen
    assert machine.copied()


def test_a_guest_that_was_reset_is_owed_no_thaw(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guest_agent, "_THAW_TIMEOUT_S", 0.2)
    monkeypatch.setattr(guest_agent, "_THAW_AGAIN_S", 0.0)
    machine.theirs.behaves = lambda command, _given: b"" if command == THAW else None
    assert machine.copied()
    asked = list(machine.theirs.asked)
    machine.loop.call(machine.ours.was_reset)
    until(lambda: not machine.files.frozen.exists())
    for ours in (machine.ours, machine.taken_up()):
        assert machine.tended(ours)
        with ours._one_at_a_time:  # so that what it had begun has come to its end
            assert machine.theirs.asked == asked


def test_a_guest_that_is_reset_while_it_is_frozen_is_thawed(machine: Machine) -> None:
    with machine.ours.still():
        machine.loop.call(machine.ours.was_reset)
    assert machine.theirs.asked == [GREET, FREEZE, THAW]
    assert not machine.files.frozen.exists()


def test_a_thaw_that_is_never_answered_is_told_a_few_times(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guest_agent, "_THAW_TIMEOUT_S", 0.02)
    monkeypatch.setattr(guest_agent, "_THAW_AGAIN_S", 0.0)
    machine.theirs.behaves = lambda command, _given: b"" if command == THAW else None
    assert machine.copied()
    until(lambda: machine.tended(machine.ours) or machine.theirs.asked.count(THAW) > 8)
    assert caplog.text.count("may still be frozen") == guest_agent._THAWS_TOLD


def test_what_a_killed_server_froze_is_thawed_by_the_next(machine: Machine) -> None:
    machine.files.frozen.touch()
    machine.theirs.frozen = True
    next_one = machine.taken_up()
    until(lambda: machine.tended(next_one))
    assert not machine.theirs.frozen
    assert machine.theirs.asked == [GREET, THAW]


def test_a_server_that_owes_nothing_speaks_to_no_agent(machine: Machine) -> None:
    machine.tended(machine.ours)
    assert machine.copied()
    machine.tended(machine.ours)
    assert machine.theirs.asked == [GREET, FREEZE, THAW]


def test_who_cannot_note_that_a_thaw_is_owed_does_not_freeze(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    assert not machine.copied()
    assert machine.theirs.asked == [GREET]
