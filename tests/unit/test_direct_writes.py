"""The service ebs: snapshots begun, written block by block, completed or given up."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from openami.actions.direct import writes
from openami.blockstore import codec
from openami.blockstore.local_dir import LocalDirChunkStore
from openami.blockstore.memory import MemoryChunkStore, MemoryWriter
from openami.blockstore.store import Kind, StoreAway, StoreFull
from openami.catalog import ingests
from openami.catalog.schema import direct_blocks
from openami.domain.block import Digest
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, Region
from openami.jobs.room import SPARE_BYTES, Room
from openami.jobs.turns import Turns
from openami.services import Services
from openami.settings import Settings
from openami.workflows import collect, complete_direct_snapshot, registry
from support.asking import ask, put_accounts, refused
from support.builders import ALICE, BOB, HERE
from support.desk_clients import desk_client
from support.direct import (
    ask_ebs,
    begun,
    blocks_read,
    complete,
    data,
    putting,
    sha256,
    text,
    write,
    written,
)
from support.fakes import StoppedClock, services
from support.front_desk import front_desk

WRONG = ("ValidationException", "INVALID_PARAMETER_VALUE")
THROTTLED = ("RequestThrottledException", "DEPENDENCY_REQUEST_THROTTLED")
CLOSED = ("ValidationException", "INVALID_SNAPSHOT_ID")


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def told(svc: Services, snapshot_id: str) -> dict[str, Any]:
    return dict(ask(svc, "DescribeSnapshots", SnapshotIds=[snapshot_id])["Snapshots"][0])


def reason(svc: Services, operation: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(EC2Error) as caught:
        ask_ebs(svc, operation, **request)
    return caught.value.code, str(caught.value.details.get("Reason", ""))


def pass_time(svc: Services, by: timedelta) -> None:
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(by)
    registry.sweep(svc)


def rows_left(svc: Services) -> int:
    with svc.catalog.read() as tx:
        return int(tx.scalar(select(func.count()).select_from(direct_blocks)) or 0)


def leases(svc: Services) -> list[str]:
    with svc.catalog.read() as tx:
        return ingests.all_active(tx)


def test_what_was_written_in_any_order_is_the_snapshot(svc: Services) -> None:
    tags = [{"Key": "a", "Value": "b"}]
    answer = ask_ebs(svc, "StartSnapshot", VolumeSize=8, Description="by hand", Tags=tags)
    snapshot_id = answer["SnapshotId"]
    assert (answer["Status"], answer["VolumeSize"], answer["BlockSize"]) == ("pending", 8, 524288)
    assert (answer["Tags"], answer["Description"]) == (tags, "by hand")
    write(svc, snapshot_id, {16383: "z", 0: "a", 700: "x"})
    write(svc, snapshot_id, {700: "m"})
    assert told(svc, snapshot_id)["State"] == "pending"
    assert complete(svc, snapshot_id, 3) == "completed"
    assert blocks_read(svc, snapshot_id) == {0: "a", 700: "m", 16383: "z"}
    found = told(svc, snapshot_id)
    assert (found["State"], found["VolumeSize"], found["Tags"]) == ("completed", 8, tags)
    assert found["VolumeId"] == "vol-ffffffff"
    registry.sweep(svc)
    assert (leases(svc), rows_left(svc)) == ([], 0)


def test_what_is_not_written_is_as_in_the_parent(svc: Services) -> None:
    parent = written(svc, {0: "a", 1: "b", 2: "c"})
    child = begun(svc, ParentSnapshotId=parent, VolumeSize=2)
    ask(svc, "DeleteSnapshot", SnapshotId=parent)
    write(svc, child, {1: "B", 2: "\0", 4095: "z"})
    assert complete(svc, child, 3) == "completed"
    assert blocks_read(svc, child) == {0: "a", 1: "B", 4095: "z"}


def test_a_child_is_of_its_parents_lineage(svc: Services) -> None:
    parent = written(svc, {0: "a"})
    child = written(svc, {3: "b"}, ParentSnapshotId=parent)
    pair = {"FirstSnapshotId": parent, "SecondSnapshotId": child}
    found = ask_ebs(svc, "ListChangedBlocks", **pair)["ChangedBlocks"]
    assert [each["BlockIndex"] for each in found] == [3]


def test_a_disk_of_many_blocks_is_put_together_part_by_part(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete_direct_snapshot, "BLOCKS_AT_ONCE", 2)
    signs = dict(zip((5, 0, 700, 2000, 300), "abcde", strict=True))
    assert blocks_read(svc, written(svc, signs)) == dict(sorted(signs.items()))


def test_the_checksum_of_all_blocks_is_checked(svc: Services) -> None:
    snapshot_id = begun(svc)
    write(svc, snapshot_id, {9: "b", 2: "a"})
    linear = sha256(sha256(data("a")) + sha256(data("b")))
    how = {"ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR"}
    asked = {"SnapshotId": snapshot_id, "ChangedBlocksCount": 2}
    wrong = text(sha256(b"other"))
    assert reason(svc, "CompleteSnapshot", **asked, Checksum=wrong, **how) == WRONG
    assert reason(svc, "CompleteSnapshot", **asked, **how) == WRONG
    asked["ChangedBlocksCount"] = 3
    assert reason(svc, "CompleteSnapshot", **asked, Checksum=text(linear), **how) == WRONG
    assert complete(svc, snapshot_id, 2, Checksum=text(linear), **how) == "completed"


def test_a_checksum_is_computed_for_one_request_of_an_account_at_a_time(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "CHECKSUMS_AT_ONCE", 1)
    snapshot_id = begun(svc)
    write(svc, snapshot_id, {9: "b", 2: "a", 7: "c"})
    linear = sha256(b"".join(sha256(data(sign)) for sign in "acb"))
    asked = {"SnapshotId": snapshot_id, "ChangedBlocksCount": 3, "Checksum": text(linear)}
    bobs = {"account": BOB, "Checksum": text(sha256(b""))}
    with ThreadPoolExecutor(1) as other, svc.locks(f"checksums of {ALICE}"):
        assert other.submit(reason, svc, "CompleteSnapshot", **asked).result() == THROTTLED
        completed = other.submit(complete, svc, begun(svc, account=BOB), 0, **bobs)
        assert completed.result() == "completed"
    assert complete(svc, snapshot_id, 3, Checksum=text(linear)) == "completed"


def test_a_checksum_takes_nobody_s_turn_at_the_stores(svc: Services) -> None:
    snapshot_id = begun(svc)
    write(svc, snapshot_id, {0: "a"})
    linear = text(sha256(sha256(data("a"))))
    busy = replace(svc, direct_turns=Turns(at_once=1, wait_s=0.0))
    with busy.direct_turns.one():
        assert complete(busy, snapshot_id, 1, Checksum=linear) == "completed"


def test_completing_again_tells_the_same_and_writing_is_over(svc: Services) -> None:
    snapshot_id = written(svc, {1: "a"})
    assert complete(svc, snapshot_id, 1) == "completed"
    asked = {"SnapshotId": snapshot_id, "ChangedBlocksCount": 2}
    assert reason(svc, "CompleteSnapshot", **asked) == WRONG
    assert reason(svc, "PutSnapshotBlock", **putting(snapshot_id, 1, "b")) == CLOSED


@pytest.mark.parametrize(
    ("but", "expected"),
    [
        ({"DataLength": 512}, WRONG),
        ({"BlockData": b"short"}, WRONG),
        ({"Checksum": text(sha256(b"other"))}, WRONG),
        ({"Checksum": "A"}, WRONG),
        ({"BlockIndex": 2048}, ("ValidationException", "INVALID_BLOCK")),
    ],
)
def test_a_wrong_block_is_refused_and_not_kept(
    svc: Services, but: dict[str, Any], expected: tuple[str, str]
) -> None:
    snapshot_id = begun(svc)
    assert reason(svc, "PutSnapshotBlock", **(putting(snapshot_id, 0, "a") | but)) == expected
    assert complete(svc, snapshot_id, 0) == "completed"
    assert blocks_read(svc, snapshot_id) == {}


def test_the_same_client_token_is_one_snapshot(svc: Services) -> None:
    for token in ("token", "long" * 60):
        first = begun(svc, ClientToken=token)
        assert begun(svc, ClientToken=token) == first
        with refused("IdempotentParameterMismatch"):
            begun(svc, ClientToken=token, VolumeSize=2)


def test_the_client_token_of_a_deleted_snapshot_makes_no_other(svc: Services) -> None:
    ask(svc, "DeleteSnapshot", SnapshotId=begun(svc, ClientToken="token"))
    for _ in range(2):
        with refused("ConflictException"):
            begun(svc, ClientToken="token")
    assert leases(svc) == []


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"VolumeSize": 65537}, ("ValidationException", "INVALID_VOLUME_SIZE")),
        ({"Encrypted": True}, ("UnsupportedOperation", "")),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:111111111111:key/a"}, ("UnsupportedOperation", "")),
        (
            {"ParentSnapshotId": "snap-00000000000000009"},
            ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND"),
        ),
    ],
)
def test_a_snapshot_that_cannot_be_is_not_begun(
    svc: Services, request_: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert reason(svc, "StartSnapshot", **({"VolumeSize": 1} | request_)) == expected
    assert leases(svc) == []


def test_a_snapshot_is_not_smaller_than_its_parent_which_is_complete(svc: Services) -> None:
    parent = begun(svc, VolumeSize=2)
    asked = {"VolumeSize": 1, "ParentSnapshotId": parent}
    assert reason(svc, "StartSnapshot", **asked) == CLOSED
    complete(svc, parent, 0)
    small = ("ValidationException", "INVALID_VOLUME_SIZE")
    assert reason(svc, "StartSnapshot", **asked) == small


def test_nobody_else_writes_and_nothing_else_is_written_to(svc: Services) -> None:
    snapshot_id = begun(svc)
    theirs: dict[str, Any] = {"account": AccountId(BOB)}
    unknown = ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
    assert reason(svc, "PutSnapshotBlock", **putting(snapshot_id, 0, "a"), **theirs) == unknown
    put_accounts(svc, BOB)
    permission = {"Add": [{"UserId": BOB}]}
    ask(svc, "ModifySnapshotAttribute", SnapshotId=snapshot_id, CreateVolumePermission=permission)
    denied = ("AccessDeniedException", "UNAUTHORIZED_ACCOUNT")
    assert reason(svc, "PutSnapshotBlock", **putting(snapshot_id, 0, "a"), **theirs) == denied
    volume = ask(svc, "CreateVolume", AvailabilityZone=f"{HERE}a", Size=1)["VolumeId"]
    ordinary = ask(svc, "CreateSnapshot", VolumeId=volume)["SnapshotId"]
    assert reason(svc, "PutSnapshotBlock", **putting(ordinary, 0, "a")) == CLOSED


def test_one_that_nobody_writes_to_is_given_up(svc: Services) -> None:
    snapshot_id = begun(svc, Timeout=10)
    pass_time(svc, timedelta(minutes=9))
    write(svc, snapshot_id, {0: "a"})
    pass_time(svc, timedelta(minutes=9))
    assert told(svc, snapshot_id)["State"] == "pending"
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(minutes=1))  # the sweep has not come yet
    late = ("ValidationException", "WRITE_REQUEST_TIMEOUT")
    assert reason(svc, "PutSnapshotBlock", **putting(snapshot_id, 1, "a")) == late
    registry.sweep(svc)
    assert told(svc, snapshot_id)["State"] == "error"
    assert reason(svc, "PutSnapshotBlock", **putting(snapshot_id, 1, "a")) == CLOSED
    assert (leases(svc), rows_left(svc)) == ([], 0)


def test_the_time_in_which_no_server_was_there_is_not_that_of_its_writers(svc: Services) -> None:
    snapshot_id = begun(svc, Timeout=10)
    write(svc, snapshot_id, {0: "a"})
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(hours=100))
    svc = replace(svc, serving_since=svc.clock.now())
    pass_time(svc, timedelta(minutes=9))
    write(svc, snapshot_id, {1: "b"})
    pass_time(svc, timedelta(minutes=1))
    assert told(svc, snapshot_id)["State"] == "error"  # it is older than any may be


def test_none_is_written_for_ever(tmp_path: Path) -> None:
    svc = services(tmp_path)
    snapshot_id = begun(svc, Timeout=4320)
    for _ in range(2):
        pass_time(svc, timedelta(hours=30))
        write(svc, snapshot_id, {0: "a"})
    pass_time(svc, timedelta(hours=12))
    assert told(svc, snapshot_id)["State"] == "error"


def test_one_that_is_deleted_while_it_is_written_leaves_nothing(svc: Services) -> None:
    snapshot_id = begun(svc)
    write(svc, snapshot_id, {0: "a"})
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    unknown = ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
    assert reason(svc, "PutSnapshotBlock", **putting(snapshot_id, 1, "a")) == unknown
    registry.sweep(svc)
    assert (leases(svc), rows_left(svc)) == ([], 0)


def test_a_collection_takes_nothing_of_what_is_being_written_or_of_its_parent(
    svc: Services,
) -> None:
    parent = written(svc, {0: "p", 1: "q"})
    child = begun(svc, ParentSnapshotId=parent)
    write(svc, child, {1: "c"})
    ask(svc, "DeleteSnapshot", SnapshotId=parent)
    for _ in range(5):
        collect.advance(svc, HERE)
    assert collect.waits_for(svc, HERE) == []
    write(svc, child, {2: "d"})
    assert complete(svc, child, 2) == "completed"
    for _ in range(5):
        collect.advance(svc, HERE)
    assert blocks_read(svc, child) == {0: "p", 1: "c", 2: "d"}


def test_an_account_has_only_so_many_pending(tmp_path: Path) -> None:
    limited = Settings(state_dir=tmp_path, compute_driver="record", direct_snapshots_max=2)
    svc = services(tmp_path, settings=limited)
    first, _ = begun(svc), begun(svc)
    assert reason(svc, "StartSnapshot", VolumeSize=1)[0] == "ConcurrentLimitExceededException"
    complete(svc, first, 0)
    begun(svc)
    begun(svc, region=Region("us-west-2"))


def test_a_volume_is_made_of_what_was_written(svc: Services) -> None:
    snapshot_id = written(svc, {5: "v"})
    volume = ask(svc, "CreateVolume", AvailabilityZone=f"{HERE}a", SnapshotId=snapshot_id)
    copied = ask(svc, "CreateSnapshot", VolumeId=volume["VolumeId"])["SnapshotId"]
    assert blocks_read(svc, copied) == {5: "v"}


@pytest.mark.parametrize("service", ["ebs", "rbin"])
def test_only_a_block_may_come_with_a_body_that_is_not_signed(service: str) -> None:
    desk = front_desk()
    heard: list[Mapping[str, Any]] = []

    def answer(_svc: Any, _caller: Any, request: Mapping[str, Any]) -> dict[str, Any]:
        heard.append(request)
        return {}

    name = {"ebs": "PutSnapshotBlock", "rbin": "CreateRule"}[service]
    client = desk_client(desk, service, {service: {name: answer}})

    def unsigned(request: Any, **_: Any) -> None:
        request.context["payload_signing_enabled"] = False
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"

    client.meta.events.register("before-sign", unsigned)
    if service == "ebs":
        client.put_snapshot_block(**putting("snap-00000000000000001", 0, "a"))
        assert [each["BlockData"] for each in heard] == [data("a")]
    else:
        with pytest.raises(Exception, match="signature"):
            client.create_rule(
                ResourceType="EBS_SNAPSHOT",
                RetentionPeriod={"RetentionPeriodValue": 1, "RetentionPeriodUnit": "DAYS"},
            )
        assert heard == []
    desk.catalog.close()


def test_requests_that_find_too_many_at_the_stores_are_asked_to_come_again(svc: Services) -> None:
    snapshot_id = written(svc, {0: "a"})
    (block,) = ask_ebs(svc, "ListSnapshotBlocks", SnapshotId=snapshot_id)["Blocks"]
    reading = {"SnapshotId": snapshot_id, **block}
    pending = begun(svc)
    busy = replace(svc, direct_turns=Turns(at_once=1, wait_s=0.0))
    with busy.direct_turns.one():
        assert reason(busy, "GetSnapshotBlock", **reading) == THROTTLED
        assert reason(busy, "ListSnapshotBlocks", SnapshotId=snapshot_id) == THROTTLED
        assert reason(busy, "PutSnapshotBlock", **putting(pending, 0, "b")) == THROTTLED
    write(busy, pending, {0: "b"})
    assert complete(busy, pending, 1) == "completed"


class Troubled(MemoryChunkStore):
    """Takes nothing while there is trouble."""

    trouble: Exception | None = None

    def writer(self) -> MemoryWriter:
        if self.trouble is not None:
            raise self.trouble
        return super().writer()


@pytest.mark.parametrize("trouble", [StoreAway("nobody answers"), StoreFull("no room")])
def test_what_cannot_be_completed_now_is_completed_later(
    tmp_path: Path, trouble: Exception
) -> None:
    store = Troubled()
    svc = services(tmp_path, chunks=lambda: store)
    snapshot_id = begun(svc)
    write(svc, snapshot_id, {0: "a", 300: "b"})
    store.trouble = trouble
    assert complete(svc, snapshot_id, 2) == "pending"
    pass_time(svc, timedelta(hours=100))
    assert complete(svc, snapshot_id, 2) == "pending"
    store.trouble = None
    pass_time(svc, timedelta(minutes=1))
    assert told(svc, snapshot_id)["State"] == "completed"
    assert blocks_read(svc, snapshot_id) == {0: "a", 300: "b"}
    registry.sweep(svc)
    assert (leases(svc), rows_left(svc)) == ([], 0)


def test_one_that_can_never_be_completed_is_given_up(svc: Services) -> None:
    child = begun(svc, ParentSnapshotId=written(svc, {0: "a"}))
    write(svc, child, {1: "b"})
    for page in list(svc.stores[HERE].digests(Kind.PAGE)):
        svc.stores[HERE].delete(page, Kind.PAGE)
    assert complete(svc, child, 1) == "error"
    assert leases(svc) == []


def test_a_block_for_which_there_is_no_room_is_refused_before_the_disk_is_full(
    svc: Services, tmp_path: Path
) -> None:
    store = LocalDirChunkStore(tmp_path / "store")
    free = [SPARE_BYTES]
    local = replace(svc, stores={HERE: store}, room=Room(free=lambda _: free[0]))
    snapshot_id = begun(svc)
    write(local, snapshot_id, {0: "a"})
    free[0] -= 1
    full = ("ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED")
    assert reason(local, "PutSnapshotBlock", **putting(snapshot_id, 1, "b")) == full
    assert rows_left(svc) == 1
    write(local, snapshot_id, {2: "a", 3: "\0"})  # these need none


class Quarantining(LocalDirChunkStore):
    """A reader finds that what is there is corrupt, when a writer has found it."""

    def missing(self, digests: Iterable[Digest], kind: Kind = Kind.CHUNK) -> set[Digest]:
        asked = list(digests)
        missing = super().missing(asked, kind)
        for each in asked:
            self.quarantine(each, kind)
        return missing


def test_a_block_that_was_found_and_is_gone_before_its_row_is_there_is_stored_again(
    svc: Services, tmp_path: Path
) -> None:
    store = Quarantining(tmp_path / "store")
    local = replace(svc, stores={HERE: store}, room=Room(free=lambda _: SPARE_BYTES))
    snapshot_id = begun(svc)
    write(local, snapshot_id, {0: "a"})
    write(local, snapshot_id, {1: "a"})
    assert store.get(codec.digest_of(data("a"))) == data("a")
    assert rows_left(svc) == 2


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (StoreAway("nobody answers"), THROTTLED),
        (
            StoreFull("no room"),
            ("ServiceQuotaExceededException", "DEPENDENCY_SERVICE_QUOTA_EXCEEDED"),
        ),
    ],
)
def test_a_block_that_the_store_does_not_take_is_not_written(
    svc: Services, trouble: Exception, expected: tuple[str, str]
) -> None:
    snapshot_id = begun(svc)
    store = Troubled()
    store.trouble = trouble
    troubled = replace(svc, stores={HERE: store})
    assert reason(troubled, "PutSnapshotBlock", **putting(snapshot_id, 0, "b")) == expected
    assert rows_left(svc) == 0
