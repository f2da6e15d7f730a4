"""Collection by the service's own verbs, and what a power cut at every moment leaves of it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from openami.actions import collection as verb
from openami.blockstore import archive, codec
from openami.blockstore.accounting import freed_bytes
from openami.blockstore.ingest import ingest_file
from openami.blockstore.store import Kind
from openami.blockstore.verify import Wanted, still_lost, verify
from openami.catalog import ingests, snapshots
from openami.catalog.storage import collection
from openami.domain.collection import Phase, Round
from openami.domain.ids import SnapshotId
from openami.domain.manifest import Root
from openami.services import Services
from openami.settings import Settings
from openami.workflows import collect, region_stores, tenure
from support.asking import ask, put, put_accounts
from support.blocks import a_disk
from support.builders import (
    ALICE,
    EPOCH,
    HERE,
    SNAPSHOT,
    THERE,
    a_pending_snapshot,
    a_snapshot,
    a_volume,
)
from support.crash import Made, assert_survives, look_at_stores
from support.fakes import StoppedClock, services
from support.power import in_buckets, on_its_disk

SECOND = SnapshotId("snap-00000000000000002")
BLOCK = 512 * 1024


def stored(svc: Services, content: dict[int, str]) -> str:
    blocks = {index: sign.encode() * BLOCK for index, sign in content.items()}
    disk = a_disk(svc.settings.state_dir / "disk", blocks, 1 << 30)
    return ingest_file(svc.stores[HERE], disk).to_text()


def two_snapshots(svc: Services) -> None:
    put_accounts(svc, ALICE)
    put(
        svc,
        a_snapshot(root=stored(svc, {0: "a", 5: "b", 300: "c"})),
        a_snapshot(id=SECOND, root=stored(svc, {0: "a", 7: "d"})),
    )


def taken_bytes(svc: Services) -> int:
    store = svc.stores[HERE]
    return sum(store.stored_bytes(each, kind) for kind in Kind for each in store.digests(kind))


def every(seconds: float, state_dir: Path) -> Settings:
    return Settings(state_dir=state_dir, compute_driver="record", collect_every_s=seconds)


def orphans(svc: Services) -> int:
    report = verify(svc.stores[HERE], region_stores.roots(svc.catalog, HERE))
    assert report.intact
    return len(report.orphans)


def test_what_deleting_frees_is_foretold_to_the_byte(tmp_path: Path) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    with svc.catalog.read() as tx:
        roots = {
            each.id: Root.from_text(str(each.root))
            for each in (snapshots.fetch_any(tx, SNAPSHOT), snapshots.fetch_any(tx, SECOND))
            if each is not None
        }
    foretold = freed_bytes(svc.stores[HERE], [roots[SNAPSHOT]], [roots[SECOND]])
    before = taken_bytes(svc)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    assert taken_bytes(svc) == before
    told = verb.from_operator(svc, {})["regions"][0]
    assert told == {
        "region": HERE,
        "freed_objects": 2 + 3,  # two chunks; the pages of a tree of 300 blocks
        "freed_bytes": foretold,
        "waits_for": [],
    }
    assert before - taken_bytes(svc) == foretold
    assert orphans(svc) == 0


def test_a_round_waits_for_who_writes_and_then_goes_on(tmp_path: Path) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    with svc.catalog.begin() as tx:
        ingests.begin(tx, "snap-00000000000000009", HERE, svc.clock.now())
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    told = verb.from_operator(svc, {"wait_s": 0})["regions"][0]
    assert (told["freed_objects"], told["waits_for"]) == (0, ["snap-00000000000000009"])
    with svc.catalog.begin() as tx:
        ingests.end(tx, "snap-00000000000000009")
    collect.advance(svc, HERE)
    assert orphans(svc) == 0


def test_who_began_to_write_later_is_not_waited_for(tmp_path: Path) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    with svc.catalog.begin() as tx:
        ingests.begin(tx, "snap-00000000000000008", HERE, svc.clock.now())
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    collect.advance(svc, HERE)
    with svc.catalog.begin() as tx:
        ingests.begin(tx, "snap-00000000000000009", HERE, svc.clock.now())
        ingests.end(tx, "snap-00000000000000008")
    assert collect.advance(svc, HERE).phase is Phase.ENDED
    assert orphans(svc) == 0


def test_a_disk_that_is_needed_again_is_spared(tmp_path: Path) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    with svc.catalog.begin() as tx:
        ingests.begin(tx, "snap-00000000000000009", HERE, svc.clock.now())
        snapshots.remove(tx, SNAPSHOT)
    collect.advance(svc, HERE)  # condemned, and waits
    root = stored(svc, {0: "a", 5: "b", 300: "c"})
    put(svc, a_snapshot(root=root))
    with svc.catalog.begin() as tx:
        ingests.end(tx, "snap-00000000000000009")
    assert collect.advance(svc, HERE).freed_objects == 0
    assert orphans(svc) == 0


def test_nothing_goes_while_a_disk_is_not_whole(tmp_path: Path) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    with svc.catalog.read() as tx:
        second = snapshots.fetch_any(tx, SECOND)
    assert second is not None
    svc.stores[HERE].delete(Root.from_text(str(second.root)).digest, Kind.PAGE)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    before = taken_bytes(svc)
    told = verb.from_operator(svc, {})["regions"]
    assert ["not_whole" in each for each in told] == [True, False]
    assert taken_bytes(svc) == before


def test_with_the_setting_0_nothing_is_collected_unasked(tmp_path: Path) -> None:
    svc = services(tmp_path, settings=every(0, tmp_path))
    put_accounts(svc, ALICE)
    look_at_stores(svc)
    with svc.catalog.read() as tx:
        assert collection.find(tx, HERE) is None


def test_rounds_come_as_often_as_the_setting_says(tmp_path: Path) -> None:
    svc = services(tmp_path, settings=every(3600, tmp_path))
    put_accounts(svc, ALICE)
    tenure.begin(svc, HERE)
    assert isinstance(svc.clock, StoppedClock)
    found: list[Round | None] = []
    for seconds in (3599, 1, 3599, 1):
        svc.clock.advance(timedelta(seconds=seconds))
        look_at_stores(svc)
        with svc.catalog.read() as tx:
            found.append(collection.find(tx, HERE))
    first, second = (EPOCH + timedelta(hours=after) for after in (1, 2))
    assert [each and each.began_at for each in found] == [None, first, first, second]
    assert {each.phase for each in found if each} == {Phase.ENDED}


def test_who_writes_elsewhere_is_not_waited_for(tmp_path: Path) -> None:
    svc = services(tmp_path)
    with svc.catalog.begin() as tx:
        ingests.begin(tx, "snap-00000000000000009", THERE, svc.clock.now())
    assert collect.advance(svc, HERE).phase is Phase.ENDED
    assert collect.advance(svc, THERE).phase is Phase.DRAINING


def a_round_that_fails(svc: Services) -> None:
    two_snapshots(svc)
    with svc.catalog.read() as tx:
        second = snapshots.fetch_any(tx, SECOND)
    assert second is not None
    svc.stores[HERE].delete(Root.from_text(str(second.root)).digest, Kind.PAGE)
    look_at_stores(svc)
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(hours=1))
    look_at_stores(svc)


def failures(svc: Services) -> int:
    with svc.catalog.read() as tx:
        one = collection.find(tx, HERE)
    assert one is not None
    return one.failures


def test_a_round_that_fails_is_tried_ever_more_seldom_and_told(tmp_path: Path) -> None:
    svc = services(tmp_path, settings=every(3600, tmp_path))
    a_round_that_fails(svc)
    assert isinstance(svc.clock, StoppedClock)
    for minutes, expected in ((4, 1), (1, 2), (9, 2), (1, 3), (19, 3), (1, 4)):
        svc.clock.advance(timedelta(minutes=minutes))
        look_at_stores(svc)
        assert failures(svc) == expected
    with svc.catalog.read() as tx:
        (told,) = collection.failing(tx)
    assert "is missing" in str(told.failure)


def test_a_round_that_gets_on_again_has_not_failed(tmp_path: Path) -> None:
    svc = services(tmp_path, settings=every(3600, tmp_path))
    a_round_that_fails(svc)
    stored(svc, {0: "a", 7: "d"})  # what was lost is there again
    verb.from_operator(svc, {})
    assert failures(svc) == 0


def test_what_is_doomed_goes_although_rounds_fail(tmp_path: Path) -> None:
    """Somebody may wait for it."""
    svc = services(tmp_path, settings=every(3600, tmp_path))
    a_round_that_fails(svc)
    garbage = ("c", codec.digest_of(b"garbage"))
    with svc.catalog.begin() as tx:
        collection.condemn(tx, HERE, [garbage])
        collection.doom(tx, HERE, [garbage])
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(minutes=1))
    look_at_stores(svc)
    with svc.catalog.read() as tx:
        assert collection.doomed(tx, HERE, 10) == []


def test_a_lease_that_nobody_can_use_any_more_is_ended(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put_accounts(svc, ALICE)
    put(svc, a_pending_snapshot())
    with svc.catalog.begin() as tx:
        ingests.begin(tx, SNAPSHOT, HERE, svc.clock.now())
        ingests.begin(tx, "snap-00000000000000009", HERE, svc.clock.now())
    collect.end_useless_leases(svc)
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == [SNAPSHOT]


def test_what_is_deleted_while_it_is_verified_is_not_told_as_lost(tmp_path: Path) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    store = svc.stores[HERE]
    before = Wanted(roots=region_stores.roots(svc.catalog, HERE))
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    verb.from_operator(svc, {})
    report = verify(store, before.roots)
    assert not report.intact
    now = Wanted(roots=region_stores.roots(svc.catalog, HERE))
    assert still_lost(store, report, lambda: now).intact
    told = [before, now]
    assert still_lost(store, report, lambda: told.pop(0) if told[1:] else told[0]).intact
    assert still_lost(store, report, lambda: before) == report


def a_round_after_a_deletion(svc: Services) -> Callable[[], object]:
    two_snapshots(svc)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    tenure.begin(svc, HERE)
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(days=1))
    return lambda: collect.start(svc, HERE)


def what_is_needed_is_there(svc: Services) -> None:
    assert verify(svc.stores[HERE], region_stores.roots(svc.catalog, HERE)).intact


def nothing_else_is_there(svc: Services) -> None:
    collect.advance(svc, HERE)
    assert orphans(svc) == 0
    with svc.catalog.read() as tx:
        assert not collection.any_condemned(tx, HERE)


@pytest.mark.parametrize("host", [on_its_disk, in_buckets])
def test_a_round_survives_a_power_cut_at_any_moment(tmp_path: Path, host: Made) -> None:
    moments = assert_survives(
        *(tmp_path, a_round_after_a_deletion),
        *(what_is_needed_is_there, nothing_else_is_there),
        made=host,
    )
    assert moments > 15


def test_what_a_pending_snapshot_s_volume_lay_on_is_kept_though_the_volume_goes(
    tmp_path: Path,
) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    with svc.catalog.read() as tx:
        first = snapshots.fetch_any(tx, SNAPSHOT)
    assert first is not None
    volume = a_volume(root=first.root, snapshot_id=SNAPSHOT)
    with svc.catalog.begin() as tx:
        ingests.begin(tx, "snap-00000000000000009", HERE, svc.clock.now(), volume)
        snapshots.remove(tx, SNAPSHOT)
    collect.advance(svc, HERE)
    assert orphans(svc) == 0
    with svc.catalog.begin() as tx:
        ingests.end(tx, "snap-00000000000000009")
    assert orphans(svc) == 5


def test_a_restored_image_s_chunks_are_spared_and_not_taken_for_there(tmp_path: Path) -> None:
    svc = services(tmp_path)
    two_snapshots(svc)
    with svc.catalog.read() as tx:
        root = Root.from_text(str(getattr(snapshots.fetch_any(tx, SNAPSHOT), "root", "")))
    store = svc.stores[HERE]
    body = b"".join(archive.records(store, [root]))
    with svc.catalog.begin() as tx:
        ingests.begin(
            tx, "snap-00000000000000009", HERE, svc.clock.now()
        )  # keeps the round waiting
        snapshots.remove(tx, SNAPSHOT)
    collect.advance(svc, HERE)
    with svc.catalog.read() as tx:
        assert len(collection.condemned_after(tx, HERE, None, 100)) == 5
    archive.restore(archive.Source(iter([body])), store, [root])
    with svc.catalog.read() as tx:
        assert not collection.any_condemned(tx, HERE)
