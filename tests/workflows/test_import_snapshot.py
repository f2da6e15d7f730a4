"""ImportSnapshot: objects become snapshots, and what stands in the way is told by name."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from openami.blockstore.store import StoreFull
from openami.catalog import ingests
from openami.diskimage.formats import DiskFormat
from openami.domain.errors import DryRunOperation
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.settings import Settings
from openami.workflows import host_files, import_disks, registry
from support.asking import ask, filtered, put_accounts, refused
from support.builders import ALICE, BOB, THERE
from support.crash import Made, assert_survives
from support.disk_contents import snapshot_blocks
from support.fakes import services
from support.imports import CONTENT, a_raw_disk, bring, converted, task, the_objects, upload
from support.objects import MemoryObjects
from support.power import in_buckets, on_its_disk


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    made = services(tmp_path / "state")
    put_accounts(made, ALICE, BOB)
    return made


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return a_raw_disk(tmp_path / "disk")


def nothing_is_left(svc: Services) -> None:
    directory = svc.settings.state_dir / "scratch"
    assert not directory.exists() or list(directory.iterdir()) == []
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


def test_an_object_becomes_a_snapshot(svc: Services, disk: Path) -> None:
    upload(svc, "dir/disk.raw", disk.read_bytes())
    told = ask(
        svc,
        "ImportSnapshot",
        Description="from outside",
        DiskContainer={
            "Format": "raw",
            "Description": "the first",
            "UserBucket": {"S3Bucket": "disks", "S3Key": "dir/disk.raw"},
        },
    )
    assert told["ImportTaskId"].startswith("import-snap-")
    assert told["Description"] == "from outside"
    assert (told["SnapshotTaskDetail"]["Status"], told["SnapshotTaskDetail"]["Progress"]) == (
        "active",
        "0",
    )
    done = task(svc, told["ImportTaskId"])
    assert (done["Status"], done["Progress"], done["Format"]) == ("completed", "100", "RAW")
    assert "StatusMessage" not in done
    assert done["DiskImageSize"] == float(disk.stat().st_size)
    assert done["UserBucket"] == {"S3Bucket": "disks", "S3Key": "dir/disk.raw"}
    assert snapshot_blocks(svc, done["SnapshotId"]) == CONTENT
    (snapshot,) = ask(svc, "DescribeSnapshots")["Snapshots"]
    assert (snapshot["State"], snapshot["Progress"], snapshot["VolumeSize"]) == (
        "completed",
        "100%",
        1,
    )
    assert (snapshot["Description"], snapshot["VolumeId"]) == ("the first", "vol-ffffffff")
    nothing_is_left(svc)


@pytest.mark.parametrize(
    ("told", "made", "options"),
    [
        ("QCOW2", "qcow2", ""),
        ("VMDK", "vmdk", "subformat=streamOptimized"),
        ("VHD", "vpc", ""),
        ("VHDX", "vhdx", ""),
    ],
)
def test_a_disk_of_each_format_is_known_by_its_content(
    svc: Services, disk: Path, told: str, made: str, options: str
) -> None:
    upload(svc, "disk", converted(disk, made, options))
    done = task(svc, bring(svc, "disk"))
    assert (done["Status"], done["Format"]) == ("completed", told), done
    assert snapshot_blocks(svc, done["SnapshotId"]) == CONTENT
    nothing_is_left(svc)


def test_an_s3_url_names_the_object_too(svc: Services, disk: Path) -> None:
    upload(svc, "disk.raw", disk.read_bytes())
    container = {"Url": "s3://disks/disk.raw", "Format": "RAW"}
    task_id = ask(svc, "ImportSnapshot", DiskContainer=container)["ImportTaskId"]
    done = task(svc, task_id)
    assert (done["Status"], done["Url"]) == ("completed", "s3://disks/disk.raw")
    assert "UserBucket" not in done


@pytest.mark.parametrize(
    ("data", "told_format", "words"),
    [
        (b"", None, "the file has no bytes"),
        (b"x" * 1000, "RAW", "whole number of 512-byte sectors"),
        (b"x" * 1024, "VMDK", "not a vmdk disk"),
        (b"\x1f\x8b" + b"x" * 510, None, "unpack it first"),
        (b"QFI\xfb" + b"\0" * 1020, None, "qcow2"),
    ],
)
def test_what_is_no_disk_is_told_by_its_name(
    svc: Services, data: bytes, told_format: str | None, words: str
) -> None:
    upload(svc, "not-a.disk", data)
    container = {"Format": told_format} if told_format else {}
    failed = task(svc, bring(svc, "not-a.disk", disk=container))
    assert failed["Status"] == "deleted"
    message = failed["StatusMessage"]
    assert message.startswith("ClientError: Disk validation failed [s3://disks/not-a.disk: ")
    assert words in message
    assert "SnapshotId" not in failed
    assert ask(svc, "DescribeSnapshots")["Snapshots"] == []
    nothing_is_left(svc)


def test_an_object_that_is_not_there_fails_its_task(svc: Services) -> None:
    upload(svc, "another", b"x")
    failed = task(svc, bring(svc, "disk.raw"))
    assert failed["Status"] == "deleted"
    assert "s3://disks/disk.raw: there is no such object" in failed["StatusMessage"]
    nothing_is_left(svc)


@pytest.mark.parametrize("key", ["a//b", "/a", "a/", "../a", "a/./b", "a\nb", "k" * 1025])
def test_a_key_that_the_store_reads_as_another_is_refused(svc: Services, key: str) -> None:
    upload(svc, "disk.raw", b"x")
    with refused("InvalidParameterValue", "object key"):
        bring(svc, key)


def test_only_a_bucket_of_ones_own_is_read(svc: Services, disk: Path) -> None:
    upload(svc, "disk.raw", disk.read_bytes(), owner=BOB)
    with refused("InvalidParameter", "Bucket: disks"):
        bring(svc, "disk.raw")
    with refused("InvalidParameter", "Bucket: nowhere"):
        ask(svc, "ImportSnapshot", DiskContainer={"Url": "s3://nowhere/disk.raw"})
    with refused("InvalidParameterValue", "it must be in us-west-2"):
        bring(svc, "disk.raw", account=BOB, region=THERE)
    assert ask(svc, "DescribeImportSnapshotTasks")["ImportSnapshotTasks"] == []


def test_a_token_makes_one_task_of_two_requests(svc: Services, disk: Path) -> None:
    upload(svc, "disk.raw", disk.read_bytes())
    first = bring(svc, "disk.raw", ClientToken="once")
    assert bring(svc, "disk.raw", ClientToken="once") == first
    with refused("IdempotentParameterMismatch"):
        bring(svc, "another.raw", ClientToken="once")
    assert len(ask(svc, "DescribeSnapshots")["Snapshots"]) == 1


def tags_of(kind: str, **pairs: str) -> list[dict[str, Any]]:
    return [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": pairs[key]} for key in pairs]},
    ]


def test_tasks_are_tagged_filtered_and_listed_in_pages(svc: Services, disk: Path) -> None:
    upload(svc, "disk.raw", disk.read_bytes())
    tagged = bring(
        svc, "disk.raw", TagSpecifications=tags_of("import-snapshot-task", of="the first")
    )
    failed = bring(svc, "never.raw")

    def listed(**asked: Any) -> list[str]:
        found = ask(svc, "DescribeImportSnapshotTasks", **asked)["ImportSnapshotTasks"]
        return [each["ImportTaskId"] for each in found]

    assert listed() == [tagged, failed]
    assert listed(Filters=filtered("tag:of", "the *")) == [tagged]
    assert listed(Filters=filtered("task-state", "deleted")) == [failed]
    page = ask(svc, "DescribeImportSnapshotTasks", MaxResults=1)
    assert [each["Tags"] for each in page["ImportSnapshotTasks"]] == [
        [{"Key": "of", "Value": "the first"}]
    ]
    assert listed(MaxResults=1, NextToken=page["NextToken"]) == [failed]
    ask(svc, "CreateTags", Resources=[failed], Tags=[{"Key": "of", "Value": "the second"}])
    assert listed(Filters=filtered("tag:of", "the second")) == [failed]
    with refused("InvalidConversionTaskId"):
        ask(svc, "DescribeImportSnapshotTasks", account=BOB, ImportTaskIds=[tagged])
    with refused("InvalidConversionTaskId"):
        ask(svc, "DescribeImportSnapshotTasks", region=THERE, ImportTaskIds=[tagged])
    with refused("InvalidConversionTaskId.Malformed"):
        ask(svc, "DescribeImportImageTasks", ImportTaskIds=[tagged])


@dataclass
class Interrupted(MemoryObjects):
    """Calls `reading` before each read."""

    reading: Callable[[], None] = field(default=lambda: None)

    def read(self, bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        self.reading()
        return super().read(bucket, key, etag, start, length)


def interrupted(tmp_path: Path, settings: Settings | None = None) -> tuple[Services, Interrupted]:
    objects = Interrupted()
    made = services(
        tmp_path / "state",
        settings=settings,
        disturbed=lambda svc: replace(svc, objects=objects),
    )
    put_accounts(made, ALICE)
    return made, objects


def only_task(svc: Services) -> str:
    (found,) = ask(svc, "DescribeImportSnapshotTasks")["ImportSnapshotTasks"]
    return str(found["ImportTaskId"])


def test_a_task_is_cancelled_while_it_downloads_and_leaves_nothing(
    tmp_path: Path, disk: Path
) -> None:
    svc, objects = interrupted(tmp_path)
    upload(svc, "disk.raw", disk.read_bytes())
    answers: list[dict[str, Any]] = []

    def cancel() -> None:
        asked = {"ImportTaskId": only_task(svc), "CancelReason": "the wrong disk"}
        with pytest.raises(DryRunOperation):
            ask(replace(svc, catalog=svc.catalog.dry_run()), "CancelImportTask", **asked)
        assert task(svc, only_task(svc))["Status"] == "active"
        answers.append(ask(svc, "CancelImportTask", **asked))

    objects.reading = cancel
    cancelled = task(svc, bring(svc, "disk.raw"))
    assert answers == [
        {"ImportTaskId": only_task(svc), "PreviousState": "active", "State": "deleting"}
    ]
    assert (cancelled["Status"], cancelled["StatusMessage"]) == ("deleted", "the wrong disk")
    assert ask(svc, "DescribeSnapshots")["Snapshots"] == []
    nothing_is_left(svc)


def test_a_task_is_cancelled_while_its_blocks_are_stored(
    svc: Services, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(svc, "disk.raw", disk.read_bytes())
    ingest = import_disks.ingest_file

    def cancelled_within(*given: Any, progress: Callable[[int, int], None], **more: Any) -> Any:
        ask(svc, "CancelImportTask", ImportTaskId=only_task(svc))
        return ingest(*given, progress=progress, **more)

    monkeypatch.setattr(import_disks, "ingest_file", cancelled_within)
    cancelled = task(svc, bring(svc, "disk.raw"))
    assert cancelled["Status"] == "deleted"
    assert cancelled["StatusMessage"] == "User initiated task cancelation"
    nothing_is_left(svc)


def test_what_has_ended_cannot_be_cancelled(svc: Services, disk: Path) -> None:
    upload(svc, "disk.raw", disk.read_bytes())
    task_id = bring(svc, "disk.raw")
    with refused("IncorrectState", "completed"):
        ask(svc, "CancelImportTask", ImportTaskId=task_id)
    with refused("InvalidConversionTaskId"):
        ask(svc, "CancelImportTask", ImportTaskId=task_id, account=BOB)


def test_an_object_that_is_written_anew_while_it_is_read_fails_the_task(
    tmp_path: Path, disk: Path
) -> None:
    svc, objects = interrupted(tmp_path)
    upload(svc, "disk.raw", disk.read_bytes())
    objects.reading = lambda: upload(svc, "disk.raw", b"another")
    failed = task(svc, bring(svc, "disk.raw"))
    assert failed["Status"] == "deleted"
    assert "s3://disks/disk.raw: it changed while it was read" in failed["StatusMessage"]
    nothing_is_left(svc)


def away_now_and_then(tmp_path: Path, disk: Path, patience_s: float) -> Services:
    """Each part of the object is there at the third request for it."""
    settings = Settings(
        state_dir=tmp_path / "state", compute_driver="record", s3_patience_s=patience_s
    )
    svc, objects = interrupted(tmp_path, settings)
    upload(svc, "disk.raw", disk.read_bytes())
    asked = count(1)

    def away() -> None:
        objects.down = next(asked) % 3 != 0

    objects.reading = away
    return svc


def test_a_store_that_is_away_for_a_moment_is_asked_again(tmp_path: Path, disk: Path) -> None:
    svc = away_now_and_then(tmp_path, disk, patience_s=60)
    done = task(svc, bring(svc, "disk.raw"))
    assert done["Status"] == "completed"
    assert snapshot_blocks(svc, done["SnapshotId"]) == CONTENT


def test_a_store_that_stays_away_is_told_and_nothing_is_left(tmp_path: Path, disk: Path) -> None:
    svc = away_now_and_then(tmp_path, disk, patience_s=0)
    assert task(svc, bring(svc, "disk.raw"))["StatusMessage"] == (
        "ServerError: The S3 store did not answer for 0 seconds while s3://disks/disk.raw was read."
        " Import it again when it answers."
    )
    nothing_is_left(svc)


def test_a_task_that_waits_for_the_store_can_be_cancelled(tmp_path: Path, disk: Path) -> None:
    svc = away_now_and_then(tmp_path, disk, patience_s=3600)
    objects = cast("Interrupted", svc.objects)

    def away() -> None:
        objects.down = True
        if not ask(svc, "DescribeImportSnapshotTasks", Filters=cancelled)["ImportSnapshotTasks"]:
            ask(svc, "CancelImportTask", ImportTaskId=only_task(svc))

    cancelled = filtered("task-state", "deleting")
    objects.reading = away
    assert task(svc, bring(svc, "disk.raw"))["Status"] == "deleted"
    nothing_is_left(svc)


def test_an_object_for_which_there_is_no_room_is_not_downloaded(
    svc: Services, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(svc, "disk.raw", disk.read_bytes())
    monkeypatch.setattr(svc.room, "_free", lambda _directory: (512 << 20) + (1 << 20))
    failed = task(svc, bring(svc, "disk.raw"))
    assert failed["StatusMessage"] == (
        "ServerError: There is no room on the server for s3://disks/disk.raw: 3 MiB are lacking."
        " Import it again when other tasks have ended, or ask the server's operator for room."
    )
    nothing_is_left(svc)


def test_a_full_store_fails_the_task_without_a_path_of_the_host(
    svc: Services, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(svc, "disk.raw", disk.read_bytes())

    def full(*_: object, **__: object) -> None:
        raise StoreFull("/var/lib/openami/chunks has no room left")

    monkeypatch.setattr(import_disks, "ingest_file", full)
    failed = task(svc, bring(svc, "disk.raw"))
    assert failed["StatusMessage"].startswith("ServerError: There is no room on the server")
    nothing_is_left(svc)


def test_an_account_has_so_many_imports_at_once(tmp_path: Path, disk: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", compute_driver="record", import_tasks_max=1)
    svc, objects = interrupted(tmp_path, settings)
    upload(svc, "disk.raw", disk.read_bytes())

    def another() -> None:
        with refused("ResourceLimitExceeded", "limit of 1 "):
            bring(svc, "disk.raw")

    objects.reading = another
    assert task(svc, bring(svc, "disk.raw"))["Status"] == "completed"


def with_files(tmp_path: Path) -> tuple[Services, Path]:
    directory = tmp_path / "imports"
    directory.mkdir()
    made = services(
        tmp_path / "state",
        settings=Settings(
            state_dir=tmp_path / "state",
            compute_driver="record",
            import_directory=str(directory),
        ),
    )
    put_accounts(made, ALICE)
    return made, directory


def test_a_file_of_the_operators_directory_is_read_where_it_lies(
    tmp_path: Path, disk: Path
) -> None:
    svc, directory = with_files(tmp_path)
    file = directory / "a disk.raw"
    file.write_bytes(disk.read_bytes())
    url = f"file://{directory}/a%20disk.raw"
    done = task(svc, ask(svc, "ImportSnapshot", DiskContainer={"Url": url})["ImportTaskId"])
    assert (done["Status"], done["Url"]) == ("completed", url)
    assert snapshot_blocks(svc, done["SnapshotId"]) == CONTENT
    assert file.exists()
    nothing_is_left(svc)


def test_no_file_outside_of_the_directory_is_read(tmp_path: Path, disk: Path) -> None:
    svc, directory = with_files(tmp_path)
    (directory / "link").symlink_to(disk)
    (directory / "round").symlink_to(directory / "round")
    (directory / "pipe").mkdir()
    for path in (
        str(disk),
        f"{directory}/link",
        f"{directory}/round",
        f"{directory}/pipe",
        f"{directory}/../disk/disk.raw",
        f"{directory}/%2e%2e/disk/disk.raw",
        f"{directory}/never",
        f"{directory}/nul%00",
        f"{directory}/{'x' * 5000}",
    ):
        with refused("InvalidParameterValue", "names no file in the directory"):
            ask(svc, "ImportSnapshot", DiskContainer={"Url": f"file://{path}"})


def test_what_takes_the_place_of_a_file_after_it_was_looked_at_is_not_read(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc, directory = with_files(tmp_path)
    inner, secret = directory / "inner", tmp_path / "secret"
    for each in (inner, secret):
        each.mkdir()
        (each / "disk.raw").write_bytes(disk.read_bytes())
    url = f"file://{inner}/disk.raw"
    found = host_files.served(svc.settings, url)
    inner.rename(directory / "moved")
    inner.symlink_to(secret)
    monkeypatch.setattr(host_files, "served", lambda _settings, _url: found)
    with (
        pytest.raises(host_files.NotServed, match="names no file"),
        host_files.opened(svc.settings, url),
    ):
        pass
    inner.unlink()
    (directory / "moved").rename(inner)
    with host_files.opened(svc.settings, url) as file:
        assert file.read() == disk.read_bytes()


def test_a_file_is_read_to_its_end_when_another_takes_its_place_meanwhile(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc, directory = with_files(tmp_path)
    file = directory / "disk.qcow2"
    file.write_bytes(converted(disk, "qcow2"))
    format_of = import_disks.formats.detect

    def replaced(opened: BinaryIO) -> DiskFormat:
        found = format_of(opened)
        (directory / "other").write_bytes(b"o" * 4096)
        (directory / "other").rename(file)
        return found

    monkeypatch.setattr(import_disks.formats, "detect", replaced)
    done = task(
        svc, ask(svc, "ImportSnapshot", DiskContainer={"Url": f"file://{file}"})["ImportTaskId"]
    )
    assert done["Status"] == "completed"
    assert snapshot_blocks(svc, done["SnapshotId"]) == CONTENT


def test_a_disk_beyond_the_largest_volume_is_refused_before_it_is_fetched(svc: Services) -> None:
    upload(svc, "disk.qcow2", a_qcow2_of((64 << 40) + 512) + bytes(20 << 20))
    fetched = list[int]()
    objects = the_objects(svc)
    read = objects.read

    def counted(bucket: str, key: str, etag: str, start: int, length: int) -> bytes:
        fetched.append(length)
        return read(bucket, key, etag, start, length)

    objects.read = counted  # type: ignore[method-assign]
    failed = task(svc, bring(svc, "disk.qcow2"))
    assert failed["StatusMessage"] == (
        "ClientError: Disk validation failed [s3://disks/disk.qcow2: The disk has 65537 GiB; the"
        " largest volume has 65536 GiB.]"
    )
    assert sum(fetched) < 1 << 20
    nothing_is_left(svc)


def a_qcow2_of(size_bytes: int) -> bytes:
    return struct.pack(">4sIQIIQI", b"QFI\xfb", 2, 0, 0, 16, size_bytes, 0).ljust(512, b"\0")


def test_without_a_directory_no_file_is_read(svc: Services, disk: Path) -> None:
    with refused("InvalidParameterValue", "import_directory"):
        ask(svc, "ImportSnapshot", DiskContainer={"Url": f"file://{disk}"})


def what_is_there_is_whole(svc: Services) -> None:
    for snapshot in ask(svc, "DescribeSnapshots")["Snapshots"]:
        assert snapshot["State"] == "completed"
        assert snapshot_blocks(svc, snapshot["SnapshotId"]) == CONTENT


def it_is_there_or_was_never_asked_for(svc: Services) -> None:
    what_is_there_is_whole(svc)
    tasks = ask(svc, "DescribeImportSnapshotTasks")["ImportSnapshotTasks"]
    made = {each["SnapshotTaskDetail"]["SnapshotId"] for each in tasks}
    assert made == {each["SnapshotId"] for each in ask(svc, "DescribeSnapshots")["Snapshots"]}
    nothing_is_left(svc)


@pytest.mark.parametrize(
    ("disk_format", "host"), [("raw", on_its_disk), ("raw", in_buckets), ("qcow2", on_its_disk)]
)
def test_an_import_survives_a_power_cut_at_any_moment(
    tmp_path: Path, disk: Path, disk_format: str, host: Made
) -> None:
    data = disk.read_bytes() if disk_format == "raw" else converted(disk, disk_format)

    def begin(svc: Services) -> Callable[[], object]:
        put_accounts(svc, ALICE)
        upload(svc, "disk", data)
        return lambda: bring(svc, "disk")

    assert (
        assert_survives(
            tmp_path / "states",
            begin,
            what_is_there_is_whole,
            it_is_there_or_was_never_asked_for,
            made=host,
        )
        > 12
    )


def test_a_cancelled_import_survives_a_power_cut_at_any_moment(tmp_path: Path, disk: Path) -> None:
    data = disk.read_bytes()

    def begin(svc: Services) -> Callable[[], object]:
        put_accounts(svc, ALICE)
        upload(svc, "disk", data)
        objects, read = the_objects(svc), the_objects(svc).read

        def cancelled(*given: Any) -> bytes:
            if task(svc, only_task(svc))["Status"] == "active":
                ask(svc, "CancelImportTask", ImportTaskId=only_task(svc))
            return read(*given)

        objects.read = cancelled  # type: ignore[method-assign]
        return lambda: bring(svc, "disk")

    def ended(svc: Services) -> None:
        assert ask(svc, "DescribeSnapshots")["Snapshots"] == []
        for each in ask(svc, "DescribeImportSnapshotTasks")["ImportSnapshotTasks"]:
            assert each["SnapshotTaskDetail"]["Status"] == "deleted"
        nothing_is_left(svc)

    assert assert_survives(tmp_path / "states", begin, what_is_there_is_whole, ended) > 5


def test_an_import_that_waits_for_its_turn_holds_no_collection_up(
    svc: Services, disk: Path
) -> None:
    upload(svc, "disk.raw", disk.read_bytes())
    svc.jobs.close()
    container = {"UserBucket": {"S3Bucket": "disks", "S3Key": "disk.raw"}}
    with pytest.raises(NotRunning):
        ask(svc, "ImportSnapshot", DiskContainer=container)
    nothing_is_left(svc)
    svc.jobs.launch()
    registry.sweep(svc)
    (task,) = ask(svc, "DescribeImportSnapshotTasks")["ImportSnapshotTasks"]
    assert task["SnapshotTaskDetail"]["Status"] == "completed"
    nothing_is_left(svc)
