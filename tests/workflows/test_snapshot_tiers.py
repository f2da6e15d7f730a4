"""A snapshot into the archive and back, under a power cut at every moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from openami.services import Services
from support.asking import ask
from support.builders import HERE, ZONE
from support.crash import Made, assert_survives
from support.disk_contents import snapshot_blocks, write_volume
from support.power import archives_in_buckets, archives_on_its_disk

CONTENT = {1: "a", 2: "b", 700: "c"}


def two_snapshots(svc: Services) -> list[str]:
    """The first has two blocks of its own, the third is the second one's too."""
    volume_id = ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]
    for block, sign in CONTENT.items():
        write_volume(svc, volume_id, block, sign)
    first = ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]
    for block in (2, 700):
        write_volume(svc, volume_id, block, "z")
    return [first, ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]]


def every_byte_can_be_read(svc: Services) -> None:
    first, second = sorted(
        each["SnapshotId"] for each in ask(svc, "DescribeSnapshots")["Snapshots"]
    )
    assert snapshot_blocks(svc, first) == CONTENT
    assert snapshot_blocks(svc, second) == CONTENT | {2: "z", 700: "z"}


def nothing_goes_on(svc: Services) -> None:
    every_byte_can_be_read(svc)
    for each in ask(svc, "DescribeSnapshotTierStatus")["SnapshotTierStatuses"]:
        assert each["LastTieringOperationStatus"].endswith("-completed")


def nothing_is_in_two_places_and_nothing_goes_on(svc: Services) -> None:
    nothing_goes_on(svc)
    assert not any(svc.stores[HERE].has(each) for each in svc.archives[HERE].digests())


ARCHIVED: Final = ("ModifySnapshotTier", {"StorageTier": "archive"})
BACK: Final = ("RestoreSnapshotTier", {"PermanentRestore": True})
BACK_FOR_DAYS: Final = ("RestoreSnapshotTier", {"TemporaryRestoreDays": 3})


@pytest.mark.parametrize(
    ("host", "operation", "request_"),
    [
        (archives_on_its_disk, *ARCHIVED),
        (archives_in_buckets, *ARCHIVED),
        (archives_on_its_disk, *BACK),
        (archives_in_buckets, *BACK_FOR_DAYS),
    ],
)
def test_a_move_survives_a_power_cut_at_any_moment(
    tmp_path: Path, host: Made, operation: str, request_: dict[str, Any]
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        first, _ = two_snapshots(svc)
        if operation == "RestoreSnapshotTier":
            ask(svc, "ModifySnapshotTier", SnapshotId=first, StorageTier="archive")
        return lambda: ask(svc, operation, SnapshotId=first, **request_)

    moments = assert_survives(
        tmp_path,
        begin,
        every_byte_can_be_read,
        # A directory may have again what was deleted in it: that costs room, and nothing else.
        nothing_goes_on
        if host is archives_on_its_disk
        else nothing_is_in_two_places_and_nothing_goes_on,
        made=host,
    )
    assert moments >= 9
