"""Services for tests: real catalog, store and engine in memory, a clock that is set by hand."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from openami.blockstore.cache import BaseCache
from openami.blockstore.guarded import GuardedStore
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkStore
from openami.blockstore.tiered import TieredStore
from openami.blockstore.volumes import VolumeHost
from openami.catalog.catalog import Catalog
from openami.compute.driver import ComputeDriver
from openami.compute.record.driver import RecordDriver
from openami.domain.ids import Region
from openami.jobs.engine import Job
from openami.jobs.inline import InlineEngine
from openami.jobs.locks import KeyedLocks
from openami.services import Services
from openami.settings import Settings
from openami.workflows import registry
from openami.workflows.collect import Ledger
from support.builders import EPOCH
from support.objects import MemoryObjects


class StoppedClock:
    """Stands at EPOCH until it is told to go on."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


class CountingIds:
    """Ids that count up, so that a test can foresee their order."""

    def __init__(self) -> None:
        self._count = count(0x1000)

    def new(self, prefix: str) -> str:
        return f"{prefix}-{next(self._count):017x}"

    def request_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._count):012x}"

    def token(self, byte_count: int) -> str:
        return f"{next(self._count):0{byte_count}x}"


Jobs = Callable[[Services], Sequence[Job]]


def services(
    tmp_path: Path,
    *,
    settings: Settings | None = None,
    compute: ComputeDriver | None = None,
    jobs: Jobs = registry.jobs,
    disturbed: Callable[[Services], Services] = lambda svc: svc,
    chunks: Callable[[], ChunkStore] = MemoryChunkStore,
) -> Services:
    """Everything works and nothing lasts; every known job runs to its end when it is started.

    `chunks` makes each store and each archive. `disturbed` may put something worse in the place of
    a service, before any job knows it.
    """
    settings = settings or Settings(state_dir=tmp_path, compute_driver="record", s3_patience_s=0)
    catalog = Catalog.in_memory()
    archives = {Region(name): chunks() for name in settings.regions}
    stores = {
        region: GuardedStore(TieredStore(chunks(), cold), Ledger(catalog, region))
        for region, cold in archives.items()
    }
    clock = StoppedClock()
    svc = Services(
        settings=settings,
        catalog=catalog,
        stores=stores,
        archives=archives,
        volumes=VolumeHost(tmp_path / "volumes", BaseCache(tmp_path / "cache"), stores),
        compute=compute or RecordDriver(tmp_path / "instances"),
        objects=MemoryObjects(),
        jobs=InlineEngine(clock=clock),
        locks=KeyedLocks(),
        clock=clock,
        ids=CountingIds(),
    )
    svc = disturbed(svc)
    for job in jobs(svc):
        svc.jobs.register(job)
    svc.jobs.launch()
    return svc
