"""Region stores by setting: which are in a bucket, whose they are, and how bytes come there."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from openami.blockstore import regional
from openami.blockstore.ingest import ingest_file
from openami.blockstore.ownership import ForeignStore, Owner, claim, is_claimed
from openami.blockstore.regional import Place
from openami.blockstore.store import StoreAway
from openami.blockstore.tiered import move
from openami.blockstore.transfer import transfer
from openami.blockstore.verify import verify
from openami.catalog import snapshots
from openami.catalog.catalog import Catalog
from openami.domain.block import GIB
from openami.domain.store_place import BucketPlace
from openami.settings import Settings, SettingsError
from openami.workflows import region_stores
from support.blocks import a_block, a_disk
from support.builders import HERE, THERE, a_snapshot
from support.fakes import CountingIds
from support.faulty_s3 import Fault, FaultyS3, faulty_s3

EAST: Final = "us-east-1=s3://chunks/east?endpoint=http://127.0.0.1:1"
KEYS: Final = ("us-east-1=our-id:our-secret",)


@pytest.fixture
def s3() -> Generator[FaultyS3]:
    with faulty_s3() as found:
        yield found


def settings(state_dir: Path, *stores: str, **but: Any) -> Settings:
    return Settings(state_dir=state_dir, region_stores=stores, **but)


def in_bucket(s3: FaultyS3, prefix: str = "east", region: str = "us-east-1") -> str:
    return f"{region}=s3://chunks/{prefix}?endpoint={s3.place.endpoint}"


def a_place(text: str = EAST, **but: Any) -> Place:
    return settings(Path("/state"), text, **but).store_of["us-east-1"]


def test_a_store_may_be_a_prefix_of_a_bucket() -> None:
    assert a_place(region_store_keys=KEYS) == BucketPlace(
        bucket="chunks",
        prefix="east",
        endpoint="http://127.0.0.1:1",
        region="us-east-1",
        access_key_id="our-id",
        secret_access_key="our-secret",
    )


def test_what_the_place_does_not_say_is_as_for_transfers() -> None:
    place = a_place(
        "us-east-1=s3://chunks",
        s3_endpoint="https://s3.example",
        s3_access_key_id="id",
        s3_secret_access_key="secret",
        s3_region="eu-7",
    )
    assert place == BucketPlace(
        bucket="chunks",
        prefix="",
        endpoint="https://s3.example",
        region="eu-7",
        access_key_id="id",
        secret_access_key="secret",
    )


def test_another_process_of_ours_is_told_the_place_with_its_keys(tmp_path: Path) -> None:
    for place in (a_place(region_store_keys=KEYS), tmp_path):
        assert regional.understood(json.loads(json.dumps(regional.told(place)))) == place


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("us-east-1=s3://chunks/east", "needs \\?endpoint="),
        ("us-east-1=s3://chunks/east?endpoint=ftp://x", "needs \\?endpoint="),
        ("us-east-1=s3://chunks/east?endpiont=http://x", "endpiont is not known"),
        ("us-east-1=s3:///east?endpoint=http://x", "'' is no name of a bucket"),
        ("us-east-1=s3://Chunks/east?endpoint=http://x", "no name of a bucket"),
        ("us-east-1=s3://chunks/a//b?endpoint=http://x", "'a//b' is no prefix"),
        ("us-east-1=s3://chunks/../b?endpoint=http://x", "is no prefix"),
        ("us-east-1=gs://chunks/east", "not <region>=</a/directory>"),
    ],
)
def test_a_place_that_is_none_is_refused_at_the_start(wrong: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        settings(Path("/state"), wrong)


@pytest.mark.parametrize("wrong", ["us-east-1=secret", "us-east-1=:secret", "=id:secret"])
def test_keys_that_are_none_are_refused_and_not_told(wrong: str) -> None:
    with pytest.raises(SettingsError, match="region_store_keys for") as refused:
        settings(Path("/state"), region_store_keys=(wrong,))
    assert "secret" not in str(refused.value).replace("<secret>", "")


def test_no_secret_is_in_what_is_printed_of_settings() -> None:
    its = settings(
        Path("/state"), EAST, region_store_keys=KEYS, s3_secret_access_key="another-secret"
    )
    printed = f"{its!r} {its.store_of!r} {its.store_of['us-east-1']}"
    assert "our-secret" not in printed
    assert "another-secret" not in printed


@pytest.mark.parametrize("other", ["east", "east/archive", "east/more/of/it", ""])
def test_two_regions_do_not_share_a_prefix(s3: FaultyS3, tmp_path: Path, other: str) -> None:
    both = settings(tmp_path, in_bucket(s3), in_bucket(s3, other, "us-west-2"))
    with pytest.raises(ForeignStore, match="each region needs its own"):
        region_stores.places(both, Catalog.in_memory())


def test_regions_may_have_neighbours_in_a_bucket(s3: FaultyS3, tmp_path: Path) -> None:
    both = settings(tmp_path, in_bucket(s3), in_bucket(s3, "east2", "us-west-2"))
    assert list(region_stores.ready(both, Catalog.in_memory(), CountingIds())) == [HERE, THERE]


def test_a_disk_goes_from_a_bucket_to_a_directory_and_back(s3: FaultyS3, tmp_path: Path) -> None:
    catalog = Catalog.in_memory()
    stores = region_stores.ready(settings(tmp_path, in_bucket(s3)), catalog, CountingIds())
    disk = a_disk(tmp_path / "disk", {3: a_block("a"), 300: a_block("b")}, GIB)
    root = ingest_file(stores[HERE], disk)
    assert transfer(stores[HERE], stores[THERE], root).chunks == 2
    for digest in list(stores[HERE].digests()):
        stores[HERE].delete(digest)
    assert transfer(stores[THERE], stores[HERE], root).chunks == 2
    assert verify(stores[HERE], [root]).intact
    assert verify(stores[THERE], [root]).intact


def test_an_archive_is_beside_the_store_in_its_bucket(s3: FaultyS3, tmp_path: Path) -> None:
    its = settings(tmp_path, in_bucket(s3))
    store = region_stores.ready(its, Catalog.in_memory(), CountingIds())[HERE]
    root = ingest_file(store, a_disk(tmp_path / "disk", {3: a_block("a")}, GIB))
    (digest,) = store.digests()
    assert move(store, store.archive, [digest]) == 1
    assert not store.has(digest)
    assert f"east/archive/c/{digest.hex()[:2]}/{digest.hex()}" in s3.objects
    assert verify(store, [root]).intact
    assert move(store.archive, store, [digest]) == 1
    assert store.has(digest)


def test_another_catalog_does_not_take_a_bucket_for_garbage(s3: FaultyS3, tmp_path: Path) -> None:
    ids, its = CountingIds(), settings(tmp_path, in_bucket(s3))
    region_stores.ready(its, Catalog.in_memory(), ids)
    with pytest.raises(ForeignStore, match=r"owner in s3://chunks/east at http.* says"):
        region_stores.ready(its, Catalog.in_memory(), ids)


def test_a_bucket_without_what_the_catalog_relies_on_is_the_wrong_one(
    s3: FaultyS3, tmp_path: Path
) -> None:
    catalog, ids = Catalog.in_memory(), CountingIds()
    store = region_stores.ready(settings(tmp_path, in_bucket(s3)), catalog, ids)[HERE]
    root = ingest_file(store, a_disk(tmp_path / "disk", {3: a_block("a")}, GIB))
    with catalog.begin() as tx:
        snapshots.add(tx, a_snapshot(root=root.to_text()))
    with pytest.raises(ForeignStore, match="nor most of what should be"):
        region_stores.ready(settings(tmp_path, in_bucket(s3, "elsewhere")), catalog, ids)


def test_a_directory_that_was_copied_into_a_bucket_is_the_store(
    s3: FaultyS3, tmp_path: Path
) -> None:
    catalog, ids = Catalog.in_memory(), CountingIds()
    store = region_stores.ready(settings(tmp_path), catalog, ids)[HERE]
    root = ingest_file(store, a_disk(tmp_path / "disk", {3: a_block("a")}, GIB))
    with catalog.begin() as tx:
        snapshots.add(tx, a_snapshot(root=root.to_text()))
    for file in (tmp_path / "chunks").rglob("*"):
        if file.is_file():
            s3.put(f"east/{file.relative_to(tmp_path / 'chunks')}", file.read_bytes())
    moved = region_stores.ready(settings(tmp_path, in_bucket(s3)), catalog, ids)[HERE]
    assert verify(moved, [root]).intact


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESET_AFTER, Fault.LOST, Fault.ERROR])
def test_the_first_owner_stays_it_however_the_bucket_answered(s3: FaultyS3, fault: Fault) -> None:
    mine, theirs = (Owner(catalog=each, region=HERE) for each in ("mine", "theirs"))
    record = regional.record_at(s3.place)
    s3.plan = lambda method, _, before: fault if method == "PUT" and before == 0 else None
    claim(record, mine)
    claim(record, mine)
    with pytest.raises(ForeignStore):
        claim(record, theirs)
    assert is_claimed(record, mine)


def test_a_store_that_is_away_at_the_start_is_told(s3: FaultyS3, tmp_path: Path) -> None:
    s3.refusal = (403, "InvalidAccessKeyId")
    with pytest.raises(StoreAway, match="InvalidAccessKeyId"):
        region_stores.ready(settings(tmp_path, in_bucket(s3)), Catalog.in_memory(), CountingIds())


def test_doctor_is_told_of_stores_that_do_not_answer_or_are_others(
    s3: FaultyS3, tmp_path: Path
) -> None:
    catalog, ids = Catalog.in_memory(), CountingIds()
    its = settings(tmp_path, in_bucket(s3))
    assert list(region_stores.strange(its, catalog)) == []
    region_stores.ready(its, catalog, ids)
    assert list(region_stores.strange(its, catalog)) == []
    s3.refusal = (403, "InvalidAccessKeyId")
    (told,) = region_stores.strange(its, catalog)
    assert told.startswith("us-east-1: s3://chunks/east at http")
    s3.refusal = None
    s3.objects["east/owner"] = s3.objects["east/owner"].replace(b"east", b"west")
    (told,) = region_stores.strange(its, catalog)
    assert "is wanted as" in told
