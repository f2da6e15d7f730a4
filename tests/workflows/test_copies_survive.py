"""Copies between regions, and what a power cut at every moment leaves of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore.ingest import ingest_file
from openami.blockstore.verify import verify
from openami.catalog import ingests, snapshot_copies
from openami.domain.ids import Region
from openami.services import Services
from openami.workflows import region_stores
from support.asking import ask, put, put_accounts
from support.blocks import a_disk
from support.builders import (
    ALICE,
    HERE,
    IMAGE,
    SNAPSHOT,
    THERE,
    a_device,
    a_snapshot,
    an_image,
)
from support.crash import Made, assert_survives
from support.disk_contents import snapshot_blocks
from support.power import in_buckets, on_its_disk

ROOT, DATA = {0: "a", 5: "b", 300: "c"}, {0: "a", 7: "d"}
SECOND = "snap-00000000000000002"
BLOCK = 512 * 1024


def stored(svc: Services, content: dict[int, str]) -> str:
    blocks = {index: sign.encode() * BLOCK for index, sign in content.items()}
    disk = a_disk(svc.settings.state_dir / "disk", blocks, 1 << 30)
    return ingest_file(svc.stores[HERE], disk).to_text()


def with_an_image(svc: Services) -> None:
    put_accounts(svc, ALICE)
    devices = (a_device(), a_device("/dev/sdb", snapshot_id=SECOND))
    put(
        svc,
        a_snapshot(root=stored(svc, ROOT)),
        a_snapshot(id=SECOND, root=stored(svc, DATA)),
        an_image(block_device_mappings=devices),
    )


def an_image_is_copied(svc: Services) -> Callable[[], object]:
    with_an_image(svc)
    asked = {"Name": "copied", "SourceImageId": IMAGE, "SourceRegion": HERE, "ClientToken": "t"}
    return lambda: ask(svc, "CopyImage", region=THERE, **asked)


def copied(svc: Services, region: Region = THERE) -> list[dict[str, Any]]:
    return ask(svc, "DescribeImages", region=region, Owners=["self"])["Images"]


def what_is_there_is_whole(svc: Services) -> None:
    """At every moment: rows that are complete, bytes that are named, roots that are spoken for."""
    for region in (HERE, THERE):
        report = verify(svc.stores[region], region_stores.roots(svc.catalog, region))
        assert report.intact, report
    for image in copied(svc):
        if image["State"] == "available":
            devices = image["BlockDeviceMappings"]
            found = [snapshot_blocks(svc, each["Ebs"]["SnapshotId"]) for each in devices]
            assert found == [ROOT, DATA]


def it_is_copied_or_was_never_asked_for(svc: Services) -> None:
    assert [image["State"] for image in copied(svc)] in ([], ["available"])
    what_is_there_is_whole(svc)
    states = {each["State"] for each in ask(svc, "DescribeSnapshots", region=THERE)["Snapshots"]}
    assert states <= {"completed"}
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []
        assert snapshot_copies.every(tx) == []


@pytest.mark.parametrize("host", [on_its_disk, in_buckets])
def test_a_copy_survives_a_power_cut_at_any_moment(tmp_path: Path, host: Made) -> None:
    moments = assert_survives(
        *(tmp_path, an_image_is_copied),
        *(what_is_there_is_whole, it_is_copied_or_was_never_asked_for),
        made=host,
    )
    assert moments > 20


@pytest.mark.parametrize("region", [HERE, THERE])
def test_a_snapshots_copy_survives_a_power_cut_at_any_moment(
    tmp_path: Path, region: Region
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        with_an_image(svc)
        asked = {"SourceSnapshotId": SNAPSHOT, "SourceRegion": HERE}
        return lambda: ask(svc, "CopySnapshot", region=region, **asked)

    def end(svc: Services) -> None:
        it_is_copied_or_was_never_asked_for(svc)
        for each in ask(svc, "DescribeSnapshots", region=region)["Snapshots"]:
            if each["SnapshotId"] != SECOND:
                assert snapshot_blocks(svc, each["SnapshotId"]) == ROOT

    assert assert_survives(tmp_path, begin, what_is_there_is_whole, end) > 3


def test_a_source_deleted_in_the_crash_is_still_copied(tmp_path: Path) -> None:
    def delete_the_source(svc: Services) -> None:
        ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
        what_is_there_is_whole(svc)

    assert_survives(
        tmp_path, an_image_is_copied, delete_the_source, it_is_copied_or_was_never_asked_for
    )
