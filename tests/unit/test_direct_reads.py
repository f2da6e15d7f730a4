"""The service ebs: which blocks a snapshot has, which have changed, and what is in them."""

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.actions.direct import reads
from openami.blockstore import codec
from openami.blockstore.guarded import GuardedStore
from openami.blockstore.ingest import ingest_blocks
from openami.blockstore.memory import MemoryChunkStore
from openami.blockstore.store import Kind
from openami.catalog.storage import losses
from openami.domain.block import BLOCKS_PER_GIB, Digest
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, SnapshotId
from openami.domain.manifest import Root
from openami.domain.snapshot import NO_VOLUME, Snapshot, SnapshotState, StorageTier
from openami.services import Services
from openami.settings import Settings
from openami.workflows import collect
from support.asking import ask, put, refused
from support.builders import BOB, CAROL, HERE, SNAPSHOT, THERE, a_snapshot
from support.desk_clients import desk_client
from support.direct import ask_ebs, blocks_read, read_block, tokens
from support.fakes import StoppedClock, services
from support.front_desk import front_desk

OTHER = SnapshotId("snap-00000000000000002")
TWO = {"FirstSnapshotId": SNAPSHOT, "SecondSnapshotId": OTHER}


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def stored(svc: Services, signs: dict[int, str], gib: int = 1) -> str:
    blocks = ((index, sign.encode() * (512 << 10)) for index, sign in signs.items())
    empty = Root.empty(gib * BLOCKS_PER_GIB)
    return ingest_blocks(svc.stores[HERE], empty, blocks, threads=1).to_text()


def given(svc: Services, signs: dict[int, str], **but: Any) -> Snapshot:
    gib = but.get("volume_size_gib", 1)
    snapshot = a_snapshot(**({"root": stored(svc, signs, gib)} | but))
    put(svc, snapshot)
    return snapshot


