"""A server that is started while the S3 of one of its regions is away."""

import os
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from openami.app import App
from openami.blockstore import awaited
from openami.blockstore.ownership import ForeignStore
from openami.blockstore.s3 import bucket
from openami.blockstore.store import StoreAway
from openami.blockstore.verify import verify
from openami.catalog.storage import collection, tenures
from openami.cli import init
from openami.domain.block import Digest
from openami.domain.collection import Tenure
from openami.jobs import outage
from openami.services import Services
from openami.settings import Settings
from openami.wire.s3_client import Patience
from openami.workflows import region_stores, tenure
from support.asking import ask, put_accounts
from support.builders import ALICE, HERE, THERE, ZONE
from support.crash import look_at_stores
from support.disk_contents import snapshot_blocks, write_volume
from support.faulty_s3 import FaultyS3, faulty_s3
from support.waiting import until

QUICK: Final = Patience(
    request_s=10.0, retries=1, retry_for_s=0.05, first_pause_s=0.002, longest_pause_s=0.01
)
OWNER: Final = "east/owner"
EPOCH: Final = "east/epoch"
AWAY: Final = (503, "SlowDown")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Generator[FaultyS3]:
    monkeypatch.setattr(bucket, "BRIEF", QUICK)
    monkeypatch.setattr(awaited, "PAUSE_S", 0.0)
    monkeypatch.setattr(outage, "LONGEST_PAUSE_S", 0.1)
    with faulty_s3() as found:
        yield found


@pytest.fixture
def settings(s3: FaultyS3, tmp_path: Path) -> Settings:
    """Of a state directory whose first region is in the S3, and the other is not."""
    east = f"{HERE}=s3://chunks/east?endpoint={s3.place.endpoint}"
    made = Settings(
        state_dir=tmp_path / "state",
        compute_driver="record",
        region_stores=(east,),
        settle_timeout_s=0.1,
    )
    init.make_state_directory(made).close()
    return made


@contextmanager
def server(settings: Settings) -> Generator[Services]:
    mask = os.umask(0o077)
    try:
        app = App(settings)
        with closing(app):
            app.start()
            yield app.services
    finally:
        os.umask(mask)


@pytest.fixture
def volume_id(settings: Settings) -> str:
    """What a first server has left: a volume in the region whose store is in the S3."""
    with server(settings) as svc:
        put_accounts(svc, ALICE)
        made = ask(svc, "CreateVolume", Size=1, AvailabilityZone=ZONE)["VolumeId"]
        until(
            lambda: (
                ask(svc, "DescribeVolumes", VolumeIds=[made])["Volumes"][0]["State"] != "creating"
            )
        )
        write_volume(svc, made, 3, "a")
    return str(made)


def state_of(svc: Services, snapshot_id: str) -> str:
    (found,) = ask(svc, "DescribeSnapshots", SnapshotIds=[snapshot_id])["Snapshots"]
    return str(found["State"])


def known(svc: Services) -> Tenure:
    with svc.catalog.read() as tx:
        found = tenures.find(tx, HERE)
    assert found is not None
    return found


def a_pending_snapshot(svc: Services, s3: FaultyS3, volume_id: str) -> str:
    """One whose job has looked for its store."""
    before = s3.asked.total()
    snapshot_id = str(ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"])
    until(lambda: s3.asked.total() > before, what="the job has looked for its store")
    assert state_of(svc, snapshot_id) == "pending"
    return snapshot_id


def test_a_server_starts_and_takes_its_store_when_that_is_back(
    s3: FaultyS3, settings: Settings, volume_id: str
) -> None:
    before = dict(s3.objects)
    s3.refusal, s3.asked = AWAY, type(s3.asked)()
    with server(settings) as svc:
        elsewhere = ask(svc, "CreateVolume", region=THERE, Size=1, AvailabilityZone=f"{THERE}a")
        assert elsewhere["VolumeId"]
        waiting = a_pending_snapshot(svc, s3, volume_id)
        assert set(s3.asked) == {"GET"}, "only whose the store is has been asked for"
        assert s3.objects == before
        s3.refusal = None
        until(lambda: state_of(svc, waiting) == "completed")
        assert s3.objects[EPOCH].decode().strip() == known(svc).epoch != before[EPOCH].decode()
        assert snapshot_blocks(svc, waiting) == {3: "a"}
        assert verify(svc.stores[HERE], region_stores.roots(svc.catalog, HERE)).intact


def test_a_very_first_start_needs_no_store(s3: FaultyS3, settings: Settings) -> None:
    s3.refusal = AWAY
    with server(settings) as svc:
        assert not s3.objects
        s3.refusal = None
        look_at_stores(svc)
        assert {OWNER, EPOCH, "east/archive/owner"} <= set(s3.objects)


def test_a_store_that_comes_back_is_collected_after_its_time_and_what_was_doomed_is_not(
    s3: FaultyS3, settings: Settings, volume_id: str
) -> None:
    garbage = ("c", Digest(bytes(range(32))))
    s3.refusal = AWAY
    with server(settings) as svc:
        long_ago = svc.clock.now() - timedelta(days=2)
        with svc.catalog.begin() as tx:
            tenures.save(tx, replace(known(svc), since=long_ago))
            collection.condemn(tx, HERE, [garbage])
            collection.doom(tx, HERE, [garbage])
        with pytest.raises(StoreAway):
            tenure.has_lasted(svc, HERE)
        look_at_stores(svc)
        assert known(svc).since == long_ago
        s3.refusal = None
        look_at_stores(svc)
        assert known(svc).since > long_ago
        assert not tenure.has_lasted(svc, HERE)
        with svc.catalog.read() as tx:
            assert collection.find(tx, HERE) is None
            assert collection.doomed(tx, HERE, 1) == []


def of_another_catalog(s3: FaultyS3) -> None:
    s3.objects[OWNER] = s3.objects[OWNER].replace(b'"catalog": "', b'"catalog": "not-')


def without_its_owner_and_with_strange_bytes(s3: FaultyS3) -> None:
    s3.objects = {f"east/c/{'ab' * 32:.2}/{'ab' * 32}": b"whose?"}


@pytest.mark.parametrize("change", [of_another_catalog, without_its_owner_and_with_strange_bytes])
def test_a_store_that_comes_back_as_another_one_is_not_used(
    s3: FaultyS3,
    settings: Settings,
    volume_id: str,
    change: Callable[[FaultyS3], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    its_own = dict(s3.objects)
    s3.refusal = AWAY
    with server(settings) as svc:
        waiting = a_pending_snapshot(svc, s3, volume_id)
        change(s3)
        strange = dict(s3.objects)
        s3.refusal = None
        look_at_stores(svc)
        with pytest.raises(StoreAway):
            list(svc.stores[HERE].digests())
        assert s3.objects == strange, "nothing is written there"
        assert state_of(svc, waiting) == "pending"
        assert "a store that was away is not used" in caplog.text
        (told,) = region_stores.strange(settings, svc.catalog)
        assert told.startswith(f"{HERE}: ")
        s3.objects = its_own
        until(lambda: state_of(svc, waiting) == "completed")
        assert snapshot_blocks(svc, waiting) == {3: "a"}


def test_a_store_that_is_another_one_at_the_start_refuses_it(
    s3: FaultyS3, settings: Settings, volume_id: str
) -> None:
    assert volume_id
    of_another_catalog(s3)
    with pytest.raises(ForeignStore, match="is wanted as"), server(settings):
        pass
