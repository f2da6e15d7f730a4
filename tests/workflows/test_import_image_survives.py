"""The operator's import, and what a power cut at every moment leaves of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.actions.transfers import import_image as action
from openami.blockstore.store import ChunkLost, StoreFull
from openami.catalog import ingests, snapshots
from openami.domain.block import GIB
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.workflows import import_image, scratch
from support.asking import ask, put_accounts, refused
from support.blocks import a_disk, qemu_img
from support.builders import ALICE, BOB
from support.crash import Made, assert_survives
from support.disk_contents import snapshot_blocks
from support.fakes import services
from support.power import in_buckets, on_a_disk_that_lies, on_its_disk

CONTENT = {0: "a", 5: "b"}
BLOCK = 512 * 1024


def the_disk(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    blocks = {index: sign.encode() * BLOCK for index, sign in CONTENT.items()}
    return a_disk(directory / "disk.raw", blocks, 8 * BLOCK)


def bring(svc: Services, disk: Path, **but: Any) -> str:
    request = {
        "path": str(disk),
        "name": "debian-12",
        "boot_mode": "uefi",
        "account": ALICE,
        "region": "us-east-1",
        "format": None,
        "description": "",
    }
    return str(action.from_operator(svc, request | but)["image_id"])


def the_image(svc: Services, image_id: str) -> dict[str, Any]:
    (image,) = ask(svc, "DescribeImages", ImageIds=[image_id])["Images"]
    return image


def snapshot_of(image: dict[str, Any]) -> str:
    return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def with_alice(tmp_path: Path) -> Services:
    svc = services(tmp_path / "state")
    put_accounts(svc, ALICE)
    return svc


def nothing_is_left(svc: Services) -> None:
    directory = svc.settings.state_dir / "scratch"
    assert not directory.exists() or list(directory.iterdir()) == []
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


def test_a_raw_disk_becomes_an_image(tmp_path: Path) -> None:
    svc = with_alice(tmp_path)
    image = the_image(svc, bring(svc, the_disk(tmp_path), description="from a file"))
    assert image["State"] == "available"
    assert (image["Architecture"], image["VirtualizationType"]) == ("x86_64", "hvm")
    assert (image["BootMode"], image["RootDeviceName"]) == ("uefi", "/dev/xvda")
    assert (image["OwnerId"], image["Description"]) == (ALICE, "from a file")
    assert image["EnaSupport"] is True
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 1
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT
    (snapshot,) = ask(svc, "DescribeSnapshots")["Snapshots"]
    assert (snapshot["VolumeId"], snapshot["Progress"]) == ("vol-ffffffff", "100%")
    nothing_is_left(svc)


def test_a_qcow2_disk_is_known_by_its_content(tmp_path: Path) -> None:
    svc = with_alice(tmp_path)
    qcow2 = tmp_path / "disk.img"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", the_disk(tmp_path), qcow2)
    image = the_image(svc, bring(svc, qcow2))
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT
    nothing_is_left(svc)


def test_a_disk_larger_than_a_gibibyte_takes_the_next_whole_one(tmp_path: Path) -> None:
    svc = with_alice(tmp_path)
    disk = a_disk(tmp_path / "disk.raw", {}, GIB + 512)
    image = the_image(svc, bring(svc, disk))
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 2


@pytest.mark.parametrize(
    ("but", "code"),
    [
        ({"account": "nobody"}, "InvalidUserID.NotFound"),
        ({"region": "eu-north-9"}, "InvalidParameterValue"),
        ({"boot_mode": "coreboot"}, "InvalidParameterValue"),
        ({"name": "x"}, "InvalidAMIName.Malformed"),
        ({"path": "/nowhere/disk.raw"}, "InvalidParameterValue"),
        ({"format": "qcow2"}, "InvalidParameterValue"),
    ],
)
def test_an_import_is_refused(tmp_path: Path, but: dict[str, str], code: str) -> None:
    svc = with_alice(tmp_path)
    with refused(code):
        bring(svc, the_disk(tmp_path), **but)
    assert ask(svc, "DescribeImages")["Images"] == []
    assert ask(svc, "DescribeSnapshots")["Snapshots"] == []


def test_the_account_may_be_told_by_its_name(tmp_path: Path) -> None:
    svc = with_alice(tmp_path)
    put_accounts(svc, BOB)
    assert the_image(svc, bring(svc, the_disk(tmp_path), account=f"account {ALICE}"))


def test_a_disk_that_is_gone_before_it_is_read_fails_the_image(tmp_path: Path) -> None:
    svc = with_alice(tmp_path)
    disk = the_disk(tmp_path)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        bring(svc, disk)
    (image,) = ask(svc, "DescribeImages")["Images"]
    disk.unlink()
    svc.jobs.launch()
    args = {
        "image_id": image["ImageId"],
        "snapshot_id": snapshot_of(image),
        "path": str(disk),
        "format": "raw",
    }
    svc.jobs.start(import_image.NAME, f"import_image:{image['ImageId']}", args)
    failed = the_image(svc, image["ImageId"])
    assert failed["State"] == "failed"
    assert "No such file" in failed["StateReason"]["Message"]
    (snapshot,) = ask(svc, "DescribeSnapshots")["Snapshots"]
    assert snapshot["State"] == "error"
    nothing_is_left(svc)


def what_is_available_is_whole(svc: Services) -> None:
    with svc.catalog.read() as tx:
        for snapshot in snapshots.pending(tx):
            assert ingests.is_active(tx, snapshot.id), "the collector must wait for it"
    for image in ask(svc, "DescribeImages")["Images"]:
        if image["State"] == "available":
            assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT


def it_is_whole_or_failed_before_it_began(svc: Services) -> None:
    for image in ask(svc, "DescribeImages")["Images"]:
        if svc.jobs.known(f"import_image:{image['ImageId']}"):
            assert image["State"] == "available"
        else:
            assert image["State"] == "failed"
    what_is_available_is_whole(svc)
    nothing_is_left(svc)


@pytest.mark.parametrize(
    ("disk_format", "host"), [("raw", on_its_disk), ("raw", in_buckets), ("qcow2", on_its_disk)]
)
def test_an_import_survives_a_power_cut_at_any_moment(
    tmp_path: Path, disk_format: str, host: Made
) -> None:
    disk = the_disk(tmp_path)
    if disk_format == "qcow2":
        qemu_img("convert", "-f", "raw", "-O", "qcow2", disk, tmp_path / "disk.qcow2")
        disk = tmp_path / "disk.qcow2"

    def begin(svc: Services) -> Callable[[], object]:
        put_accounts(svc, ALICE)
        return lambda: bring(svc, disk)

    moments = assert_survives(
        tmp_path / "states",
        begin,
        what_is_available_is_whole,
        it_is_whole_or_failed_before_it_began,
        made=host,
    )
    assert moments > 8


def test_a_disk_that_only_says_that_it_has_synced_would_be_found(tmp_path: Path) -> None:
    """The test of the test above."""
    disk = the_disk(tmp_path)

    def begin(svc: Services) -> Callable[[], object]:
        put_accounts(svc, ALICE)
        return lambda: bring(svc, disk)

    with pytest.raises(ChunkLost):
        assert_survives(
            tmp_path / "states",
            begin,
            what_is_available_is_whole,
            it_is_whole_or_failed_before_it_began,
            made=on_a_disk_that_lies,
        )


def test_a_conversion_that_died_is_begun_anew(tmp_path: Path) -> None:
    svc = with_alice(tmp_path)
    disk = tmp_path / "disk.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", the_disk(tmp_path), disk)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        bring(svc, disk)
    (image,) = ask(svc, "DescribeImages")["Images"]
    home = scratch.home(svc, image["ImageId"])
    home.mkdir(parents=True)
    (home / ".disk.raw").write_bytes(b"torn")
    svc.jobs.launch()
    args = {"image_id": image["ImageId"], "snapshot_id": snapshot_of(image)}
    given = {"path": str(disk), "format": "qcow2"}
    svc.jobs.start(import_image.NAME, f"import_image:{image['ImageId']}", args | given)
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT
    nothing_is_left(svc)


def test_a_full_store_fails_the_import_without_a_path_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = with_alice(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise StoreFull("/var/lib/openami/chunks has no room left")

    monkeypatch.setattr(import_image, "ingest_file", full)
    image = the_image(svc, bring(svc, the_disk(tmp_path)))
    assert image["State"] == "failed"
    assert image["StateReason"]["Message"] == "there is no room for the disk"
