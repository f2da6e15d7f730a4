"""Ingests, deletions and a collector that take turns at random, in one thread.

A turn ends before and after every transaction of the collector and every look at the store or
deletion that it makes; within an ingest, between any two things that it does. So a seed is an
order of events, and an order that loses something can be run again.
"""

import random  # noqa: TID251 (seeded: a failure repeats)
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from openami.actions.direct import writes
from openami.blockstore import codec
from openami.blockstore.cache import BaseCache
from openami.blockstore.guarded import GuardedStore, Named, StillDoomed
from openami.blockstore.manifest import Manifests, digests_array
from openami.blockstore.marking import Needed
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import ChunkStore, Kind, Writer
from openami.blockstore.verify import verify
from openami.blockstore.volumes import VolumeHost
from openami.catalog import ingests, snapshots
from openami.catalog.catalog import Catalog, Transaction
from openami.catalog.direct import writings
from openami.catalog.storage import collection
from openami.domain.block import Digest
from openami.domain.collection import Phase
from openami.domain.direct.writing import Writing
from openami.domain.errors import EC2Error
from openami.domain.ids import Region, SnapshotId
from openami.domain.manifest import Root
from openami.domain.snapshot import SnapshotState
from openami.jobs.engine import GiveUp
from openami.jobs.inline import InlineEngine
from openami.jobs.locks import KeyedLocks
from openami.services import Services
from openami.workflows import collect, complete_direct_snapshot, region_stores, scratch, tenure
from openami.workflows.collect import Ledger
from openami.workflows.tenure import Contested
from support.builders import HERE, a_caller, a_snapshot
from support.crash import Fuse, FusedWriter
from support.fakes import claims_of, services

BLOCKS = {sign: sign.encode() * 100 for sign in "abc"}
CONTENTS = ("a", "b", "ab", "bc")
_AT_WORK = 3
Turn = Callable[[], None]
Script = Generator[None]


@dataclass
class Bugs:
    """What may be left out of the protocol, to see that it is missed."""

    no_drain: bool = False
    ignores_condemned: bool = False
    waits_for_no_doomed: bool = False
    late_lease: bool = False
    row_before_bytes: bool = False
    mark_before_drain: bool = False
    no_fencing: bool = False
    rows_hold_nothing: bool = False
    manifests_unawaited: bool = False
    no_epoch: bool = False


class _Interrupted(Catalog):
    def __init__(self, real: Catalog, turn: Turn) -> None:
        super().__init__(real.engine)
        self._turn = turn

    @contextmanager
    def begin(self) -> Generator[Transaction]:
        self._turn()
        with super().begin() as tx:
            yield tx
        self._turn()


class _Locks(KeyedLocks):
    """They know whether somebody is between two words in the store (workflows/tenure.py)."""

    def __init__(self) -> None:
        super().__init__()
        self.is_in_tenure = False

    @contextmanager
    def __call__(self, key: str) -> Generator[None]:
        with super().__call__(key):
            before, self.is_in_tenure = self.is_in_tenure, key == f"tenure of {HERE}"
            try:
                yield
            finally:
                self.is_in_tenure = before


class _InterruptedStore(MemoryChunkStore):
    def __init__(self) -> None:
        super().__init__()
        self.turn: Turn = lambda: None
        self.deleted: Turn = lambda: None

    def digests(self, kind: Kind = Kind.CHUNK) -> Iterator[Digest]:
        found = list(super().digests(kind))
        self.turn()
        yield from found

    def delete(self, digest: Digest, kind: Kind = Kind.CHUNK) -> None:
        self.turn()
        super().delete(digest, kind)
        self.deleted()


class _LookedAt:
    """Who looks for an object, or has put some, takes a turn."""

    def __init__(self, real: ChunkStore, turn: Turn) -> None:
        self._real, self._turn = real, turn
        self.get, self.has, self.digests = real.get, real.has, real.digests
        self.stored_bytes, self.framed = real.stored_bytes, real.framed
        self.quarantine, self.missing, self.delete = real.quarantine, real.missing, real.delete
        self.looks_are_cheap, self.directory = real.looks_are_cheap, real.directory

    def writer(self) -> Writer:
        return _Looking(self._real.writer(), self._turn)


