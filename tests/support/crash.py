"""Take the power away at every moment where it could matter, and see what comes of it.

A moment is before and after every commit, every object that goes into the store, every
part of an upload, and every call to the host. What the engine had recorded by then is what the
next launch knows.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from openami.actions import instances
from openami.blockstore.cache import BaseCache
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkStore, Kind, Writer
from openami.blockstore.volumes import VolumeHost
from openami.catalog import ingests
from openami.catalog.catalog import Catalog, Transaction
from openami.compute.driver import DiskCopy, Machine, Needs
from openami.compute.record.driver import RecordDriver
from openami.domain.block import Digest
from openami.domain.ids import InstanceId, VolumeId
from openami.services import Services
from openami.workflows import registry
from support.fakes import services
from support.objects import MemoryObjects
from support.s3_memory import s3_in_memory


class PowerCut(BaseException):
    """Not an Exception: no handler may catch it, as none could catch the real thing."""


class Fuse:
    """Counts the moments, once it is armed, and cuts the power at the one numbered `at`."""

    def __init__(self) -> None:
        self.moments, self._at = 0, -1
        self._counting = Lock()

    def arm(self, at: int) -> None:
        self.moments, self._at = 0, at

    def moment(self) -> None:
        with self._counting:
            self.moments += 1
            is_now = self.moments - 1 == self._at
        if is_now:
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
        self.looks_are_cheap = real.looks_are_cheap

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


ChunksIn = Callable[[Fuse], ChunkStore]


def in_memory(_: Fuse) -> ChunkStore:
    return MemoryChunkStore()


def in_s3(fuse: Fuse) -> ChunkStore:
    """Each put and deletion in the bucket has its moments too, whatever thread makes it."""
    return s3_in_memory(fuse.moment)


def fused_services(tmp_path: Path, fuse: Fuse, chunks: ChunksIn = in_memory) -> Services:
    def fused(svc: Services) -> Services:
        stores = {region: FusedChunkStore(store, fuse) for region, store in svc.stores.items()}
        archives = {region: FusedChunkStore(cold, fuse) for region, cold in svc.archives.items()}
        cache = BaseCache(tmp_path / "cache")
        return replace(
            svc,
            catalog=FusedCatalog(svc.catalog, fuse),
            stores=stores,
            archives=archives,
            volumes=VolumeHost(tmp_path / "volumes", cache, stores),
            objects=MemoryObjects(moment=fuse.moment),
        )

    compute = FusedDriver(tmp_path / "instances", fuse)
    return services(tmp_path, compute=compute, disturbed=fused, chunks=lambda: chunks(fuse))


def serve_again(svc: Services) -> None:
    """What a server does when it starts after a crash, as app.py has it."""
    svc.jobs.close()
    instances.adopt(svc)
    svc.jobs.launch()
    registry.sweep(svc)


def assert_survives(
    tmp_path: Path,
    begin: Callable[[Services], Callable[[], object]],
    check_cut: Callable[[Services], None],
    check_end: Callable[[Services], None],
    chunks: ChunksIn = in_memory,
    made: Callable[[Path, Fuse], Services] | None = None,
) -> int:
    """Run what `begin` prepared once for every moment, with the power gone at that moment.

    `check_cut` looks at what the crash left, `check_end` at what the next start made of it.
    Returns how many moments there were, so that a test can see that it tested something.
    """
    at = 0
    while True:
        fuse = Fuse()
        home = tmp_path / str(at)
        svc = fused_services(home, fuse, chunks) if made is None else made(home, fuse)
        act = begin(svc)
        with svc.catalog.read() as tx:
            kept = ingests.all_active(tx)
        fuse.arm(at)
        try:
            act()
        except PowerCut:
            check_cut(svc)
            serve_again(svc)
        was_last = fuse.moments <= at
        fuse.arm(-1)  # what `check_end` does is no part of it
        with svc.catalog.read() as tx:
            assert ingests.all_active(tx) == kept, "a lease outlives its ingest"
        check_end(svc)
        if was_last:
            return at
        at += 1
