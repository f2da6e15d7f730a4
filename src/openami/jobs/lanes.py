"""Lanes: of the jobs of one kind of work only so many run at once, and the others wait in turn.

Owners take turns, and none has more than half of a lane, so that who asks for much at once keeps
nobody else from a little.
"""

import threading
from collections.abc import Callable
from typing import Final

TRANSFERS: Final = "transfers"
"""Disks and images on their way in or out: bytes of any number, at the speed of somebody's S3."""

COPIES: Final = "copies"
"""Snapshots from one store to another, into the archive and back, to this host; those that were
written block by block, on their way to be whole. Not those of volumes: their moment is now."""

Begin = Callable[[], bool]
"""Begins a job that has its turn; False if it is not running then. Raises nothing."""


class Lane:
    """`width` jobs at once. Thread-safe; what begins a job is called without a lock held."""

    def __init__(self, width: int) -> None:
        self._width, self._of_one = width, -(-width // 2)
        self._lock = threading.Lock()
        self._closed = False
        self._running: dict[str, str] = {}  # job id → owner
        self._waiting: dict[str, dict[str, Begin]] = {}  # owners in the order of their turns

    def enter(self, job_id: str, owner: str, begin: Begin) -> None:
        """Begin the job as soon as it is its turn."""
        with self._lock:
            self._waiting.setdefault(owner, {})[job_id] = begin
        self._advance()

    def hold(self, job_id: str) -> None:
        """The job runs already: it was recovered. Whose it is, `belongs` tells."""
        with self._lock:
            self._running[job_id] = ""

    def belongs(self, job_id: str, owner: str) -> None:
        """If the job runs, it is one of this owner's."""
        with self._lock:
            if job_id in self._running:
                self._running[job_id] = owner

    def hurry(self, job_id: str) -> None:
        """Begin the job now, beside those that have their turn, if it is waiting."""
        with self._lock:
            owner = next((each for each in self._waiting if job_id in self._waiting[each]), None)
            begin = None if owner is None else self._taken(owner, job_id)
        if begin is not None:
            begin()

    def leave(self, job_id: str) -> None:
        """The job has ended, or stops here."""
        with self._lock:
            self._running.pop(job_id, None)
        self._advance()

    def close(self) -> list[str]:
        """Begin nothing any more. The ids of those that were waiting."""
        with self._lock:
            self._closed = True
            left = [job_id for jobs in self._waiting.values() for job_id in jobs]
            self._waiting.clear()
        return left

    def _advance(self) -> None:
        while (found := self._next()) is not None:
            job_id, begin = found
            if not begin():
                with self._lock:
                    self._running.pop(job_id, None)

    def _next(self) -> tuple[str, Begin] | None:
        """The first job of the first owner who may have one more; it counts as running."""
        with self._lock:
            if self._closed or len(self._running) >= self._width:
                return None
            running = list(self._running.values())
            for owner in self._waiting:
                if running.count(owner) < self._of_one:
                    job_id = next(iter(self._waiting[owner]))
                    self._running[job_id] = owner
                    return job_id, self._taken(owner, job_id)
            return None

    def _taken(self, owner: str, job_id: str) -> Begin:
        """Take the job out of the line; its owner has the last turn next time."""
        jobs = self._waiting.pop(owner)
        begin = jobs.pop(job_id)
        if jobs:
            self._waiting[owner] = jobs
        return begin
