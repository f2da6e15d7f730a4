"""What follows from the machines' events, done in a few threads: in order for each machine.

What one machine brings about may wait long, for the lock of its instance for example. It keeps
its own next news waiting then, and nobody else's.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from openami.domain.ids import InstanceId

THREADS: Final = 8
_log = logging.getLogger(__name__)

Work = Callable[[], None]


class News:
    """A queue per machine over one pool of threads."""

    def __init__(self, name: str, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._guard = threading.Lock()
        # Of the machines that something is being done for now: what is to be done after it.
        self._waiting: dict[InstanceId, deque[tuple[str, Work]]] = {}
        self._closed = False

    def add(self, instance_id: InstanceId, work: Work, *, once: str = "") -> None:
        """Have it done soon. Never waits.

        While something under the name `once` waits, more under that name adds nothing: a guest
        may bring about as much of it as it likes.
        """
        with self._guard:
            if self._closed:
                return
            waiting = self._waiting.get(instance_id)
            if waiting is None:
                self._waiting[instance_id] = deque()
                self._begin(instance_id, work)
            elif not once or all(name != once for name, _ in waiting):
                waiting.append((once, work))

    def close(self) -> None:
        """What is being done is waited for; what has not begun is not done."""
        with self._guard:
            self._closed = True
            self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, instance_id: InstanceId, work: Work) -> None:
        # What is called back may be called here and now, under the guard: it only logs.
        self._pool.submit(self._do, instance_id, work).add_done_callback(_log_failure)

    def _do(self, instance_id: InstanceId, work: Work) -> None:
        try:
            work()
        finally:
            self._next(instance_id)

    def _next(self, instance_id: InstanceId) -> None:
        with self._guard:
            waiting = self._waiting.get(instance_id)
            if self._closed or waiting is None:
                return
            if waiting:
                self._begin(instance_id, waiting.popleft()[1])
            else:
                del self._waiting[instance_id]


def _log_failure(done: "Future[None]") -> None:
    if not done.cancelled() and (failure := done.exception()):
        _log.error("what follows from a machine's event failed", exc_info=failure)