def reason(svc: Services, operation: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(EC2Error) as refused:
        ask_ebs(svc, operation, **request)
    return refused.value.code, str(refused.value.details["Reason"])


def changed(svc: Services, **more: Any) -> list[tuple[int, str, str]]:
    """Index, what was there and what is there: "-" without a token."""
    found = ask_ebs(svc, "ListChangedBlocks", **(TWO | more))["ChangedBlocks"]

    def sign(snapshot_id: SnapshotId, index: int, token: str | None) -> str:
        return "-" if token is None else read_block(svc, snapshot_id, index, token)

    return [
        (
            index := each["BlockIndex"],
            sign(SNAPSHOT, index, each.get("FirstBlockToken")),
            sign(OTHER, index, each["SecondBlockToken"]),
        )
        for each in found
    ]


def test_a_snapshot_is_read_block_by_block(svc: Services) -> None:
    given(svc, {0: "a", 300: "b", 2047: "c"})
    assert blocks_read(svc, SNAPSHOT) == {0: "a", 300: "b", 2047: "c"}
    told = ask_ebs(svc, "ListSnapshotBlocks", SnapshotId=SNAPSHOT)
    assert (told["VolumeSize"], told["BlockSize"]) == (1, 512 << 10)
    assert told["ExpiryTime"] == svc.clock.now() + timedelta(days=7)
    assert "NextToken" not in told


def test_a_block_comes_with_its_length_and_checksum(svc: Services) -> None:
    given(svc, {5: "x"})
    ((index, token),) = tokens(svc, SNAPSHOT)
    block = ask_ebs(
        svc, "GetSnapshotBlock", SnapshotId=SNAPSHOT, BlockIndex=index, BlockToken=token
    )
    digest = hashlib.sha256(b"x" * (512 << 10)).digest()
    assert (block["DataLength"], block["ChecksumAlgorithm"]) == (512 << 10, "SHA256")
    assert block["Checksum"] == base64.b64encode(digest).decode()


def test_botos_own_client_reads_a_block_as_a_stream() -> None:
    desk = front_desk()

    def answer(*_: Any) -> dict[str, Any]:
        return {"BlockData": b"bytes \xff", "DataLength": 7, "Checksum": "AAAA"}

    client = desk_client(desk, "ebs", {"ebs": {"GetSnapshotBlock": answer}})
    told = client.get_snapshot_block(SnapshotId=SNAPSHOT, BlockIndex=3, BlockToken="ab+/cd==")
    assert (told["BlockData"].read(), told["DataLength"]) == (b"bytes \xff", 7)
    desk.catalog.close()


def test_a_listing_has_pages_and_begins_where_it_is_told_to(svc: Services) -> None:
    given(svc, dict.fromkeys(range(0, 500, 2), "a"))
    first = ask_ebs(svc, "ListSnapshotBlocks", SnapshotId=SNAPSHOT, MaxResults=100)
    assert [each["BlockIndex"] for each in first["Blocks"]] == list(range(0, 200, 2))
    listed = [index for index, _ in tokens(svc, SNAPSHOT, MaxResults=100)]
    assert listed == list(range(0, 500, 2))
    # With a token, the index that is given besides does not count.
    late = {"StartingBlockIndex": 301, "MaxResults": 100}
    assert [index for index, _ in tokens(svc, SNAPSHOT, **late)] == list(range(302, 500, 2))
    beyond = ask_ebs(svc, "ListSnapshotBlocks", SnapshotId=SNAPSHOT, StartingBlockIndex=1 << 30)
    assert beyond["Blocks"] == []


def test_what_has_changed_is_listed_with_both_sides(svc: Services) -> None:
    given(svc, {0: "a", 1: "b", 2: "c"})
    given(svc, {0: "a", 1: "B", 3: "d"}, id=OTHER)
    assert changed(svc) == [(1, "b", "B"), (2, "c", "\0"), (3, "-", "d")]
    assert [index for index, *_ in changed(svc, StartingBlockIndex=2)] == [2, 3]


def test_changes_have_pages(svc: Services) -> None:
    given(svc, {})
    given(svc, dict.fromkeys(range(250), "a"), id=OTHER)
    listed: list[int] = []
    asked: dict[str, Any] = {"MaxResults": 100}
    while True:
        page = ask_ebs(svc, "ListChangedBlocks", **TWO, **asked)
        listed += [each["BlockIndex"] for each in page["ChangedBlocks"]]
        if "NextToken" not in page:
            break
        asked["NextToken"] = page["NextToken"]
    assert listed == list(range(250))


def test_of_a_volume_that_has_grown_the_new_end_is_a_change(svc: Services) -> None:
    given(svc, {7: "a"})
    given(svc, {7: "a", 3000: "b"}, id=OTHER, volume_size_gib=2)
    assert changed(svc) == [(3000, "-", "b")]
    swapped = {"FirstSnapshotId": OTHER, "SecondSnapshotId": SNAPSHOT}
    assert ask_ebs(svc, "ListChangedBlocks", **swapped)["ChangedBlocks"] == []


def test_a_page_token_is_of_its_listing_alone(svc: Services) -> None:
    given(svc, dict.fromkeys(range(101), "a"))
    given(svc, {}, id=OTHER)
    page = ask_ebs(svc, "ListSnapshotBlocks", SnapshotId=SNAPSHOT, MaxResults=100)
    invalid = ("ValidationException", "INVALID_PAGE_TOKEN")
    token = page["NextToken"]
    assert reason(svc, "ListSnapshotBlocks", SnapshotId=OTHER, NextToken=token) == invalid
    assert reason(svc, "ListChangedBlocks", **TWO, NextToken=token) == invalid
    for nonsense in ("cake", "AAAA", "MTo="):
        assert reason(svc, "ListSnapshotBlocks", SnapshotId=SNAPSHOT, NextToken=nonsense) == invalid


def test_a_block_token_is_of_one_block_for_seven_days(svc: Services) -> None:
    given(svc, {1: "a", 2: "b"})
    given(svc, {1: "a"}, id=OTHER)
    found = dict(tokens(svc, SNAPSHOT))
    invalid = ("ValidationException", "INVALID_BLOCK_TOKEN")

    def asked(snapshot_id: str, index: int, token: str) -> dict[str, Any]:
        return {"SnapshotId": snapshot_id, "BlockIndex": index, "BlockToken": token}

    assert reason(svc, "GetSnapshotBlock", **asked(SNAPSHOT, 2, found[1])) == invalid
    assert reason(svc, "GetSnapshotBlock", **asked(OTHER, 1, found[1])) == invalid
    for nonsense in ("AAAA", "====", base64.b64encode(bytes(40)).decode()):
        assert reason(svc, "GetSnapshotBlock", **asked(SNAPSHOT, 1, nonsense)) == invalid
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(days=7) - timedelta(seconds=1))
    assert read_block(svc, SNAPSHOT, 1, found[1]) == "a"
    svc.clock.advance(timedelta(seconds=1))
    assert reason(svc, "GetSnapshotBlock", **asked(SNAPSHOT, 1, found[1])) == invalid