class _Looking(FusedWriter):
    def __init__(self, real: Writer, turn: Turn) -> None:
        fuse = Fuse()
        fuse.moment = turn
        super().__init__(real, fuse)
        self._turn = turn
        self.missing = self._asked

    def _asked(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        found = self._real.missing(digests, kind)
        self._turn()
        return found


def in_turns(act: Callable[[Turn], None]) -> Script:
    """`act` in a thread of its own, which goes on only from one of its turns to the next."""
    go, back, ended = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
    failures: list[BaseException] = []

    def turn() -> None:
        back.release()
        go.acquire()

    def run() -> None:
        go.acquire()
        try:
            act(turn)
        except BaseException as failure:  # noqa: BLE001, told below
            failures.append(failure)
        ended.set()
        back.release()

    threading.Thread(target=run, daemon=True).start()
    while True:
        go.release()
        back.acquire()
        if ended.is_set():
            break
        yield
    if failures:
        raise failures[0]


class _HeedlessLedger(Ledger):
    """Does not wait for what is being deleted."""

    def spare(self, named: Collection[Named]) -> None:
        try:
            super().spare(named)
        except StillDoomed:
            return


class _BlindLedger(Ledger):
    def any_condemned(self) -> bool:
        return False


@dataclass
class Stage:
    """One region, its store, and those who are at work in it."""

    svc: Services
    store: _InterruptedStore
    ledger_of: Callable[[Catalog], Ledger]
    guarded: GuardedStore
    chance: random.Random
    bugs: Bugs
    scripts: list[Script] = field(default_factory=list[Script])
    made: int = 0
    written: list[SnapshotId] = field(default_factory=list[SnapshotId])

    def turn(self) -> None:
        """Let some of the others take some steps. Those that have to wait try again later."""
        for _ in range(self.chance.randrange(4)):
            if not self.scripts:
                return
            idle = [each for each in self.scripts[:_AT_WORK] if not each.gi_running]
            if not idle:
                return
            script = self.chance.choice(idle)
            try:
                next(script)
            except StopIteration:
                self.scripts.remove(script)
                self.check()

    def check(self) -> None:
        chunks = {each for part in writings.digests(self.svc.catalog, HERE) for each in part}
        report = verify(self.store, region_stores.roots(self.svc.catalog, HERE), more_chunks=chunks)
        assert report.intact, (report.missing, report.corrupt)

    def ingest(self, content: str, *, dies: bool = False) -> Script:
        """A snapshot from its intent to its end, or to its crash and what heals it."""
        svc = self.svc
        self.made += 1
        snapshot_id = SnapshotId(f"snap-{self.made:017x}")
        pending = a_snapshot(id=snapshot_id, state=SnapshotState.PENDING, root=None)
        with svc.catalog.begin() as tx:
            snapshots.add(tx, pending)
            if not self.bugs.late_lease:
                ingests.begin(tx, snapshot_id, HERE, svc.clock.now())
        yield
        writer = self.guarded.writer()
        yield
        digests = [codec.digest_of(BLOCKS[sign]) for sign in content]
        for sign, digest in zip(content, digests, strict=True):
            missing = yield from self._asked(writer, digest)
            if missing:
                writer.put(digest, codec.encode(BLOCKS[sign]))
            yield
        root = yield from self._root(writer, digests)
        if self.bugs.late_lease:
            with svc.catalog.begin() as tx:
                ingests.begin(tx, snapshot_id, HERE, svc.clock.now())
        if dies:
            scratch.fail(svc, snapshot_id, "died")
            return
        if self.bugs.row_before_bytes:
            self._complete(snapshot_id, root)
            yield
        writer.commit()
        yield
        yield from self._unfenced(snapshot_id, root)
        self._complete(snapshot_id, root)

    def write_blocks(self, content: str) -> Script:
        """A snapshot that is written block by block, by the very code that does it."""
        yield from in_turns(lambda turn: self._write_blocks(turn, content))

    def _write_blocks(self, turn: Turn, content: str) -> None:
        svc = self._for_requests(turn)
        asked = writes.SnapshotRequest(
            volume_size_gib=1, parent_id=None, description="", tags={}, timeout_minutes=60
        )
        snapshot_id = writes.start_snapshot(svc, a_caller(), asked, None).id
        self.written.append(snapshot_id)
        with _none_if_deleted():  # by another, at any time
            for index, sign in enumerate(content):
                while not self._put(svc, snapshot_id, index, sign):
                    turn()
            state = SnapshotState.PENDING
            while state is SnapshotState.PENDING:
                state = writes.complete_snapshot(svc, a_caller(), snapshot_id, len(content))

    def _put(self, svc: Services, snapshot_id: SnapshotId, index: int, sign: str) -> bool:
        """Not when one of them is being deleted: then clients come again."""
        try:
            writes.put_snapshot_block(svc, a_caller(), snapshot_id, index, BLOCKS[sign], b"")
        except EC2Error as refusal:
            if refusal.code != "RequestThrottledException":
                raise
            return False
        return True

    def _for_requests(self, turn: Turn) -> Services:
        """What a request works with; it has its turns where others may come in between."""
        catalog = _Interrupted(self.svc.catalog, turn)
        stores = {HERE: GuardedStore(_LookedAt(self.store, turn), self.ledger_of(catalog))}
        jobs = InlineEngine(clock=self.svc.clock)
        home = self.svc.settings.state_dir
        volumes = VolumeHost(home / "volumes", BaseCache(home / "cache"), stores)
        svc = replace(self.svc, catalog=catalog, stores=stores, jobs=jobs, volumes=volumes)
        jobs.register(complete_direct_snapshot.job(svc))
        jobs.launch()
        return svc

    def _unfenced(self, snapshot_id: SnapshotId, root: Root) -> Script:
        """With the planted bug: the row, however long ago the lease was lost."""
        if self.bugs.no_fencing:
            for _ in range(20):
                yield
            with self.svc.catalog.begin() as tx:
                snapshots.remove(tx, snapshot_id)
                snapshots.add(tx, a_snapshot(id=snapshot_id, root=root.to_text()))
                ingests.end(tx, snapshot_id)

    def _complete(self, snapshot_id: SnapshotId, root: Root) -> None:
        with suppress(GiveUp):  # it was cut off from its lease
            scratch.complete(self.svc, snapshot_id, root)

    def cut_off(self) -> Script:
        """Somebody gives an ingest up that is under way and does not know of it."""
        yield
        with self.svc.catalog.begin() as tx:
            under_way = ingests.all_active(tx)
            if under_way:
                victim = SnapshotId(self.chance.choice(under_way))
                snapshots.remove(tx, victim)
                ingests.end(tx, victim)

    def copied(self) -> Script:
        """Another server starts on a copy of the catalog, which may be old by then, and collects.

        This one looks around once more before that one deletes anything: it does so each minute.
        """
        yield
        copy = copy_of(self.svc)
        if self.bugs.no_epoch:
            copy = replace(copy, claims=claims_of([HERE]))
        for _ in range(self.chance.randrange(20)):
            yield
        tenure.begin(copy, HERE)
        yield
        with suppress(Contested):
            tenure.require(self.svc, HERE)
        for _ in range(3):
            yield
            with suppress(Contested):
                collect.advance(copy, HERE)

    def _asked(self, writer: Any, digest: Digest) -> Generator[None, None, bool]:
        while True:
            try:
                return bool(writer.missing([digest]))
            except StillDoomed:
                yield

    def _root(self, writer: Any, digests: list[Digest]) -> Generator[None, None, Root]:
        while True:
            try:
                return Manifests(self.store).build(writer, digests_array(digests))
            except StillDoomed:
                yield

    def forget(self) -> Script:
        """Somebody deletes a snapshot, whichever is there by then."""
        yield
        with self.svc.catalog.begin() as tx:
            there = [each for each in self._snapshots(tx) if each.root is not None]
            if there:
                snapshots.remove(tx, self.chance.choice(there).id)

    def _snapshots(self, tx: Transaction) -> list[Any]:
        ids = [SnapshotId(f"snap-{number:017x}") for number in range(1, self.made + 1)]
        ids += self.written
        return [found for each in ids if (found := snapshots.fetch_any(tx, each)) is not None]


def copy_of(svc: Services) -> Services:
    """The services of a server on a copy of the catalog, over the same stores."""
    copy = Catalog.in_memory()
    with (
        closing(svc.catalog.engine.raw_connection()) as source,
        closing(copy.engine.raw_connection()) as target,
    ):
        its: Any = source.driver_connection
        its.backup(target.driver_connection)
    return replace(svc, catalog=copy, locks=KeyedLocks())


def stage(directory: Path, seed: int, bugs: Bugs) -> Stage:
    store = _InterruptedStore()
    ledgers = {True: _HeedlessLedger, False: Ledger}

    def disturbed(svc: Services) -> Services:
        return replace(svc, stores={HERE: store})

    svc = services(directory, disturbed=disturbed)
    ledger_class = _BlindLedger if bugs.ignores_condemned else ledgers[bugs.waits_for_no_doomed]

    def ledger_of(catalog: Catalog) -> Ledger:
        return ledger_class(catalog, HERE, wait_s=-1.0)

    chance = random.Random(seed)
    return Stage(svc, store, ledger_of, GuardedStore(store, ledger_of(svc.catalog)), chance, bugs)


def play(
    directory: Path,
    seed: int,
    bugs: Bugs | None = None,
    *,
    cut_offs: int = 0,
    blocks: int = 0,
    copies: int = 0,
) -> Stage:
    """Some rounds beside some ingests and deletions. Raises AssertionError if anything is lost."""
    on = stage(directory, seed, bugs or Bugs())
    for content in on.chance.choices(CONTENTS, k=2):
        for _ in on.ingest(content):
            pass
    on.scripts += [on.forget() for _ in range(4)]
    on.scripts += [on.cut_off() for _ in range(cut_offs)]
    on.scripts += [on.copied() for _ in range(copies)]
    on.scripts += [
        on.ingest(content, dies=on.chance.random() < 0.2)
        for content in on.chance.choices(CONTENTS, k=5)
    ]
    on.scripts += [on.write_blocks(content) for content in on.chance.choices(CONTENTS, k=blocks)]
    on.chance.shuffle(on.scripts)
    on.store.turn, on.store.deleted = on.turn, on.check
    locks = _Locks()

    def turn() -> None:
        if copies or not locks.is_in_tenure:  # only a copy's words can come between ours
            on.turn()

    interrupted = replace(on.svc, catalog=_Interrupted(on.svc.catalog, turn), locks=locks)
    with _marking(on.bugs.mark_before_drain), _planted(on.bugs):
        for _ in range(3):
            _round(interrupted, on)
        while on.scripts:
            on.turn()
            _round(interrupted, on)
        on.store.turn = lambda: None
        _round(on.svc, on)
    on.check()
    return on


def _round(svc: Services, on: Stage) -> None:
    """As far as it goes; with the planted bug it waits for nobody."""
    if on.bugs.no_drain:
        with on.svc.catalog.begin() as tx:
            tx.exec_driver_sql("DELETE FROM collection_awaited")
    with suppress(Contested):  # there is a copy of the catalog
        collect.advance(svc, HERE)


@contextmanager
def _marking(early: bool) -> Generator[None]:
    """With the planted bug what is needed is what was when the round began."""
    right = collect.marked
    found: list[Needed] = []

    def too_early(svc: Services, region: Region) -> Needed:
        with svc.catalog.read() as tx:
            one = collection.find(tx, region)
        if one is not None and one.phase is Phase.CONDEMNING:
            found[:] = [right(svc, region)]
        return found[0]

    collect.marked = too_early if early else right
    try:
        yield
    finally:
        collect.marked = right


@contextmanager
def _planted(bugs: Bugs) -> Generator[None]:
    """What is left out of how snapshots are written block by block."""
    begun, held = Writing.begun, writings.digests
    if bugs.manifests_unawaited:
        Writing.begun = lambda self: self
    if bugs.rows_hold_nothing:
        writings.digests = lambda *_: iter(())
    try:
        yield
    finally:
        Writing.begun, writings.digests = begun, held


@contextmanager
def _none_if_deleted() -> Generator[None]:
    try:
        yield
    except EC2Error as refusal:
        assert refusal.code == "ResourceNotFoundException"
