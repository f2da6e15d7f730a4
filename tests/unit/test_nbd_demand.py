"""Blocks that guests wait for: none waits while a thread that could fetch it has nothing to do."""

import threading

from openami.nbd.demand import Demand
from support.waiting import until


class Gated:
    """A block is fetched when its gate is open."""

    def __init__(self) -> None:
        self.gates = {index: threading.Event() for index in range(4)}
        self.begun: set[int] = set()

    def fetch(self, index: int) -> int:
        self.begun.add(index)
        assert self.gates[index].wait(60)
        return 0


def test_who_waits_for_a_quiet_moment_takes_no_thread_s_turn() -> None:
    demand, disk = Demand(threads=2), Gated()
    demand.ask(disk, [0, 1])
    until(lambda: disk.begun == {0, 1}, what="both threads have work")
    quiet = [threading.Thread(target=demand.wait_idle, args=(60,)) for _ in range(4)]
    for each in quiet:
        each.start()
    threading.Event().wait(0.2)  # they wait, most probably: right code passes in any case
    disk.gates[1].set()
    threading.Event().wait(0.2)  # and behind them one of the two threads
    demand.ask(disk, [2])
    try:
        until(lambda: 2 in disk.begun, 10, what="the thread that is free has begun")
    finally:
        for gate in disk.gates.values():
            gate.set()
    for each in quiet:
        each.join(60)
        assert not each.is_alive(), "it is quiet now"
    demand.close()


def test_nobody_waits_for_a_daemon_that_closes() -> None:
    demand, disk = Demand(threads=1), Gated()
    demand.ask(disk, [0])
    until(lambda: disk.begun == {0}, what="it fetches")
    quiet = threading.Thread(target=demand.wait_idle, args=(60,))
    quiet.start()
    demand.close()
    quiet.join(30)
    assert not quiet.is_alive()
    disk.gates[0].set()
