"""Take the power away at every moment where it could matter, and see what comes of it.

A moment is before and after every commit, every object that goes into the store, every
part of an upload, and every call to the host. What the engine had recorded by then is what the
next launch knows.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from openami.actions import instances
from openami.blockstore.cache import BaseCache
from openami.blockstore.store import ChunkStore, Kind, Writer
from openami.blockstore.volumes import VolumeHost
from openami.catalog import ingests
from openami.catalog.catalog import Catalog, Transaction
from openami.compute.driver import DiskCopy, Machine, Needs
from openami.compute.record.driver import RecordDriver
from openami.domain.block import Digest
from openami.domain.ids import InstanceId, VolumeId
from openami.services import Services
from openami.workflows import collect, registry, tenure
from support.fakes import MemoryRecord, claims_of, services
from support.objects import MemoryObjects

_AGAIN: Final = 23
"""The power goes once more at one of so many moments of the recovery."""


class PowerCut(BaseException):
    """Not an Exception: no handler may catch it, as none could catch the real thing."""


class Fuse:
    """Counts the moments, once it is armed, and cuts the power at the one numbered `at`.

    From then on there is no power: nothing that would tidy up can do so. `settled` is called
    before all that, `rebooted` makes what the next start has of what was there, and `ending` is
    closed when nobody looks at it any more.
    """

    def __init__(self) -> None:
        self.moments, self._at = 0, -1
        self._counting = Lock()
        self.settled: Callable[[], None] = lambda: None
        self.rebooted: Callable[[Services], Services] = lambda svc: svc
        self.ending = ExitStack()

    def arm(self, at: int) -> None:
        self.moments, self._at = 0, at

    def disarm(self) -> None:
        self.arm(-1)

    def moment(self) -> None:
        with self._counting:
            self.moments += 1
            is_cut = 0 <= self._at < self.moments
        if is_cut:
            raise PowerCut


class FusedCatalog(Catalog):
    def __init__(self, real: Catalog, fuse: Fuse) -> None:
        super().__init__(real.engine)
        self._fuse = fuse

    @contextmanager
    def begin(self) -> Generator[Transaction]:
        self._fuse.moment()
        with super().begin() as tx:
            yield tx
        self._fuse.moment()  # committed, but nobody has been told


class FusedWriter:
    def __init__(self, real: Writer, fuse: Fuse) -> None:
        self._real, self._fuse = real, fuse
        self.missing = real.missing

    def put(self, digest: Digest, framed: bytes, kind: Kind = Kind.CHUNK) -> None:
        self._fuse.moment()
        self._real.put(digest, framed, kind)

    def commit(self) -> None:
        self._fuse.moment()
        self._real.commit()
        self._fuse.moment()

    def __enter__(self) -> Self:
        self._real.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._fuse.moment()
        self._real.__exit__(kind, error, trace)


class FusedChunkStore:
    def __init__(self, real: ChunkStore, fuse: Fuse) -> None:
        self._real, self._fuse = real, fuse
        self.get, self.has, self.digests = real.get, real.has, real.digests
        self.stored_bytes, self.framed = real.stored_bytes, real.framed
        self.quarantine, self.missing = real.quarantine, real.missing
        self.looks_are_cheap, self.directory = real.looks_are_cheap, real.directory

    def delete(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        self._fuse.moment()
        self._real.delete(digest, kind)
        self._fuse.moment()

    def writer(self) -> FusedWriter:
        return FusedWriter(self._real.writer(), self._fuse)


class FusedDriver(RecordDriver):
    def __init__(self, directory: Path, fuse: Fuse) -> None:
        super().__init__(directory)
        self._fuse = fuse

    def start(self, machine: Machine) -> None:
        self._fuse.moment()
        super().start(machine)
        self._fuse.moment()

    def power_button(self, instance_id: InstanceId) -> None:
        self._fuse.moment()
        super().power_button(instance_id)
        self._fuse.moment()

    def copy_disks(
        self, instance_id: InstanceId, copies: Mapping[VolumeId, DiskCopy], needs: Needs
    ) -> frozenset[VolumeId]:
        self._fuse.moment()
        partial = super().copy_disks(instance_id, copies, needs)
        self._fuse.moment()
        return partial


class FusedRecord(MemoryRecord):
    """A store's record, whose every word is written in a moment of its own."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    def set_epoch(self, epoch: str) -> None:
        self._fuse.moment()
        super().set_epoch(epoch)
        self._fuse.moment()


