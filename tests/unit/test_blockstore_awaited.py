"""A store that may be away when the server starts, and is taken at its first use."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from openami.blockstore import awaited
from openami.blockstore.awaited import Arrival, AwaitedStore
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.ownership import ForeignStore
from openami.blockstore.store import StoreAway, StoreFull
from openami.domain.block import Digest

ASKED_BY = 8


class Taking:
    """Fails with `failure` while there is one."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited, "PAUSE_S", 0.0)


def test_a_store_is_taken_once_by_whoever_uses_it_first() -> None:
    taking, together = Taking(), threading.Barrier(ASKED_BY)
    arrival = Arrival(taking)

    def use(_: int) -> None:
        together.wait()
        arrival.require()

    with ThreadPoolExecutor(ASKED_BY) as users:
        list(users.map(use, range(ASKED_BY)))
    assert taking.calls == 1


def test_who_asks_again_soon_is_told_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited, "PAUSE_S", 3600.0)
    taking = Taking(StoreAway("the bucket is away"))
    arrival = Arrival(taking)
    for _ in range(3):
        with pytest.raises(StoreAway, match="the bucket is away"):
            arrival.require()
    assert taking.calls == 1


def test_a_look_of_somebody_else_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited, "PAUSE_S", 3600.0)
    taking = Taking()
    arrival = Arrival(taking)
    arrival.missed(StoreAway("away a moment ago"))
    with pytest.raises(StoreAway, match="a moment ago"):
        arrival.require()
    assert taking.calls == 0


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("refusal", [ForeignStore("it is another's"), StoreFull("it is another's")])
def test_a_store_that_cannot_be_taken_is_away_and_the_log_says_why(
    refusal: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    taking = Taking(refusal)
    arrival = Arrival(taking)
    with pytest.raises(StoreAway, match="it is another's"):
        arrival.require()
    assert "it is another's" in caplog.text
    taking.failure = None
    arrival.require()


@pytest.mark.usefixtures("at_once")
def test_nothing_is_read_or_written_before_the_store_is_taken() -> None:
    taking, inner = Taking(StoreAway("away")), MemoryChunkStore()
    store = AwaitedStore(inner, Arrival(taking))
    digest = Digest(bytes(32))
    uses = (
        lambda: store.writer(),
        lambda: store.get(digest),
        lambda: store.framed(digest),
        lambda: store.has(digest),
        lambda: store.missing([digest]),
        lambda: store.stored_bytes(digest),
        lambda: store.delete(digest),
        lambda: store.quarantine(digest),
        lambda: store.digests(),
    )
    for use in uses:
        with pytest.raises(StoreAway):
            use()
    assert taking.calls == len(uses)
    taking.failure = None
    assert store.missing([digest]) == {digest}
    assert not store.has(digest)
    assert taking.calls == len(uses) + 1
