"""What is to be done later, by one thread, however much it is."""

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Later:
    """Acts by name, each with its time. Thread-safe; acts are done without a lock held."""

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._due: dict[str, tuple[float, Callable[[], None]]] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, name: str, in_s: float, act: Callable[[], None]) -> None:
        """Do `act` in so many seconds, unless this is closed before."""
        with self._changed:
            self._due[name] = (time.monotonic() + in_s, act)
            self._changed.notify()

    def hurry(self, name: str) -> None:
        """Do it now, in this thread, if it is yet to be done."""
        with self._changed:
            _, act = self._due.pop(name, (0.0, None))
        if act is not None:
            act()

    def has(self, name: str) -> bool:
        with self._changed:
            return name in self._due

    def close(self) -> None:
        """Do nothing any more."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now_s = time.monotonic()
                ready = [name for name, (at_s, _) in self._due.items() if at_s <= now_s]
                if not ready:
                    first_s = min((at_s for at_s, _ in self._due.values()), default=None)
                    self._changed.wait(None if first_s is None else first_s - now_s)
            for name in ready:
                try:
                    self.hurry(name)
                except Exception:  # noqa: BLE001, the others have their time, too
                    _log.exception("%s could not be gone on with", name)
