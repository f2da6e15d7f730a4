"""Two servers with copies of one catalog over one store: neither takes what the other needs."""

import errno
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from openami.actions import collection as verb
from openami.blockstore import codec
from openami.blockstore.ownership import ForeignStore, Owner, OwnerFile, OwnerRecord, claim
from openami.blockstore.s3 import bucket
from openami.blockstore.s3.bucket import WriteLost
from openami.blockstore.s3.owner import OwnerObject
from openami.blockstore.store import Kind, StoreAway, StoreFull
from openami.catalog.storage import collection, tenures
from openami.domain.block import Digest
from openami.domain.collection import Tenure
from openami.jobs.locks import KeyedLocks
from openami.services import Services
from openami.workflows import collect, tenure
from openami.workflows.tenure import Contested
from support.builders import HERE, THERE
from support.collecting import copy_of
from support.crash import look_at_stores
from support.fakes import MemoryRecord, StoppedClock, services
from support.faulty_s3 import Fault, faulty_s3


def record(svc: Services) -> MemoryRecord:
    found = svc.claims[HERE][0].record
    assert isinstance(found, MemoryRecord)
    return found


def known(svc: Services) -> Tenure:
    with svc.catalog.read() as tx:
        found = tenures.find(tx, HERE)
    assert found is not None
    return found


@pytest.fixture
def live(tmp_path: Path) -> Services:
    svc = services(tmp_path)
    tenure.begin(svc, HERE)
    return svc


def contested(svc: Services) -> bool:
    try:
        tenure.require(svc, HERE)
    except Contested:
        return True
    return False


def test_one_server_alone_collects_after_any_number_of_starts(live: Services) -> None:
    for _ in range(3):
        words = {record(live).word}
        tenure.begin(live, HERE)
        collect.advance(live, HERE)
        words.add(record(live).word)
        assert len(words) == 2
    assert not record(live).is_in_dispute


def test_a_copy_that_starts_is_noticed_and_then_neither_collects(live: Services) -> None:
    copy = copy_of(live)
    tenure.begin(copy, HERE)
    for svc in (live, copy, live):
        with pytest.raises(Contested):
            collect.advance(svc, HERE)
    assert known(copy).is_disputed
    assert verb.from_operator(live, {})["regions"][0]["held_up"].startswith(f"{HERE}: another")


def test_a_copy_that_is_out_of_date_is_noticed_when_it_starts(live: Services) -> None:
    copy = copy_of(live)
    collect.advance(live, HERE)
    tenure.begin(copy, HERE)
    assert contested(copy)
    assert contested(live)


def test_the_sweep_disputes_though_nothing_is_collected_unasked(live: Services) -> None:
    quiet = replace(live, settings=replace(live.settings, collect_every_s=0))
    tenure.begin(copy_of(live), HERE)
    look_at_stores(quiet)
    assert record(live).is_in_dispute


def test_a_server_that_has_just_started_leaves_what_was_doomed(live: Services) -> None:
    garbage = ("c", Digest(bytes(range(32))))
    with live.catalog.begin() as tx:
        collection.condemn(tx, HERE, [garbage])
        collection.doom(tx, HERE, [garbage])
    tenure.begin(live, HERE)
    with live.catalog.read() as tx:
        assert collection.doomed(tx, HERE, 1) == [], "an operator may ask for a round at once"
    for doomed, after in ((True, timedelta(0)), (False, timedelta(hours=1))):
        assert isinstance(live.clock, StoppedClock)
        live.clock.advance(after)
        look_at_stores(live)
        with live.catalog.read() as tx:
            assert collection.doomed(tx, HERE, 1) == []
            assert collection.any_condemned(tx, HERE) is doomed


GARBAGE = [("c", Digest(bytes([number]) * 32)) for number in range(1, 4)]


def doom(svc: Services) -> None:
    with svc.catalog.begin() as tx:
        collection.condemn(tx, HERE, GARBAGE)
        collection.doom(tx, HERE, GARBAGE)


def doomed(svc: Services) -> list[collection.Named]:
    with svc.catalog.read() as tx:
        assert collection.any_condemned(tx, HERE)
        return collection.doomed(tx, HERE, 10)


def later(svc: Services, by: timedelta) -> None:
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(by)


