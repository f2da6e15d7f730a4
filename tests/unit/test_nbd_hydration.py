"""How fast disks come by themselves: as fast as was set, and not while a guest waits."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from openami.nbd import hydration
from openami.nbd.demand import Demand
from openami.nbd.hydration import Hydration, Rate
from support.waiting import until

MIB = 1 << 20


def test_so_many_bytes_a_second_and_no_more_than_a_second_s_worth_is_saved_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(hydration, "time", SimpleNamespace(monotonic=lambda: now[0]))
    rate = Rate(2 * MIB)
    waits = [rate.take(MIB) for _ in range(4)]
    assert waits == [0.0, 0.0, 0.0, 0.5], "the last second was not used"
    now[0] += 0.5
    assert rate.take(MIB) == 0.5
    now[0] += 3600
    assert [rate.take(MIB) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert Rate(0).take(1 << 40) == 0.0


class Coming:
    """A disk of which one more block can always be had."""

    root = SimpleNamespace(to_text=lambda: "coming", blocks=1)
    kept = SimpleNamespace(complete=False, blocks_here=0)

    def __init__(self) -> None:
        self.fetched = threading.Event()

    def enter(self) -> bool:
        return True

    def leave(self) -> None: ...

    def next_wanted(self) -> int:
        return 0

    def fetch(self, _index: int) -> int:
        self.fetched.set()
        return MIB


class Waited:
    """A block that a guest waits for until the gate opens."""

    def __init__(self) -> None:
        self.begun, self.gate = threading.Event(), threading.Event()

    def fetch(self, _index: int) -> int:
        self.begun.set()
        assert self.gate.wait(60)
        return 0


def test_nothing_comes_by_itself_while_a_guest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hydration, "YIELD_S", 60.0)
    demand, guest, disk = Demand(threads=1), Waited(), Coming()
    disks: Any = [disk]
    demand.ask(guest, [0])
    until(guest.begun.is_set, what="the guest waits")
    hydrating = Hydration(lambda: disks, demand, Rate(MIB))
    try:
        assert not disk.fetched.wait(0.3), "it is the guest's turn"
        guest.gate.set()
        until(disk.fetched.is_set, what="it goes on when the guest has what it waited for")
    finally:
        guest.gate.set()
        hydrating.close()
        demand.close()
