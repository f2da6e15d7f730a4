"""The poller: it serves many, and hands back whom it cannot serve."""

import queue
import socket

import pytest

from openami.nbd.poller import Poller


class Told:
    """Attended; what comes is settled where it says so."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.settled: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.handed: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def fileno(self) -> int:
        return self.ours.fileno()

    def turn(self) -> bytes | None:
        data = self.ours.recv(100)
        if data == b"wrong":
            raise ValueError(data)
        if data != b"settle":
            return data
        self.settled.put(data)
        return None

    def hand(self, data: bytes) -> None:
        self.handed.put(data)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


def test_who_is_handed_back_is_attended_again_when_it_asks_for_that() -> None:
    poller, first, second = Poller(), Told(), Told()
    for each in (first, second):
        poller.attend(each)
    for _ in range(2):
        for each in (first, second):
            each.theirs.send(b"settle")
            assert each.settled.get(timeout=60) == b"settle"
        first.theirs.send(b"more")
        assert first.handed.get(timeout=60) == b"more"
        poller.attend(first)
    poller.close()
    for each in (first, second):
        assert each.handed.get(timeout=60) == b"", "it ends"
        each.close()


def test_one_that_fails_is_handed_back_and_the_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    poller, bad, good = Poller(), Told(), Told()
    for each in (bad, good):
        poller.attend(each)
    bad.theirs.send(b"wrong")
    assert bad.handed.get(timeout=60) == b""
    assert "sent away" in caplog.text
    good.theirs.send(b"settle")
    assert good.settled.get(timeout=60) == b"settle"
    poller.close()
    poller.attend(bad)
    assert bad.handed.get(timeout=60) == b"", "nobody is attended any more"
    for each in (bad, good):
        each.close()
