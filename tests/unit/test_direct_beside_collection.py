"""Snapshots that are written block by block, beside a collection that waits for none of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from openami.actions.direct import writes
from openami.blockstore import codec
from openami.blockstore.accounting import freed_bytes
from openami.blockstore.memory import MemoryChunkStore, MemoryWriter
from openami.blockstore.store import Kind, StoreAway, StoreFull
from openami.blockstore.verify import still_lost, verify
from openami.catalog.storage import collection, holdings
from openami.domain.collection import Phase, Round
from openami.domain.ids import SnapshotId
from openami.domain.manifest import Root
from openami.services import Services
from openami.workflows import collect, complete_direct_snapshot, region_stores
from support.asking import ask, refused
from support.builders import HERE
from support.direct import begun, blocks_read, complete, data, write, written
from support.fakes import services

DIGEST: Final = codec.digest_of(data("a"))
Act = Callable[[], object]


class Meanwhile(MemoryChunkStore):
    """What happens when a writer has published, and nobody knows of it yet."""

    act: Act | None = None

    def writer(self) -> MemoryWriter:
        writer = super().writer()
        publish = writer.commit

        def commit() -> None:
            publish()
            act, self.act = self.act, None
            if act is not None:
                act()

        writer.commit = commit
        return writer


class House:
    """Services whose store of one region is `store`."""

    def __init__(self, directory: Path) -> None:
        made: list[Meanwhile] = []

        def chunks() -> Meanwhile:
            made.append(Meanwhile())
            return made[-1]

        self.svc: Services = services(directory, chunks=chunks)
        self.store = made[len(self.svc.settings.regions)]  # the archives are made first

    def collect(self) -> Round:
        return collect.advance(self.svc, HERE)

    def stored_bytes(self) -> int:
        store = self.store
        return sum(store.stored_bytes(each, kind) for kind in Kind for each in store.digests(kind))

    def known(self) -> set[bytes]:
        return set(self.store.digests())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def garbage(house: House) -> None:
    """The block is in the store, and nobody needs it."""
    ask(house.svc, "DeleteSnapshot", SnapshotId=written(house.svc, {0: "a"}))
    assert DIGEST in house.known()


def test_one_that_is_pending_holds_no_collection_up_and_keeps_its_blocks(house: House) -> None:
    ask(house.svc, "DeleteSnapshot", SnapshotId=written(house.svc, {0: "x"}))
    snapshot_id = begun(house.svc)
    write(house.svc, snapshot_id, {0: "a", 1: "\0"})
    assert house.collect().phase is Phase.ENDED
    assert house.known() == {DIGEST}
    assert complete(house.svc, snapshot_id, 2) == "completed"
    assert blocks_read(house.svc, snapshot_id) == {0: "a"}


def test_who_verifies_or_accounts_for_the_store_knows_of_it(house: House) -> None:
    svc = house.svc
    completed = written(svc, {0: "a", 1: "b"})
    write(svc, begun(svc), {5: "a", 9: "c"})
    wanted = region_stores.wanted(svc.catalog, svc.volumes, HERE, house.store)
    report = verify(house.store, wanted.roots, more_chunks=wanted.chunks)
    assert (report.intact, report.orphans, report.chunks) == (True, (), 3)
    with svc.catalog.read() as tx:
        held = holdings.of_region(tx, HERE)
    root = Root.from_text(held.snapshots[SnapshotId(completed)])
    foretold = freed_bytes(house.store, [root], [], held.written)
    before = house.stored_bytes()
    ask(svc, "DeleteSnapshot", SnapshotId=completed)
    house.collect()
    assert before - house.stored_bytes() == foretold
    house.store.delete(DIGEST)
    report = verify(house.store, set(), more_chunks=wanted.chunks)
    assert (Kind.CHUNK, DIGEST) in still_lost(house.store, report, lambda: wanted).missing


def test_what_a_pending_one_no_longer_has_is_garbage(house: House) -> None:
    snapshot_id = begun(house.svc)
    write(house.svc, snapshot_id, {0: "a"})
    write(house.svc, snapshot_id, {0: "b"})
    house.collect()
    assert house.known() == {codec.digest_of(data("b"))}
    ask(house.svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    house.collect()
    assert house.known() == set()


def test_a_block_that_is_collected_before_its_row_is_there_is_stored_again(house: House) -> None:
    garbage(house)
    snapshot_id = begun(house.svc)
    house.store.act = lambda: house.collect()
    write(house.svc, snapshot_id, {7: "a"})
    assert house.known() == {DIGEST}
    assert complete(house.svc, snapshot_id, 1) == "completed"
    assert blocks_read(house.svc, snapshot_id) == {7: "a"}


def test_without_the_second_look_it_would_be_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "is_kept", lambda *_: True)
    garbage(house)
    snapshot_id = begun(house.svc)
    house.store.act = lambda: house.collect()
    write(house.svc, snapshot_id, {7: "a"})
    assert complete(house.svc, snapshot_id, 1) == "completed"
    with refused("InternalServerException"):
        blocks_read(house.svc, snapshot_id)


def test_a_block_that_is_condemned_before_its_row_is_there_is_spared(house: House) -> None:
    svc = house.svc
    garbage(house)
    snapshot_id = begun(svc)
    with svc.catalog.begin() as tx:
        collection.save(tx, Round(region=HERE, began_at=svc.clock.now()))

    def condemned() -> None:
        with svc.catalog.begin() as tx:
            collection.condemn(tx, HERE, [(Kind.CHUNK, DIGEST)])

    house.store.act = condemned
    write(svc, snapshot_id, {0: "a"})
    with svc.catalog.read() as tx:
        assert not collection.any_condemned(tx, HERE)


def test_a_collection_waits_while_the_manifest_is_being_made(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete_direct_snapshot, "BLOCKS_AT_ONCE", 1)
    seen: list[tuple[Phase, object]] = []

    def look() -> None:
        seen.append((house.collect().phase, collect.waits_for(house.svc, HERE)))

    snapshot_id = begun(house.svc)
    write(house.svc, snapshot_id, {0: "a", 300: "b", 900: "c"})
    house.store.act = look
    assert complete(house.svc, snapshot_id, 3) == "completed"
    assert seen == [(Phase.DRAINING, [snapshot_id])]
    assert house.collect().phase is Phase.ENDED
    assert blocks_read(house.svc, snapshot_id) == {0: "a", 300: "b", 900: "c"}


def test_an_attempt_that_a_crash_cut_off_when_it_was_put_off_does_not_end_the_next(
    house: House,
) -> None:
    def away() -> None:
        house.store.act = away
        raise StoreAway("nobody answers")

    def taken_up() -> None:
        first = {"snapshot_id": snapshot_id, "attempt": 0}
        complete_direct_snapshot.job(house.svc).give_up(first, "nobody answers")
        seen.append((house.collect().phase, collect.waits_for(house.svc, HERE)))

    seen: list[tuple[Phase, object]] = []
    snapshot_id = begun(house.svc)
    write(house.svc, snapshot_id, {0: "a"})
    house.store.act = away
    assert complete(house.svc, snapshot_id, 1) == "pending"
    house.store.act = taken_up
    complete_direct_snapshot.resume(house.svc)
    assert seen == [(Phase.DRAINING, [snapshot_id])]
    assert house.collect().phase is Phase.ENDED
    assert blocks_read(house.svc, snapshot_id) == {0: "a"}


def test_one_that_the_full_store_does_not_take_lets_it_be_emptied(house: House) -> None:
    garbage(house)

    def full() -> None:
        house.store.act = full
        house.collect()
        raise StoreFull("no room")

    snapshot_id = begun(house.svc)
    write(house.svc, snapshot_id, {0: "b"})
    house.store.act = full
    assert complete(house.svc, snapshot_id, 1) == "pending"
    assert collect.waits_for(house.svc, HERE) == []
    house.store.act = None
    assert house.collect().phase is Phase.ENDED
    assert house.known() == {codec.digest_of(data("b"))}
    complete_direct_snapshot.resume(house.svc)
    assert blocks_read(house.svc, snapshot_id) == {0: "b"}
