"""A chunk store over an S3 that fails in every way we know: no damage, and it goes on by itself."""

import random  # noqa: TID251 (seeded: a failure repeats)
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import pytest

from openami.app import RealClock
from openami.blockstore import codec
from openami.blockstore.ingest import ingest_file
from openami.blockstore.restore import restore
from openami.blockstore.s3 import bucket
from openami.blockstore.s3.store import S3ChunkStore
from openami.blockstore.store import ChunkCorrupt, ChunkLost, Kind, StoreAway, StoreFull
from openami.blockstore.verify import verify
from openami.domain.block import Digest
from openami.objects.s3 import S3Objects
from openami.objects.store import Endpoint
from openami.wire.s3_client import Patience
from support.blocks import a_block, a_disk
from support.faulty_s3 import BUCKET, Fault, FaultyS3, Plan, faulty_s3

T = TypeVar("T")

CHUNK: Final = b"some bytes of a disk" * 1000
DIGEST: Final = codec.digest_of(CHUNK)
FRAMED: Final = codec.encode(CHUNK)
KEY: Final = f"store/c/{DIGEST.hex()[:2]}/{DIGEST.hex()}"
PAGE: Final = bytes(32)
PAGE_DIGEST: Final = codec.digest_of(PAGE)
QUICK: Final = Patience(
    request_s=2.0, retries=6, retry_for_s=20.0, first_pause_s=0.005, longest_pause_s=0.05
)
MIB: Final = 1 << 20
LOUD: Final = (*(Fault.ERROR, Fault.SLOW_DOWN, Fault.RESET, Fault.RESET_AFTER, Fault.HALF),)
"""What the client sees to be wrong."""
LYING: Final = (Fault.LOST, Fault.TORN)


@pytest.fixture
def s3() -> Generator[FaultyS3]:
    with faulty_s3() as found:
        yield found


def over(s3: FaultyS3, late_s: float = 900.0) -> S3ChunkStore:
    return S3ChunkStore(bucket.at(s3.place, QUICK), late_s)


def put(store: S3ChunkStore) -> None:
    with store.writer() as writer:
        writer.put(DIGEST, FRAMED)
        writer.put(PAGE_DIGEST, codec.encode(PAGE, Kind.PAGE), Kind.PAGE)


def first(fault: Fault, method: str = "") -> Plan:
    """Each request goes wrong once (those of the method, if one is told)."""
    return lambda asked, _, before: fault if before == 0 and asked in (method or asked) else None


def always(fault: Fault, method: str = "") -> Plan:
    return lambda asked, _, __: fault if asked in (method or asked) else None


