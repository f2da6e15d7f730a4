"""One connection's requests, answered: what is here at once, what is not when it has come.

A request that comes alone and asks for little is answered by the poller, which serves all, if that
can be done at once, or by the thread that has fetched what was not here. For everything else, and
while requests follow one another, a client has two threads of its own: one reads requests and
answers those whose blocks are here, the other, made when it is first needed, answers the rest.
So a client that does not take its answers holds up nobody but itself, and out of order is in order:
each answer has its request's cookie.
"""

import logging
import queue
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from openami.nbd import wire
from openami.nbd.answers import (
    Unreadable,
    blocks_of,
    extents_of,
    hot_answers,
    is_whole,
    read_parts,
)
from openami.nbd.disk import Disk, NotAtHand, Wanted
from openami.nbd.handshake import Agreed
from openami.nbd.kept import State
from openami.nbd.outgoing import Outgoing
from openami.nbd.poller import Poller
from openami.nbd.wire import Command, CommandFlag, Errno, Request

COLD_BLOCKS_MAX: Final = 256
"""Blocks for which one connection waits at a time; no further request is read meanwhile."""
EXTENTS_MAX: Final = 512
_RECEIVED_BYTES: Final = 64 * 1024
_LITTLE_BYTES: Final = 128 * 1024  # what guests read ahead by
_SEND_BUFFER_BYTES: Final = 2 * 1024 * 1024
_IDLE: Final = struct.pack("ll", 0, 20_000)  # seconds and microseconds: then they are the poller's
_PLAIN_READ: Final = (Command.READ.value, 0)
_FLAGS_OF: Final[Mapping[int, int]] = {
    Command.READ: CommandFlag.DF.value,
    Command.WRITE: 0xFFFF,  # refused whatever it says, but what follows it has to be passed over
    Command.BLOCK_STATUS: CommandFlag.REQ_ONE.value,
}
_log = logging.getLogger(__name__)


class _Broken(Exception):
    """The connection cannot go on: its stream says nothing that can be trusted any more."""


