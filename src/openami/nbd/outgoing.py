"""What goes to one client, by whichever thread has it: answers, each whole, in any order.

Whoever breaks off within an answer is the last one: the client would take what comes next for it.
"""

import errno
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

from openami.nbd.disk import Bytes

_SENT_AT_ONCE_BYTES: Final = 1024 * 1024
_SENT_AT_ONCE: Final = 128


class Outgoing:
    """A lock: whoever holds it has the client to himself. All but that is done with it held."""

    def __init__(self, to: socket.socket, on_fault: Callable[[], None]) -> None:
        """`on_fault` is told when the kernel could not read what it was given."""
        self._socket, self._on_fault = to, on_fault
        self._lock = threading.Lock()
        self._waiting: list[Bytes] = []
        self._waiting_bytes = 0
        self._is_broken = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._break()
        self._lock.release()

    def entered_at_once(self) -> bool:
        """Whether it is held now; it is to be let go of with `leave`."""
        return self._lock.acquire(blocking=False)

    def leave(self) -> None:
        self._lock.release()

    def is_empty(self) -> bool:
        return not self._waiting

    def add(self, parts: Iterable[Bytes]) -> None:
        """Of a few hundred parts at most, with those that wait: sendmsg(2) takes 1024.

        Raises OSError if an answer was broken off.
        """
        self._require_whole()
        self._waiting += parts
        self._waiting_bytes = sum(map(len, self._waiting))

    def put(self, data: Bytes) -> None:
        """Send it with what comes next, or now if that is much. Raises OSError."""
        self._require_whole()
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _SENT_AT_ONCE_BYTES or len(self._waiting) >= _SENT_AT_ONCE:
            self.send()

    def send(self, flags: int = 0) -> None:
        """Raises OSError; BlockingIOError if it must not wait (send(2), MSG_DONTWAIT) and would
        have to: what is left goes before all that is sent later."""
        self._require_whole()
        try:
            while self._waiting:
                self._sent(self._socket.sendmsg(self._waiting, (), flags))
        except BlockingIOError:
            raise
        except OSError as failed:
            self._break()
            if failed.errno == errno.EFAULT:
                self._on_fault()
            raise

    def _break(self) -> None:
        self._is_broken = True
        self._waiting, self._waiting_bytes = [], 0

    def _require_whole(self) -> None:
        if self._is_broken:
            raise BrokenPipeError(errno.EPIPE, "an answer was broken off")

    def _sent(self, count: int) -> None:
        self._waiting_bytes -= count
        if self._waiting_bytes == 0:  # by far the most
            self._waiting = []
            return
        number = 0
        while count >= len(self._waiting[number]):
            count -= len(self._waiting[number])
            number += 1
        self._waiting[: number + 1] = [memoryview(self._waiting[number])[count:]]
