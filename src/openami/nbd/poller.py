"""One thread that waits for all connections of which nothing is under way.

A thread that wakes for one request costs more than the request: many guests who ask at the same
moment would each wait for all others' threads, and so would the one that fetches for them.
"""

import logging
import select
import socket
import threading
from typing import Final, Protocol

_log = logging.getLogger(__name__)


class Attended(Protocol):
    def fileno(self) -> int: ...

    def turn(self) -> bytes | None:
        """Something has come. None if that is settled; else what it was, or empty for its end:
        it is then no longer attended, and told so by `hand`. It must not block."""
        ...

    def hand(self, data: bytes) -> None:
        """It may be closed or attended again from now on."""
        ...


class Poller:
    """Thread-safe. Whoever is attended must not be closed before it is handed back."""

    def __init__(self) -> None:
        self._epoll: Final = select.epoll()
        self._attended: dict[int, Attended] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._wake, self._woken = socket.socketpair()
        self._epoll.register(self._woken, select.EPOLLIN)
        self._thread = threading.Thread(target=self._work, name="poll", daemon=True)
        self._thread.start()

    def attend(self, attended: Attended) -> None:
        """Raises OSError."""
        number = attended.fileno()
        with self._lock:
            if not self._closed:
                self._attended[number] = attended
                try:
                    self._epoll.register(number, select.EPOLLIN)
                except OSError:
                    del self._attended[number]
                    raise
                return
        attended.hand(b"")

    def close(self) -> None:
        """Hand everything back, as if it had ended."""
        with self._lock:
            self._closed = True
        self._wake.send(b"x")
        self._thread.join()
        for number in list(self._attended):
            self._hand(number, b"")
        self._epoll.close()
        self._wake.close()
        self._woken.close()

    def _work(self) -> None:
        woken = self._woken.fileno()
        while not self._closed:
            for number, _ in self._epoll.poll():
                if number == woken:
                    continue
                try:
                    data = self._attended[number].turn()
                except Exception:  # noqa: BLE001, it must outlive whatever one client meets
                    _log.exception("a client is sent away")
                    data = b""
                if data is not None:
                    self._hand(number, data)

    def _hand(self, number: int, data: bytes) -> None:
        with self._lock:
            attended = self._attended.pop(number)
            self._epoll.unregister(number)
        attended.hand(data)