def test_tokens_are_good_after_a_restart(svc: Services, tmp_path: Path) -> None:
    """All that a token is held against is in the catalog."""
    given(svc, {1: "a"})
    ((index, token),) = tokens(svc, SNAPSHOT)
    (tmp_path / "next").mkdir()
    restarted = services(tmp_path / "next")
    again = replace(restarted, catalog=svc.catalog, stores=svc.stores, volumes=svc.volumes)
    assert read_block(again, SNAPSHOT, index, token) == "a"


@pytest.mark.parametrize(
    ("but", "reader", "expected"),
    [
        ({}, BOB, ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")),
        ({"shared_with": frozenset({CAROL})}, BOB, ("ResourceNotFoundException",)),
        ({"public": True}, BOB, ("AccessDeniedException", "UNAUTHORIZED_ACCOUNT")),
        ({"state": SnapshotState.PENDING, "root": None}, None, ("ValidationException",)),
        ({"state": SnapshotState.ERROR, "root": None}, None, ("ValidationException",)),
        ({"storage_tier": StorageTier.ARCHIVE}, None, ("ValidationException",)),
        ({"state": SnapshotState.RECOVERABLE}, None, ("ResourceNotFoundException",)),
        ({"region": THERE}, None, ("ResourceNotFoundException",)),
    ],
)
def test_who_may_not_read_a_snapshot_is_told_why(
    svc: Services, but: dict[str, Any], reader: AccountId | None, expected: tuple[str, ...]
) -> None:
    given(svc, {1: "a"}, **but)
    given(svc, {1: "b"}, id=OTHER, shared_with=frozenset({BOB}))
    who: dict[str, Any] = {} if reader is None else {"account": reader}
    block = {"BlockIndex": 1, "BlockToken": "AAAA"}
    for operation, request in (
        ("ListSnapshotBlocks", {"SnapshotId": SNAPSHOT}),
        ("ListChangedBlocks", TWO),
        ("ListChangedBlocks", {"FirstSnapshotId": OTHER, "SecondSnapshotId": SNAPSHOT}),
        ("GetSnapshotBlock", {"SnapshotId": SNAPSHOT, **block}),
    ):
        assert reason(svc, operation, **request, **who)[: len(expected)] == expected


def test_whom_a_snapshot_is_shared_with_reads_it(svc: Services) -> None:
    given(svc, {1: "a"}, shared_with=frozenset({BOB}))
    assert blocks_read(svc, SNAPSHOT, account=BOB) == {1: "a"}


def test_a_snapshot_without_a_first_to_compare_with_is_refused(svc: Services) -> None:
    given(svc, {})
    asked = {"SecondSnapshotId": SNAPSHOT}
    expected = ("ValidationException", "INVALID_PARAMETER_VALUE")
    assert reason(svc, "ListChangedBlocks", **asked) == expected


def test_unrelated_snapshots_are_compared_only_where_the_settings_say_so(tmp_path: Path) -> None:
    unrelated = ("ValidationException", "UNRELATED_SNAPSHOTS")
    anyhow = Settings(state_dir=tmp_path, compute_driver="record", changed_blocks_of="any")
    for svc, one_size in ((services(tmp_path), False), (services(tmp_path, settings=anyhow), True)):
        given(svc, {1: "a"}, volume_id=NO_VOLUME)
        given(svc, {1: "b"}, id=OTHER, volume_id=NO_VOLUME)
        larger = SnapshotId("snap-00000000000000003")
        given(svc, {1: "c"}, id=larger, volume_id=NO_VOLUME, volume_size_gib=2)
        if one_size:
            assert changed(svc) == [(1, "a", "b")]
        else:
            assert reason(svc, "ListChangedBlocks", **TWO) == unrelated
        asked = TWO | {"SecondSnapshotId": larger}
        assert reason(svc, "ListChangedBlocks", **asked) == unrelated


def test_a_snapshot_of_a_volume_made_of_a_snapshot_is_of_its_lineage(svc: Services) -> None:
    given(svc, {1: "a"}, volume_id=NO_VOLUME)
    volume = ask(svc, "CreateVolume", AvailabilityZone=f"{HERE}a", SnapshotId=SNAPSHOT)
    made = ask(svc, "CreateSnapshot", VolumeId=volume["VolumeId"])["SnapshotId"]
    pair = {"FirstSnapshotId": SNAPSHOT, "SecondSnapshotId": made}
    assert ask_ebs(svc, "ListChangedBlocks", **pair)["ChangedBlocks"] == []
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    last = ask(svc, "CreateSnapshot", VolumeId=volume["VolumeId"])["SnapshotId"]
    pair = {"FirstSnapshotId": made, "SecondSnapshotId": last}
    assert ask_ebs(svc, "ListChangedBlocks", **pair)["ChangedBlocks"] == []


def losses_known(svc: Services) -> int:
    with svc.catalog.read() as tx:
        return len(losses.known(tx, HERE))


class Deleted(MemoryChunkStore):
    """The snapshot is deleted when its block is to be read, which is not there."""

    def __init__(self, svc: Services) -> None:
        super().__init__()
        self._svc = svc

    def get(self, digest: Digest, kind: Kind = Kind.CHUNK) -> bytes:
        ask(self._svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
        return super().get(digest, kind)

    def read(self) -> None:
        svc = self._svc
        ((index, token),) = tokens(svc, SNAPSHOT)
        stores = {HERE: GuardedStore(self, collect.Ledger(svc.catalog, HERE))}
        with refused("ResourceNotFoundException"):
            read_block(replace(svc, stores=stores), SNAPSHOT, index, token)


def test_what_is_deleted_while_it_is_read_is_no_loss_to_anybody(svc: Services) -> None:
    given(svc, {1: "a"})
    Deleted(svc).read()
    assert losses_known(svc) == 0


def test_what_was_lost_before_stays_known_when_a_snapshot_that_has_it_is_deleted(
    svc: Services,
) -> None:
    given(svc, {1: "a"})
    (digest,) = svc.stores[HERE].digests()
    with svc.catalog.begin() as tx:
        losses.note(tx, HERE, [(Kind.CHUNK, digest)])
    Deleted(svc).read()
    assert losses_known(svc) == 1


def test_what_is_corrupt_is_a_loss_although_the_snapshot_is_deleted(svc: Services) -> None:
    given(svc, {1: "a"})
    (digest,) = svc.stores[HERE].digests()
    store = Deleted(svc)
    with store.writer() as writer:
        writer.put(digest, codec.encode(b"other bytes"))
    store.read()
    assert losses_known(svc) == 1


def test_a_page_of_far_apart_blocks_reads_no_more_of_the_store_than_others(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "LEAVES_MAX", 2)
    far = [0, 1, 256, 257, 600, 2000]
    given(svc, dict.fromkeys(far, "a"))
    page = ask_ebs(svc, "ListSnapshotBlocks", SnapshotId=SNAPSHOT)
    assert [each["BlockIndex"] for each in page["Blocks"]] == far[:4]
    assert [index for index, _ in tokens(svc, SNAPSHOT)] == far


def test_what_is_lost_is_our_fault_unless_the_snapshot_is_gone(svc: Services) -> None:
    given(svc, {1: "a"})
    ((index, token),) = tokens(svc, SNAPSHOT)
    for digest in list(svc.stores[HERE].digests()):
        svc.stores[HERE].delete(digest)
    with refused("InternalServerException"):
        read_block(svc, SNAPSHOT, index, token)
    assert losses_known(svc) == 1