def test_only_what_the_settings_say_counts(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's shell may be set up for clients of openami, or for another S3."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-7")
    put(over(s3))
    endpoint = Endpoint(
        url=s3.place.endpoint, access_key_id="key", secret_access_key="secret", region="us-east-1"
    )
    assert S3Objects(lambda: endpoint, RealClock()).head(BUCKET, KEY).size_bytes == len(FRAMED)
    assert "x-amz-security-token" not in s3.headers
    assert "Credential=key/" in s3.headers["authorization"]
    assert "/us-east-1/s3/" in s3.headers["authorization"]


@pytest.mark.parametrize("fault", [*LOUD, *LYING])
def test_what_fails_once_is_done_all_the_same(s3: FaultyS3, fault: Fault) -> None:
    s3.plan = first(fault)
    store = over(s3)
    put(store)
    assert store.get(DIGEST) == CHUNK
    assert store.get(PAGE_DIGEST, Kind.PAGE) == PAGE
    assert list(store.digests()) == [DIGEST]
    assert store.missing([DIGEST, PAGE_DIGEST]) == {PAGE_DIGEST}
    assert store.stored_bytes(DIGEST) == len(FRAMED)
    assert s3.met[fault] > 0


def test_who_is_not_answered_asks_again(s3: FaultyS3) -> None:
    s3.plan = first(Fault.SILENCE, "PUT GET")
    store = over(s3)
    with store.writer() as writer:
        writer.put(DIGEST, FRAMED)
    assert store.get(DIGEST) == CHUNK
    assert s3.met[Fault.SILENCE] == 2


def test_nobody_waits_for_ever_for_an_answer(s3: FaultyS3) -> None:
    s3.plan = always(Fault.SILENCE)
    hasty = Patience(request_s=0.1, retries=1, retry_for_s=1.0, first_pause_s=0.005)
    with pytest.raises(StoreAway):
        put(S3ChunkStore(bucket.at(s3.place, hasty)))


@pytest.mark.parametrize("fault", LOUD)
def test_what_goes_on_failing_is_told_and_leaves_no_page(s3: FaultyS3, fault: Fault) -> None:
    s3.plan = always(fault, "HEAD" if fault is Fault.RESET_AFTER else "PUT HEAD")
    if fault in (Fault.HALF, Fault.RESET_AFTER):
        s3.plan = always(Fault.ERROR, "HEAD")
    store = over(s3)
    with pytest.raises(StoreAway, match=r"s3://chunks/store at http://127\.0\.0\.1"):
        put(store)
    assert not any(key.startswith("store/n/") for key in s3.objects)
    s3.plan = lambda *_: None
    put(store)
    assert store.get(DIGEST) == CHUNK


@pytest.mark.parametrize("fault", LYING)
def test_a_write_that_is_lost_again_and_again_is_no_commit(s3: FaultyS3, fault: Fault) -> None:
    s3.plan = always(fault, "PUT")
    with pytest.raises(StoreAway, match="acknowledges"):
        put(over(s3))
    assert not s3.objects, "nobody may rely on half a chunk"


def test_after_a_lost_chunk_nothing_of_the_writer_is_published(s3: FaultyS3) -> None:
    writer = over(s3).writer()
    s3.plan = always(Fault.LOST, "PUT")
    writer.put(DIGEST, FRAMED)
    writer.put(PAGE_DIGEST, codec.encode(PAGE, Kind.PAGE), Kind.PAGE)
    for _ in range(2):
        with pytest.raises(StoreAway):
            writer.commit()
        s3.plan = lambda *_: None
    assert not s3.objects


def test_an_answer_that_is_cut_short_is_no_corrupt_chunk(s3: FaultyS3) -> None:
    store = over(s3)
    put(store)
    s3.plan = always(Fault.SHORT, "GET")
    with pytest.raises(StoreAway, match="hands out"):
        store.get(DIGEST)
    s3.plan = first(Fault.SHORT, "GET")
    assert store.get(DIGEST) == CHUNK
    assert KEY in s3.objects


def test_a_chunk_that_rotted_there_is_kept_for_whoever_looks_into_it(s3: FaultyS3) -> None:
    store = over(s3)
    put(store)
    s3.objects[KEY] = FRAMED[:-1] + b"\0"
    s3.plan = lambda method, _, before: Fault.ERROR if before == 0 and method == "COPY" else None
    with pytest.raises(ChunkCorrupt):
        store.get(DIGEST)
    assert KEY not in s3.objects
    assert s3.objects[f"store/q/c{DIGEST.hex()}"] == FRAMED[:-1] + b"\0"


def test_an_s3_that_is_away_has_lost_nothing(s3: FaultyS3) -> None:
    store = over(s3)
    put(store)
    s3.plan = always(Fault.SLOW_DOWN)
    for ask in (store.get, store.has, store.stored_bytes, store.framed):
        with pytest.raises(StoreAway, match=r"503|Unavailable"):
            ask(DIGEST)
    with pytest.raises(StoreAway):
        store.missing([DIGEST])
    with pytest.raises(StoreAway):
        list(store.digests())
    s3.plan = lambda *_: None
    assert store.get(DIGEST) == CHUNK


def test_what_an_s3_says_to_be_full_is_full(s3: FaultyS3) -> None:
    s3.refusal = (507, "XMinioStorageFull")
    with pytest.raises(StoreFull, match="s3://chunks/store"):
        put(over(s3))


def test_a_bucket_that_is_not_there_is_no_lost_chunk(s3: FaultyS3) -> None:
    s3.refusal = (404, "NoSuchBucket")
    with pytest.raises(StoreAway, match="no such bucket"):
        over(s3).get(DIGEST)


def test_no_error_tells_the_keys(s3: FaultyS3) -> None:
    s3.refusal = (403, "SignatureDoesNotMatch")
    with pytest.raises(StoreAway) as refused:
        put(over(s3))
    assert "secret" not in f"{refused.value} {s3.place} {s3.place!r}"


def test_a_deletion_without_an_answer_is_not_taken_for_done(s3: FaultyS3) -> None:
    """It may be on its way still: what is written again meanwhile would be deleted late."""
    store = over(s3)
    put(store)
    s3.plan = always(Fault.RESET_AFTER, "DELETE")
    with pytest.raises(StoreAway):
        store.delete(DIGEST)
    s3.plan = lambda *_: None
    store.delete(DIGEST)
    with store.writer() as writer, pytest.raises(StoreAway, match="late deletion"):
        writer.missing([DIGEST])
    with pytest.raises(StoreAway, match="late deletion"):
        put(store)


def test_when_no_late_deletion_can_come_any_more_the_key_is_free(s3: FaultyS3) -> None:
    store = over(s3, late_s=0.0)
    put(store)
    s3.plan = first(Fault.RESET, "DELETE")
    with pytest.raises(StoreAway):
        store.delete(DIGEST)
    store.delete(DIGEST)
    assert not store.has(DIGEST)
    put(store)
    assert store.get(DIGEST) == CHUNK


def many(count: int) -> list[Digest]:
    return [codec.digest_of(b"%d" % number) for number in range(count)]


def filled(s3: FaultyS3, digests: list[Digest]) -> None:
    for digest in digests:
        s3.put(f"store/c/{digest.hex()[:2]}/{digest.hex()}", b"x")


def test_of_very_many_a_listing_says_what_is_missing(s3: FaultyS3) -> None:
    asked = many(1100)
    filled(s3, asked[:5])
    assert over(s3).missing(asked) == set(asked[5:])
    assert s3.asked["HEAD"] == 5


def test_in_a_full_store_each_is_looked_at(s3: FaultyS3) -> None:
    s3.listed_at_once = 1000
    asked, others = many(1100), many(6000)[1100:]
    filled(s3, [*asked[:5], *others])
    assert over(s3).missing(asked) == set(asked[5:])
    assert s3.asked["HEAD"] == len(asked)


@pytest.mark.parametrize("fault", [Fault.UNDEAD, Fault.UNBORN])
def test_a_listing_that_is_behind_makes_nobody_rely_on_what_is_gone(
    s3: FaultyS3, fault: Fault
) -> None:
    asked = many(1100)
    filled(s3, asked[:20])
    store = over(s3)
    for digest in asked[:5]:
        store.delete(digest)
    s3.plan = always(fault, "LIST")
    missing = store.missing(asked)
    assert missing >= {*asked[:5], *asked[20:]}
    for digest in asked[:5]:
        assert not store.has(digest)
        store.delete(digest)  # as a collector does, who was shown it
    with pytest.raises(ChunkLost):
        store.stored_bytes(asked[0])


def persisted(act: Callable[[], T]) -> T:
    """As the engine does it: a step that failed is tried again."""
    for _ in range(20):
        with suppress(StoreAway):
            return act()
    return act()


def storm(seed: int) -> Plan:
    """The same for each request, in whatever order threads make them."""

    def plan(*request: object) -> Fault | None:
        chance = random.Random(f"{seed} {request}")
        return chance.choice((*LOUD, *LYING, Fault.SHORT)) if chance.random() < 0.2 else None

    return plan


@pytest.mark.parametrize("seed", range(4))
def test_a_disk_goes_in_and_out_through_a_storm(s3: FaultyS3, tmp_path: Path, seed: int) -> None:
    """A fifth of all requests fails, anyhow; what is told to be done is done."""
    blocks = {index: a_block(f"{seed} {index}") for index in (0, 1, 5, 6, 7, 60, 90, 127)}
    disk = a_disk(tmp_path / "disk", blocks, 64 * MIB)

    s3.plan = storm(seed)
    store = over(s3)
    root = persisted(lambda: ingest_file(store, disk))
    persisted(lambda: restore(store, root, tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == disk.read_bytes()
    assert sum(s3.met.values()) > 0
    s3.plan = lambda *_: None
    assert verify(over(s3), [root]).intact
    assert not [key for key in s3.objects if "/q/" in key], "nothing good went into quarantine"
