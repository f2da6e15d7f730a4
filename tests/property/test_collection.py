"""Collection beside ingests: nothing is lost in any order of events, and each safeguard counts."""

from pathlib import Path

import pytest

from openami.blockstore.store import ChunkLost
from openami.blockstore.verify import verify
from openami.workflows import region_stores
from support.builders import HERE
from support.collecting import Bugs, play

ORDERS = 90
ORDERS_TO_FIND_A_BUG = 3000


def test_no_order_of_events_loses_anything_or_keeps_garbage(tmp_path: Path) -> None:
    for seed in range(ORDERS):
        blocks = 0 if seed % 15 else 4  # their threads take long
        on = play(tmp_path / str(seed), seed, cut_offs=seed % 2 * 2, blocks=blocks)
        report = verify(on.store, region_stores.roots(on.svc.catalog, HERE))
        assert (report.intact, report.orphans) == (True, ()), seed


def test_no_order_of_events_beside_a_copy_of_the_catalog_loses_anything(tmp_path: Path) -> None:
    for seed in range(ORDERS // 3):
        on = play(tmp_path / str(seed), seed, copies=1 + seed % 2)
        assert verify(on.store, region_stores.roots(on.svc.catalog, HERE)).intact, seed


@pytest.mark.parametrize(
    ("bugs", "first"),  # of the orders that are tried: it makes the search short
    [
        pytest.param(Bugs(no_drain=True), 379, id="waiting for ingests that began before"),
        pytest.param(Bugs(ignores_condemned=True), 20, id="knowing what is condemned"),
        pytest.param(Bugs(waits_for_no_doomed=True), 20, id="waiting for what is being deleted"),
        pytest.param(Bugs(late_lease=True), 134, id="the lease before the first look"),
        pytest.param(Bugs(mark_before_drain=True), 2, id="marking when nobody is waited for"),
        pytest.param(Bugs(no_fencing=True), 13, id="refusing who was cut off from its lease"),
        pytest.param(Bugs(no_epoch=True), 2, id="the epoch in the store"),
        pytest.param(Bugs(row_before_bytes=True), 1, id="the bytes before the row"),
        pytest.param(Bugs(rows_hold_nothing=True), 33, id="rows of blocks that keep chunks"),
        pytest.param(Bugs(manifests_unawaited=True), 1, id="waiting for manifests of blocks"),
    ],
)
def test_without_one_of_its_safeguards_something_is_lost(
    tmp_path: Path, bugs: Bugs, first: int
) -> None:
    blocks = 4 if bugs.rows_hold_nothing or bugs.manifests_unawaited else 0
    for seed in range(first, first + ORDERS_TO_FIND_A_BUG):
        try:
            at_work = {"cut_offs": 2 * bugs.no_fencing, "copies": 1 * bugs.no_epoch}
            play(tmp_path / str(seed), seed, bugs, blocks=blocks, **at_work)
        except (AssertionError, ChunkLost):  # the latter is met by who marks
            return
    pytest.fail("nothing was lost, so this safeguard is not needed, or not tested")
