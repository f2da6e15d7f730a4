"""Lanes: of the jobs of one kind of work only so many run at once, and the others wait in turn.

Owners take turns, and of what one owner waits for its regions do. No owner has more than half of a
lane, so that who asks for much at once keeps nobody else from a little. No region has more than
three quarters, so that one whose store is silent keeps no other from working, and one owner does
not fill it.
"""

import threading
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

TRANSFERS: Final = "transfers"
"""Disks and images on their way in or out: bytes of any number, at the speed of somebody's S3."""

MOMENTS: Final = "moments"
"""Copies of volumes that are taken: of a running machine one after the other, so that many may wait
for one. Wide, because who waits here gets a later moment."""

IMAGES: Final = "images"
"""The same for images, whose guests shut down before, which may take minutes."""

SNAPSHOTS: Final = "snapshots"
"""Copies of volumes on their way into a store. How they are taken is no part of it: their moment is
now."""

COPIES: Final = "copies"
"""Snapshots from one store to another, into the archive and back, to this host; those that were
written block by block, on their way to be whole."""

Begin = Callable[[], bool]
"""Begins a job that has its turn; False if it is not running then. Raises nothing."""


class Kind(NamedTuple):
    """Whose a job is, and between which regions it moves bytes."""

    owner: str = ""
    regions: frozenset[str] = frozenset()


NOBODYS: Final = Kind()
"""Of a job that was recovered, until it is told."""


class Lane:
    """`width` jobs at once, of one owner half of them at most, of one region three quarters.
    Thread-safe; what begins a job is called without a lock held."""

    def __init__(self, width: int) -> None:
        self._width, self._of_owner = width, -(-width // 2)
        self._of_region = max(1, width - max(1, width // 4))
        self._lock = threading.Lock()
        self._closed = False
        self._running: dict[str, Kind] = {}
        self._waiting: dict[Kind, dict[str, Begin]] = {}  # in the order of their turns

    def enter(self, job_id: str, owner: str, begin: Begin, regions: Collection[str] = ()) -> bool:
        """Begin the job as soon as it is its turn. False if the lane is closed: that never is."""
        with self._lock:
            if self._closed:
                return False
            self._waiting.setdefault(Kind(owner, frozenset(regions)), {})[job_id] = begin
        self._advance()
        return True

    def hold(self, job_id: str) -> bool:
        """The job was recovered: it has a place, if there is one left. Whose it is, `belongs`
        tells."""
        with self._lock:
            has_place = len(self._running) < self._width
            if has_place:
                self._running[job_id] = NOBODYS
        return has_place

    def belongs(self, job_id: str, owner: str, regions: Collection[str] = ()) -> None:
        """If the job runs or waits, it is one of this owner's, and of these regions."""
        kind = Kind(owner, frozenset(regions))
        with self._lock:
            if job_id in self._running:
                self._running[job_id] = kind
            waits_as = self._waits_as(job_id)
            if waits_as is not None and waits_as != kind:
                begin = self._taken(waits_as, job_id)
                self._waiting.setdefault(kind, {})[job_id] = begin
        self._advance()

    def hurry(self, job_id: str) -> None:
        """Begin the job now, beside those that have their turn, if it is waiting."""
        with self._lock:
            kind = self._waits_as(job_id)
            begin = None if kind is None else self._taken(kind, job_id)
        if begin is not None:
            begin()

    def is_waiting(self, job_id: str) -> bool:
        with self._lock:
            return self._waits_as(job_id) is not None

    def leave(self, job_id: str) -> None:
        """The job has ended, or stops here."""
        with self._lock:
            self._running.pop(job_id, None)
        self._advance()

    def close(self) -> None:
        """Begin nothing any more."""
        with self._lock:
            self._closed = True
            self._waiting.clear()

    def _advance(self) -> None:
        while (found := self._next()) is not None:
            job_id, begin = found
            if not begin():
                with self._lock:
                    self._running.pop(job_id, None)

    def _next(self) -> tuple[str, Begin] | None:
        """The first job of the first kind that may have one more; it counts as running."""
        with self._lock:
            if self._closed or len(self._running) >= self._width:
                return None
            for kind in self._waiting:
                if self._may_begin(kind):
                    job_id = next(iter(self._waiting[kind]))
                    self._running[job_id] = kind
                    return job_id, self._taken(kind, job_id)
            return None

    def _may_begin(self, kind: Kind) -> bool:
        running = self._running.values()
        return sum(each.owner == kind.owner for each in running) < self._of_owner and all(
            sum(region in each.regions for each in running) < self._of_region
            for region in kind.regions
        )

    def _waits_as(self, job_id: str) -> Kind | None:
        return next((kind for kind, jobs in self._waiting.items() if job_id in jobs), None)

    def _taken(self, kind: Kind, job_id: str) -> Begin:
        """Take the job out of the line; its owner has the last turn next time."""
        jobs = self._waiting.pop(kind)
        begin = jobs.pop(job_id)
        for other in [each for each in self._waiting if each.owner == kind.owner]:
            self._waiting[other] = self._waiting.pop(other)
        if jobs:
            self._waiting[kind] = jobs
        return begin
