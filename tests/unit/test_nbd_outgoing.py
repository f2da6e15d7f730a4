"""What goes to one client of the block daemon: whole answers, and nothing after a broken one."""

import socket
from collections.abc import Iterator

import pytest

from openami.nbd.outgoing import Outgoing

Ends = tuple[Outgoing, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with ours, theirs:
        yield Outgoing(ours, lambda: None), theirs


def test_what_waits_goes_before_what_is_sent_later(ends: Ends) -> None:
    outgoing, theirs = ends
    with outgoing:
        outgoing.put(b"head ")
        outgoing.add([b"data ", b"more"])
        outgoing.send()
    assert theirs.recv(100) == b"head data more"


def test_nothing_follows_an_answer_that_was_broken_off(ends: Ends) -> None:
    """Its client would take the next answer for the bytes that are missing."""
    outgoing, theirs = ends
    with pytest.raises(ZeroDivisionError), outgoing:
        outgoing.put(b"the head of an answer")
        raise ZeroDivisionError
    with pytest.raises(BrokenPipeError), outgoing:
        outgoing.put(b"another answer")
    with pytest.raises(BrokenPipeError), outgoing:
        outgoing.add([b"another answer"])
    with pytest.raises(BrokenPipeError), outgoing:
        outgoing.send()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_nothing_follows_an_answer_that_could_not_be_sent(ends: Ends) -> None:
    outgoing, theirs = ends
    theirs.close()
    with pytest.raises(OSError), outgoing:
        outgoing.put(b"an answer")
        outgoing.send()
    assert outgoing.is_empty()
    with pytest.raises(BrokenPipeError), outgoing:
        outgoing.put(b"another")


def test_a_client_that_takes_no_more_for_now_has_the_rest_later(ends: Ends) -> None:
    outgoing, theirs = ends
    block = bytes(1 << 20)
    with pytest.raises(BlockingIOError):
        assert outgoing.entered_at_once()
        try:
            outgoing.add([block, block])
            outgoing.send(socket.MSG_DONTWAIT)
        finally:
            outgoing.leave()
    left = 2 * len(block)
    while not outgoing.is_empty():
        left -= len(theirs.recv(left))
        with_room = outgoing.entered_at_once()
        assert with_room
        try:
            outgoing.send(socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        finally:
            outgoing.leave()
    while left:
        left -= len(theirs.recv(left))
    assert left == 0