def test_what_an_operator_s_round_left_doomed_keeps_nobody_waiting(live: Services) -> None:
    doom(live)
    look_at_stores(live)
    assert doomed(live) == []


def test_what_is_doomed_when_a_store_is_settled_keeps_nobody_waiting(live: Services) -> None:
    later(live, timedelta(hours=1))
    doom(live)
    verb.settled_by_operator(live, {})
    look_at_stores(live)
    assert doomed(live) == []


def test_what_is_doomed_in_a_store_that_is_away_keeps_nobody_waiting(
    live: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(live, timedelta(hours=1))
    doom(live)
    monkeypatch.setattr(record(live), "epoch", raising(StoreAway("gone")))
    look_at_stores(live)
    assert doomed(live) == []


class _Taken(KeyedLocks):
    """Another thread takes the round further."""

    @contextmanager
    def if_free(self, key: str) -> Generator[bool]:
        assert key.startswith("collection of ")
        yield False


def test_what_a_round_deletes_now_is_not_reprieved(live: Services) -> None:
    doom(live)
    look_at_stores(replace(live, locks=_Taken()))
    assert doomed(live) == GARBAGE


def put(svc: Services, *contents: bytes) -> list[Digest]:
    """What no disk needs."""
    digests = [codec.digest_of(each) for each in contents]
    with svc.stores[HERE].writer() as writer:
        for digest, content in zip(digests, contents, strict=True):
            writer.put(digest, codec.encode(content))
        writer.commit()
    return digests


def test_a_clock_that_is_set_back_after_a_start_begins_the_wait_anew(live: Services) -> None:
    found: list[bool] = []
    for by in (timedelta(hours=-5), timedelta(minutes=59), timedelta(minutes=1)):
        later(live, by)
        look_at_stores(live)
        with live.catalog.read() as tx:
            found.append(collection.find(tx, HERE) is not None)
    assert found == [False, False, True]


def raising(trouble: Exception) -> Callable[..., None]:
    def fails(*_: str) -> None:
        raise trouble

    return fails


FULL = StoreFull("no room left in memory")


def test_a_store_without_room_is_collected_and_gets_its_epoch_when_there_is_some(
    live: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = record(live).word
    (garbage,) = put(live, b"garbage")
    with monkeypatch.context() as full:
        full.setattr(record(live), "set_epoch", raising(FULL))
        tenure.begin(live, HERE)
        collect.advance(live, HERE)
        assert not live.stores[HERE].has(garbage)
        copy = copy_of(live)
    assert record(live).word == before
    tenure.require(live, HERE)
    assert record(live).word == known(live).epoch != before
    assert contested(copy)


def test_a_dispute_without_room_for_it_keeps_from_collecting(
    live: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(live).word = "another's"
    with monkeypatch.context() as full:
        full.setattr(record(live), "dispute", raising(FULL))
        tenure.begin(live, HERE)
        assert contested(live)
    assert not record(live).is_in_dispute
    assert contested(live)
    assert record(live).is_in_dispute


def test_a_store_without_room_is_not_settled(
    live: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(live).word = "another's"
    assert contested(live)
    monkeypatch.setattr(record(live), "set_epoch", raising(FULL))
    assert verb.settled_by_operator(live, {}) == {"error": "Unsettled", "message": str(FULL)}
    assert contested(live)


@pytest.mark.parametrize("trouble", [OSError(errno.ESTALE, "stale"), FULL])
def test_a_store_that_cannot_be_read_keeps_no_other_from_being_collected(
    live: Services, trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenure.begin(live, THERE)
    later(live, timedelta(hours=1))
    monkeypatch.setattr(record(live), "read", raising(trouble))
    look_at_stores(live)
    with live.catalog.read() as tx:
        assert collection.find(tx, HERE) is None
        assert collection.find(tx, THERE) is not None
    here, there = verb.from_operator(live, {})["regions"]
    assert here == {"region": HERE, "away": str(trouble)}
    assert "freed_objects" in there


def test_who_was_stopped_while_he_deleted_looks_again_before_he_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server comes after the first of three objects is gone."""
    seconds = count(step=11)
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    live = services(tmp_path)
    tenure.begin(live, HERE)
    store = live.stores[HERE]
    put(live, b"one", b"two", b"three")
    delete = store.delete

    def deleted(digest: Digest, kind: Kind) -> None:
        delete(digest, kind)
        tenure.begin(copy_of(live), HERE)

    monkeypatch.setattr(store, "delete", deleted)
    with pytest.raises(Contested):
        collect.advance(live, HERE)
    assert len(list(store.digests(Kind.CHUNK))) == 2
    assert doomed(live) == []


def test_an_operator_ends_a_dispute_and_another_server_brings_it_back(live: Services) -> None:
    copy = copy_of(live)
    tenure.begin(copy, HERE)
    assert contested(live)
    verb.settled_by_operator(live, {})
    assert not contested(live)
    assert contested(copy)
    assert contested(live)
    verb.settled_by_operator(live, {})
    tenure.begin(live, HERE)
    assert not contested(live)


def test_an_epoch_that_is_gone_from_the_store_is_another_store(live: Services) -> None:
    record(live).word = None
    assert contested(live)


def test_a_store_of_a_time_before_epochs_is_taken(tmp_path: Path) -> None:
    svc = services(tmp_path)
    assert not contested(svc)
    tenure.renew(svc, HERE)
    assert record(svc).word == known(svc).epoch


def dies_before(svc: Services) -> Callable[[str], None]:
    def away(_: str) -> None:
        raise StoreAway("gone")

    return away


def dies_after(svc: Services) -> Callable[[str], None]:
    def written(epoch: str) -> None:
        record(svc).word = epoch
        raise StoreAway("gone")

    return written


@pytest.mark.parametrize("dies", [dies_before, dies_after])
def test_who_dies_between_two_words_finds_his_own(
    live: Services,
    dies: Callable[[Services], Callable[[str], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        with monkeypatch.context() as broken:
            broken.setattr(record(live), "set_epoch", dies(live))
            with pytest.raises(StoreAway):
                tenure.begin(live, HERE)
    tenure.begin(live, HERE)
    assert not contested(live)


def test_a_disk_that_is_mounted_later_is_not_collected_and_not_written_to(
    live: Services, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    mine = replace(live.claims[HERE][0], record=OwnerFile(place))
    svc = replace(live, claims={**live.claims, HERE: (mine,)})
    with pytest.raises(ForeignStore, match="any more"):
        collect.advance(svc, HERE)
    claim(OwnerFile(place), Owner(catalog="another", region=HERE))
    with pytest.raises(ForeignStore, match="of catalog another"):
        collect.advance(svc, HERE)
    look_at_stores(svc)
    assert [each.name for each in place.iterdir()] == ["owner"]


def exercise(there: OwnerRecord) -> None:
    assert there.epoch() is None
    for word in ("epoch-1", "epoch-2"):
        there.set_epoch(word)
        assert there.epoch() == word
    for _ in range(2):
        there.dispute()
        assert there.is_disputed()
    for _ in range(2):
        there.end_dispute()
        assert not there.is_disputed()


def test_the_words_in_a_directory_are_whole_or_not_there(tmp_path: Path) -> None:
    exercise(OwnerFile(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == ["epoch"]


def test_two_processes_of_the_same_number_write_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in its container; the other comes while the draft is being made durable."""
    fsync = os.fsync

    def the_other_comes(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        OwnerFile(tmp_path).set_epoch("theirs")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", the_other_comes)
    OwnerFile(tmp_path).set_epoch("mine")
    assert OwnerFile(tmp_path).epoch() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["epoch"]


def test_the_words_in_a_bucket_are_objects() -> None:
    with faulty_s3() as s3:
        exercise(OwnerObject(bucket.at(s3.place)))
        assert s3.objects == {"store/epoch": b"epoch-2\n"}


def test_an_epoch_that_a_bucket_acknowledged_and_lost_is_put_again() -> None:
    """The former one is there, and as long."""
    with faulty_s3() as s3:
        there = OwnerObject(bucket.at(s3.place))
        there.set_epoch("epoch-1")
        s3.plan = lambda method, _, before: Fault.LOST if (method, before) == ("PUT", 1) else None
        there.set_epoch("epoch-2")
        assert there.epoch() == "epoch-2"
        s3.plan = lambda method, *_: Fault.LOST if method == "PUT" else None
        with pytest.raises(WriteLost):
            there.set_epoch("epoch-3")