class Connection:
    """A client that has negotiated. `serve` returns when it has gone, or was sent away."""

    def __init__(
        self, connection: socket.socket, disk: Disk, agreed: Agreed, poller: Poller
    ) -> None:
        self._socket, self._disk, self._agreed = connection, disk, agreed
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _IDLE)
        self._poller = poller
        self._handed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._size_bytes = disk.root.size_bytes
        self._sending = Outgoing(connection, disk.kept.distrust_mapped)
        self._skip = 0  # bytes of a refused WRITE that are still to come
        self._came: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._later: threading.Thread | None = None
        self._cold_blocks = 0
        self._cold_changed = threading.Condition()
        self._ended = False
        self._commands: dict[int, Callable[[Request], None]] = {
            Command.READ: self._read,
            Command.WRITE: self._write,
            Command.FLUSH: self._flush,
            Command.CACHE: self._cache,
            Command.BLOCK_STATUS: self._block_status,
        }

    def serve(self) -> None:
        try:
            self._requests()
        except (OSError, _Broken) as wrong:
            _log.debug("a connection ends: %s", wrong)
        finally:
            self.end()
            with self._sending:  # whoever sends at once has: the caller closes the socket now
                pass
            with self._cold_changed:
                later = self._later  # and no other is made
            if later is not None:
                self._came.put(None)
                later.join()

    def end(self) -> None:
        """Called by anybody: what is under way comes to nothing, and `serve` returns."""
        with self._cold_changed:
            self._ended = True
            self._cold_changed.notify_all()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # a send or a receive under way ends

    # What the poller does

    def fileno(self) -> int:
        return self._socket.fileno()

    def turn(self) -> bytes | None:
        try:
            data = self._socket.recv(_RECEIVED_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return None if len(data) == wire.REQUEST.size and self._settled(data) else data

    def hand(self, data: bytes) -> None:
        self._handed.put(data)

    def _settled(self, data: bytes) -> bool:
        """Whether this request is answered, or will be by who fetches."""
        magic, *fields = wire.REQUEST.unpack(data)
        request = Request._make(fields)
        is_read = magic == wire.REQUEST_MAGIC and (request.command, request.flags) == _PLAIN_READ
        is_little = 0 < request.length <= _LITTLE_BYTES
        if not (is_read and is_little and request.end <= self._size_bytes):
            return False
        first, last = blocks_of(request)
        if self._disk.recording is not None:
            self._disk.recording.note(first, last)
        if self._disk.states.find(State.ABSENT, first, last + 1) >= 0:
            if not self._took_room(last + 1 - first):
                return False
            wanted = self._disk.want(first, last, lambda well: self._have_come(request, well))
            if wanted is Wanted.COMING:
                return True
            self._have_room_of(request)
            if wanted is Wanted.FAILS:
                return False
        return self._sent_at_once(request)

    # What its own thread does

    def _requests(self) -> None:
        is_on = True
        while is_on:
            self._poller.attend(self)
            is_on = self._stream(self._handed.get())

    def _stream(self, data: bytes) -> bool:
        """Answer this and what follows; False at its end, True when nothing comes for a moment."""
        left = b""
        while data:
            data = left + data
            position = 0
            while True:
                skipped = min(self._skip, len(data) - position)
                self._skip -= skipped
                position += skipped
                hot, position = hot_answers(data, position, self._disk, self._agreed.structured)
                if hot:
                    with self._sending:
                        self._sending.add(hot)
                        self._sending.send()
                if len(data) - position < wire.REQUEST.size:
                    break
                if not self._request(data, position):
                    return False
                position += wire.REQUEST.size
            left = data[position:]
            with self._sending:
                self._sending.send()
            received = self._received()
            while received is None and (left or self._skip):
                received = self._received()
            if received is None:
                return True
            data = received
        return False

    def _received(self) -> bytes | None:
        try:
            return self._socket.recv(_RECEIVED_BYTES)
        except BlockingIOError:  # _IDLE is over
            return None

    def _request(self, data: bytes, position: int) -> bool:
        """Answer one, or see that it is answered; False if the client says goodbye."""
        magic, *fields = wire.REQUEST.unpack_from(data, position)
        if magic != wire.REQUEST_MAGIC:
            raise _Broken("what it sends is no request")
        request = Request._make(fields)
        if request.command == Command.DISC:
            return False
        perform = self._commands.get(request.command)
        if perform is None or request.flags & ~_FLAGS_OF.get(request.command, 0):
            self._refuse(request, Errno.EINVAL)
        else:
            perform(request)
        return True

    # Commands

    def _read(self, request: Request) -> None:
        is_bad = not 0 < request.length <= wire.PAYLOAD_BYTES_MAX
        fragment = not request.flags & CommandFlag.DF
        if is_bad or request.end > self._size_bytes or not (fragment or self._agreed.structured):
            self._refuse(request, Errno.EINVAL)
            return
        first, last = blocks_of(request)
        if self._disk.recording is not None:
            self._disk.recording.note(first, last)
        if self._disk.states.find(State.ABSENT, first, last + 1) < 0:
            self._answer_read(request)
            return
        self._await_room(last + 1 - first)
        match self._disk.want(first, last, lambda well: self._have_come(request, well)):
            case Wanted.HERE:
                self._have_room_of(request)
                self._answer_read(request)
            case Wanted.FAILS:
                self._have_room_of(request)
                self._refuse(request, Errno.EIO)
            case Wanted.COMING:
                pass

    def _write(self, request: Request) -> None:
        self._skip = request.length
        self._refuse(request, Errno.EPERM)

    def _flush(self, request: Request) -> None:
        self._acknowledge(request)

    def _cache(self, request: Request) -> None:
        if request.length == 0 or request.end > self._size_bytes:
            self._refuse(request, Errno.EINVAL)
            return
        self._disk.hint(*blocks_of(request))
        self._acknowledge(request)

    def _block_status(self, request: Request) -> None:
        is_bad = request.length == 0 or request.end > self._size_bytes
        if is_bad or not self._agreed.allocation:
            self._refuse(request, Errno.EINVAL)
            return
        extents_max = 1 if request.flags & CommandFlag.REQ_ONE else EXTENTS_MAX
        try:
            extents = extents_of(self._disk.run, request.offset, request.end, extents_max)
        except Exception as wrong:  # noqa: BLE001, as with a block: whatever a store meets
            _log.warning("%s: no block status: %s", self._disk.root.to_text(), wrong)
            self._refuse(request, Errno.EIO)
            return
        with self._sending:
            self._sending.put(wire.block_status(request.cookie, extents))

    # Answers

    def _acknowledge(self, request: Request) -> None:
        of = wire.none if self._agreed.structured else wire.simple
        with self._sending:
            self._sending.put(of(request.cookie))

    def _refuse(self, request: Request, error: Errno) -> None:
        of = wire.failed if self._agreed.structured else wire.simple
        with self._sending:
            self._sending.put(of(request.cookie, error))

    def _answer_read(self, request: Request) -> None:
        """The blocks are here, or were a moment ago."""
        with self._sending:
            try:
                for part in read_parts(request, self._agreed.structured, self._disk.piece):
                    self._sending.put(part)
            except Unreadable as wrong:
                _log.warning("%s: %s: %s", self._disk.root.to_text(), wrong, wrong.__cause__)
                if is_whole(request, self._agreed.structured):
                    raise _Broken("bytes that were promised cannot be had") from wrong
                self._sending.put(wire.failed(request.cookie, Errno.EIO))

    # What is not here yet

    def _took_room(self, blocks: int) -> bool:
        with self._cold_changed:
            is_room = self._cold_blocks + blocks <= COLD_BLOCKS_MAX
            self._cold_blocks += blocks if is_room else 0
        return is_room

    def _await_room(self, blocks: int) -> None:
        with self._sending:
            self._sending.send()  # nobody waits for answers while we wait for room
        with self._cold_changed:
            while self._cold_blocks and self._cold_blocks + blocks > COLD_BLOCKS_MAX:
                if self._ended:
                    raise _Broken("it is being sent away")
                self._cold_changed.wait()
            self._cold_blocks += blocks

    def _have_room_of(self, request: Request) -> None:
        first, last = blocks_of(request)
        self._have_room(last + 1 - first)

    def _have_room(self, blocks: int) -> None:
        with self._cold_changed:
            self._cold_blocks -= blocks
            self._cold_changed.notify_all()

    def _have_later(self, answer: Callable[[], None]) -> None:
        """Have it done by the thread that waits for this client alone."""
        with self._cold_changed:
            if self._ended:
                return
            if self._later is None:
                later = threading.Thread(target=self._answer_later, name="late", daemon=True)
                try:
                    later.start()
                except RuntimeError:  # the host has no thread left for it
                    self.end()
                    return
                self._later = later
        self._came.put(answer)

    def _have_come(self, request: Request, well: bool) -> None:
        """Called by a thread that fetches for all, and so must not wait for this client. What is
        little it sends, where that can be done at once: to wake our own thread takes longer."""
        is_little = well and request.length <= _LITTLE_BYTES
        if is_little and self._sent_at_once(request):
            self._have_room_of(request)
        else:
            self._have_later(partial(self._answer, request, well=well))

    def _sent_at_once(self, request: Request) -> bool:
        """Or as far as the client takes it, and the rest when it takes that."""
        try:
            at_hand = self._disk.piece_at_hand
            parts = list(read_parts(request, self._agreed.structured, at_hand))
        except (NotAtHand, Unreadable):
            return False
        if not self._sending.entered_at_once():
            return False
        try:
            if self._ended or not self._sending.is_empty():
                return False
            self._sending.add(parts)
            self._sending.send(socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._have_later(self._send_left)
        except OSError as wrong:
            _log.debug("a connection ends: %s", wrong)
            self.end()
        finally:
            self._sending.leave()
        return True

    def _answer(self, request: Request, *, well: bool) -> None:
        if well:
            self._answer_read(request)
        else:
            self._refuse(request, Errno.EIO)
        self._send_left()
        self._have_room_of(request)

    def _send_left(self) -> None:
        with self._sending:
            self._sending.send()

    def _answer_later(self) -> None:
        try:
            while (answer := self._came.get()) is not None:
                answer()
        except (OSError, _Broken) as wrong:
            _log.debug("a connection ends: %s", wrong)
            self.end()
