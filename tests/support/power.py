"""A host that loses its power: its machines, and what it had not synced.

Chunks are in directories of the host, or in an S3 that goes on without it.
"""

import random  # noqa: TID251 (seeded: a failure repeats)
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from openami.blockstore.cache import BaseCache
from openami.blockstore.guarded import GuardedStore
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.s3.store import S3ChunkStore
from openami.blockstore.store import ChunkStore
from openami.blockstore.tiered import TieredStore
from openami.blockstore.volumes import VolumeHost
from openami.catalog.catalog import Catalog
from openami.domain.ids import Region
from openami.jobs.inline import InlineEngine
from openami.jobs.locks import KeyedLocks
from openami.services import Services
from openami.workflows.collect import Ledger
from support.crash import Fuse, FusedCatalog, FusedDriver, FusedRecord
from support.fakes import claims_of, services
from support.objects import MemoryObjects
from support.s3_memory import bucket_in_memory
from support.volatile import VolatileDirectory

_REGIONS: Final = (Region("us-east-1"), Region("us-west-2"))
StoreOf = Callable[[Region], ChunkStore]


class RememberingEngine(InlineEngine):
    """What it has recorded outlives it, but for its last moments: those are not synced."""

    def take_over(self, before: "RememberingEngine", chance: random.Random) -> None:
        self._records.update(before._records)
        for record in self._records.values():
            if chance.random() < 0.5:
                del record.outcomes[-1:]
                record.ended_at = None


class Host:
    """`stores` makes a region's store at each start, and `archives` its archive; without them an
    archive loses nothing."""

    def __init__(
        self,
        home: Path,
        fuse: Fuse,
        stores: Callable[["Host"], StoreOf],
        archives: Callable[["Host"], StoreOf] | None = None,
        *,
        lies: bool = False,
    ) -> None:
        self._home, self.fuse = home, fuse
        self.state_dir = home / "state"
        self.state_dir.mkdir(parents=True)
        self._chance = random.Random(home.name)
        self._store_of, self._archive_of = stores(self), (archives or _in_memory)(self)
        self._disk = VolatileDirectory(self.state_dir, fuse.moment, lies=lies)
        self._before: Services | None = None
        fuse.settled, fuse.rebooted = self._disk.settle, self._rebooted

    def boot(self) -> Services:
        machines = self._home / "machines"  # they go with the power
        driver = FusedDriver(machines, self.fuse)
        svc = services(self.state_dir, compute=driver, disturbed=self._as_it_is_here)
        if self._before is None:
            self.fuse.ending.callback(shutil.rmtree, self._home)
            self.fuse.ending.enter_context(self._disk.watched())
        return svc

    def _rebooted(self, svc: Services) -> Services:
        svc.jobs.close()
        self._before = svc
        self._disk.cut(self._chance)
        shutil.rmtree(self._home / "machines")
        found = self.boot()
        assert isinstance(svc.jobs, RememberingEngine)
        assert isinstance(found.jobs, RememberingEngine)
        found.jobs.take_over(svc.jobs, self._chance)
        return found

    def _as_it_is_here(self, svc: Services) -> Services:
        before = self._before
        kept = svc if before is None else before
        catalog = Catalog(kept.catalog.engine)
        archives = {region: self._archive_of(region) for region in _REGIONS}
        stores = {
            region: GuardedStore(TieredStore(self._store_of(region), cold), Ledger(catalog, region))
            for region, cold in archives.items()
        }
        return replace(
            svc,
            catalog=FusedCatalog(catalog, self.fuse),
            stores=stores,
            archives=archives,
            claims=claims_of(archives, lambda: FusedRecord(self.fuse))
            if before is None
            else before.claims,
            volumes=VolumeHost(
                self.state_dir / "volumes", BaseCache(self.state_dir / "cache"), stores
            ),
            objects=MemoryObjects(moment=self.fuse.moment) if before is None else before.objects,
            jobs=RememberingEngine(clock=kept.clock),
            locks=KeyedLocks(),
            clock=kept.clock,
            ids=kept.ids,
        )


def _in_memory(_: Host) -> StoreOf:
    stores = {region: MemoryChunkStore() for region in _REGIONS}
    return lambda region: stores[region]


def _directories(host: Host) -> StoreOf:
    return lambda region: _recovered(host.state_dir / region)


def _directories_beside_them(host: Host) -> StoreOf:
    return lambda region: _recovered(host.state_dir / region / "archive")


def _recovered(directory: Path) -> ChunkStore:
    store = LocalDirChunkStore(directory)
    store.recover()
    return store


def _buckets(host: Host) -> StoreOf:
    buckets = {region: bucket_in_memory(host.fuse.moment) for region in _REGIONS}
    return lambda region: S3ChunkStore(buckets[region])


def on_its_disk(home: Path, fuse: Fuse) -> Services:
    """The chunks are in directories of the host."""
    return Host(home, fuse, _directories).boot()


def in_buckets(home: Path, fuse: Fuse) -> Services:
    """The chunks are in an S3; copies, volumes and bases are on the disk of the host."""
    return Host(home, fuse, _buckets).boot()


def archives_on_its_disk(home: Path, fuse: Fuse) -> Services:
    """What is archived, too."""
    return Host(home, fuse, _directories, _directories_beside_them).boot()


def archives_in_buckets(home: Path, fuse: Fuse) -> Services:
    return Host(home, fuse, _buckets, _buckets).boot()


def on_a_disk_that_lies(home: Path, fuse: Fuse) -> Services:
    """It says that it has synced, and has not: the test of the tests."""
    return Host(home, fuse, _directories, lies=True).boot()