def fused_services(
    tmp_path: Path, fuse: Fuse, disturbed: Callable[[Services], Services] = lambda svc: svc
) -> Services:
    def fused(svc: Services) -> Services:
        stores = {region: FusedChunkStore(store, fuse) for region, store in svc.stores.items()}
        archives = {region: FusedChunkStore(cold, fuse) for region, cold in svc.archives.items()}
        cache = BaseCache(tmp_path / "cache")
        fused = replace(
            svc,
            catalog=FusedCatalog(svc.catalog, fuse),
            stores=stores,
            archives=archives,
            claims=claims_of(archives, lambda: FusedRecord(fuse)),
            volumes=VolumeHost(tmp_path / "volumes", cache, stores),
            objects=MemoryObjects(moment=fuse.moment),
        )
        return disturbed(fused)

    compute = FusedDriver(tmp_path / "instances", fuse)
    return services(tmp_path, compute=compute, disturbed=fused)


def serve_again(svc: Services) -> None:
    """What a server does when it starts after a crash, as app.py has it."""
    svc.jobs.close()
    instances.adopt(svc)
    for region in svc.stores:
        tenure.begin(svc, region)
    svc.jobs.launch()
    registry.sweep(svc)
    look_at_stores(svc)


def look_at_stores(svc: Services) -> None:
    """What the threads of a server do each minute, one for each store."""
    for region in svc.stores:
        collect.resume(svc, region)


Prepared = Callable[[Services], Callable[[], object]]
Check = Callable[[Services], None]
Made = Callable[[Path, Fuse], Services]


def assert_survives(
    tmp_path: Path,
    begin: Prepared,
    check_cut: Check,
    check_end: Check,
    made: Made = fused_services,
) -> int:
    """Run what `begin` prepared once for every moment, with the power gone at that moment.

    `check_cut` looks at what the crash left, `check_end` at what the next start made of it.
    Returns how many moments there were, so that a test can see that it tested something.
    """
    at = 0
    while _is_cut(made, tmp_path / str(at), at, begin, check_cut, check_end):
        at += 1
    return at


def _is_cut(
    make: Made, home: Path, at: int, begin: Prepared, check_cut: Check, check_end: Check
) -> bool:
    """Whether there was a moment numbered `at`."""
    fuse = Fuse()
    with fuse.ending:
        svc = make(home, fuse)
        act = begin(svc)
        with svc.catalog.read() as tx:
            kept = ingests.all_active(tx)
        fuse.settled()
        fuse.arm(at)
        is_cut = False
        try:
            act()
        except PowerCut:
            is_cut = True
            fuse.disarm()
            svc = fuse.rebooted(svc)
            check_cut(svc)
            svc = _recovered(svc, fuse, at % _AGAIN)
        fuse.disarm()  # what `check_end` does is no part of it
        with svc.catalog.read() as tx:
            assert ingests.all_active(tx) == kept, "a lease outlives its ingest"
        check_end(svc)
    return is_cut


def _recovered(svc: Services, fuse: Fuse, at: int) -> Services:
    """After a start in which the power goes once more, if it takes so many moments."""
    fuse.arm(at)
    try:
        serve_again(svc)
    except PowerCut:
        fuse.disarm()
        svc = fuse.rebooted(svc)
        serve_again(svc)
    return svc
