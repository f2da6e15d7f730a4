"""An engine whose lanes are full: what is in one of them waits until there is room."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from openami.jobs.engine import Args, Job, NotRunning
from openami.jobs.inline import InlineEngine
from openami.jobs.lanes import IMAGES, MOMENTS
from openami.services import Services
from support.crash import Fuse, fused_services
from support.fakes import services


class FullLanes(InlineEngine):
    """Who waits is on no record, as `DurableEngine` has it; after a restart there is room."""

    def __init__(self, svc: Services) -> None:
        super().__init__(clock=svc.clock)
        self._of_lanes: set[str] = set()
        self._are_full = True
        self.waiting: dict[str, tuple[str, Args]] = {}

    def register(self, job: Job) -> None:
        super().register(job)
        if job.lane not in (None, MOMENTS, IMAGES):  # there is room where moments are taken
            self._of_lanes.add(job.name)

    def start(
        self,
        name: str,
        job_id: str,
        args: Args,
        *,
        owner: str = "",
        regions: Collection[str] = (),
    ) -> None:
        if self._are_full and name in self._of_lanes and not super().known(job_id):
            if not self._open:
                raise NotRunning
            self.waiting.setdefault(job_id, (name, args))
        else:
            super().start(name, job_id, args, owner=owner, regions=regions)

    def known(self, job_id: str) -> bool:
        return job_id in self.waiting or super().known(job_id)

    def active(self) -> set[str]:
        return super().active() | set(self.waiting)

    def hurry(self, job_id: str) -> None:
        if job_id in self.waiting:
            name, args = self.waiting.pop(job_id)
            super().start(name, job_id, args)

    def close(self) -> None:
        self._are_full = False
        self.waiting.clear()
        super().close()

    def make_room(self) -> None:
        """For those that wait, and all that come."""
        self._are_full = False
        waiting, self.waiting = self.waiting, {}
        for job_id, (name, args) in waiting.items():
            self.start(name, job_id, args)


def _full(svc: Services) -> Services:
    return replace(svc, jobs=FullLanes(svc))


def full_services(tmp_path: Path) -> Services:
    return services(tmp_path, disturbed=_full)


def full_and_fused(tmp_path: Path, fuse: Fuse) -> Services:
    return fused_services(tmp_path, fuse, disturbed=_full)


def make_room(svc: Services) -> None:
    assert isinstance(svc.jobs, FullLanes)
    svc.jobs.make_room()


def waiting(svc: Services) -> list[str]:
    """The ids of the jobs that wait for their turn."""
    assert isinstance(svc.jobs, FullLanes)
    return list(svc.jobs.waiting)
