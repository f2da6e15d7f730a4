"""Services for tests: real catalog, store and engine in memory, a clock that is set by hand."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

from openami.blockstore.cache import BaseCache
from openami.blockstore.guarded import GuardedStore
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.ownership import Claim, Owner, claim
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


class MemoryRecord:
    """A store's owner and what is beside it, in memory."""

    where = "memory"

    def __init__(self) -> None:
        self.owner: bytes | None = None
        self.word: str | None = None
        self.is_in_dispute = False

    def read(self) -> bytes | None:
        return self.owner

    def create(self, text: bytes) -> bool:
        if self.owner is not None:
            return False
        self.owner = text
        return True

    def epoch(self) -> str | None:
        return self.word

    def set_epoch(self, epoch: str) -> None:
        self.word = epoch

    def is_disputed(self) -> bool:
        return self.is_in_dispute

    def dispute(self) -> None:
        self.is_in_dispute = True

    def end_dispute(self) -> None:
        self.is_in_dispute = False


def claims_of(
    regions: Iterable[Region], records: Callable[[], MemoryRecord] = MemoryRecord
) -> Mapping[Region, Sequence[Claim]]:
    """Stores that are the catalog's."""
    found: dict[Region, Sequence[Claim]] = {}
    for region in regions:
        owner = Owner(catalog="catalog-0", region=region)
        found[region] = (Claim(owner=owner, record=records()),)
        claim(found[region][0].record, owner)
    return found


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
        claims=claims_of(archives),
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
