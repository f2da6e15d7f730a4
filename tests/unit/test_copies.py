"""CopyImage and CopySnapshot as the pipeline calls them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore.ingest import ingest_file
from openami.blockstore.manifest import Manifests
from openami.blockstore.store import StoreFull
from openami.catalog import ingests, snapshot_copies, snapshots
from openami.catalog import tags as catalog_tags
from openami.domain.ids import AccountId, Region, SnapshotId
from openami.domain.image import ImageState
from openami.domain.manifest import Root
from openami.domain.snapshot_copy import SnapshotCopy
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.settings import Settings
from openami.workflows import copy_snapshot, region_stores, registry
from support.asking import ask, filtered, put, put_accounts, refused
from support.blocks import a_disk
from support.builders import (
    ALICE,
    BOB,
    HERE,
    IMAGE,
    SNAPSHOT,
    THERE,
    a_device,
    a_pending_snapshot,
    a_snapshot,
    an_image,
)
from support.disk_contents import snapshot_blocks
from support.fakes import StoppedClock, services

CONTENT = {0: "a", 5: "b"}
BLOCK = 512 * 1024


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    """Alice's image here, whose snapshot has CONTENT."""
    svc = services(tmp_path / "state")
    put_accounts(svc, ALICE, BOB)
    put(svc, a_snapshot(root=stored(svc, tmp_path)), an_image(boot_mode="uefi", ena_support=True))
    return svc


def stored(svc: Services, directory: Path, region: Region = HERE) -> str:
    blocks = {index: sign.encode() * BLOCK for index, sign in CONTENT.items()}
    return ingest_file(svc.stores[region], a_disk(directory / "disk", blocks, 1 << 30)).to_text()


def copied_image(
    svc: Services, region: Region = THERE, account: AccountId = ALICE, **but: Any
) -> dict[str, Any]:
    asked = {"Name": "copied", "SourceImageId": IMAGE, "SourceRegion": HERE}
    image_id = ask(svc, "CopyImage", account, region, **(asked | but))["ImageId"]
    return the_image(svc, image_id, region, account)


def the_image(
    svc: Services, image_id: str, region: Region = THERE, account: AccountId = ALICE
) -> dict[str, Any]:
    (image,) = ask(svc, "DescribeImages", account, region, ImageIds=[image_id])["Images"]
    return image


def copied_snapshot(
    svc: Services, region: Region = THERE, account: AccountId = ALICE, **but: Any
) -> dict[str, Any]:
    asked = {"SourceSnapshotId": SNAPSHOT, "SourceRegion": HERE}
    made = ask(svc, "CopySnapshot", account, region, **(asked | but))
    return the_snapshot(svc, made["SnapshotId"], region, account)


def the_snapshot(
    svc: Services, snapshot_id: str, region: Region = THERE, account: AccountId = ALICE
) -> dict[str, Any]:
    found = ask(svc, "DescribeSnapshots", account, region, SnapshotIds=[snapshot_id])
    return found["Snapshots"][0]


def snapshot_of(image: dict[str, Any]) -> str:
    return str(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


def tags(described: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in described["Tags"]}


def specification(kind: str, **pairs: str) -> dict[str, Any]:
    return {"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in pairs.items()]}


def nothing_is_held(svc: Services) -> None:
    with svc.catalog.read() as tx:
        assert snapshot_copies.every(tx) == []
        assert ingests.all_active(tx) == []


def test_a_copy_is_a_new_image_over_snapshots_of_its_own(svc: Services) -> None:
    image = copied_image(svc)
    assert image["State"] == "available"
    assert image["ImageId"] != IMAGE
    assert snapshot_of(image) != SNAPSHOT
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (IMAGE, HERE)
    assert (image["BootMode"], image["EnaSupport"]) == ("uefi", True)
    assert (image["Name"], image["ImageLocation"]) == ("copied", f"{ALICE}/copied")
    assert "Description" not in image
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT
    nothing_is_held(svc)


def test_its_snapshot_says_what_it_is_a_copy_of(svc: Services) -> None:
    image = copied_image(svc)
    snapshot = the_snapshot(svc, snapshot_of(image))
    assert (snapshot["VolumeId"], snapshot["Progress"]) == ("vol-ffffffff", "100%")
    assert snapshot["TransferType"] == "standard"
    assert snapshot["Description"] == (
        f"Copied for DestinationAmi {image['ImageId']} from SourceAmi {IMAGE}"
        f" for SourceSnapshot {SNAPSHOT}. Task created on 1,704,067,200,000."
    )


def test_only_the_copys_region_has_it(svc: Services) -> None:
    image = copied_image(svc)
    with refused("InvalidAMIID.NotFound"):
        the_image(svc, image["ImageId"], HERE)
    with refused("InvalidAMIID.NotFound", f"The image id '[{IMAGE}]' does not exist"):
        ask(svc, "RunInstances", region=THERE, ImageId=IMAGE, MinCount=1, MaxCount=1)


def test_the_copy_lives_without_its_source(svc: Services) -> None:
    image = copied_image(svc)
    for digest in list(svc.stores[HERE].digests()):
        svc.stores[HERE].delete(digest)
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT


def test_within_one_region_nothing_moves_and_the_disk_is_the_same(svc: Services) -> None:
    before = sorted(svc.stores[HERE].digests())
    image = copied_image(svc, region=HERE)
    assert snapshot_of(image) != SNAPSHOT
    assert sorted(svc.stores[HERE].digests()) == before
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT


def test_launch_permissions_deprecation_and_protection_stay_with_the_source(svc: Services) -> None:
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission={"Add": [{"UserId": BOB}]})
    ask(svc, "EnableImageDeregistrationProtection", ImageId=IMAGE)
    later = svc.clock.now() + timedelta(days=30)
    ask(svc, "EnableImageDeprecation", ImageId=IMAGE, DeprecateAt=later)
    image = copied_image(svc)
    assert "DeprecationTime" not in image
    assert image["DeregistrationProtection"] == "disabled"
    asked = {"ImageId": image["ImageId"], "Attribute": "launchPermission"}
    told = ask(svc, "DescribeImageAttribute", region=THERE, **asked)
    assert told["LaunchPermissions"] == []


def test_tags_come_along_only_when_asked_for(svc: Services) -> None:
    pairs = [{"Key": "Team", "Value": "os"}, {"Key": "Stage", "Value": "old"}]
    ask(svc, "CreateTags", Resources=[IMAGE], Tags=pairs)
    assert tags(copied_image(svc)) == {}
    both = [specification("image", Stage="new"), specification("snapshot", Of="copy")]
    image = copied_image(svc, Name="tagged", CopyImageTags=True, TagSpecifications=both)
    assert tags(image) == {"Team": "os", "Stage": "new"}
    assert tags(the_snapshot(svc, snapshot_of(image))) == {"Of": "copy"}


def test_a_snapshot_of_two_devices_is_copied_once(svc: Services) -> None:
    twice = (a_device(), a_device("/dev/sdb"), a_device("/dev/sdc", snapshot_id=None))
    put(svc, an_image(id="ami-00000000000000002", name="two", block_device_mappings=twice))
    image = copied_image(svc, SourceImageId="ami-00000000000000002")
    first, second, blank = (each["Ebs"] for each in image["BlockDeviceMappings"])
    assert first["SnapshotId"] == second["SnapshotId"]
    assert "SnapshotId" not in blank
    assert len(ask(svc, "DescribeSnapshots", region=THERE)["Snapshots"]) == 1


def test_the_same_token_is_the_same_copy(svc: Services) -> None:
    first = copied_image(svc, ClientToken="t")
    assert copied_image(svc, ClientToken="t")["ImageId"] == first["ImageId"]
    with refused("IdempotentParameterMismatch"):
        copied_image(svc, ClientToken="t", Description="another")
    assert len(ask(svc, "DescribeImages", region=THERE)["Images"]) == 1


def test_an_image_shared_for_launches_may_not_be_copied(svc: Services) -> None:
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission={"Add": [{"UserId": BOB}]})
    with refused("InvalidRequest", "You do not have permission to access the storage of this ami"):
        copied_image(svc, account=BOB)


def shared_with_bob(svc: Services) -> None:
    permission = {"Add": [{"UserId": BOB}]}
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=permission)
    ask(svc, "ModifySnapshotAttribute", SnapshotId=SNAPSHOT, CreateVolumePermission=permission)


def test_with_its_snapshot_shared_too_it_may_be_copied_and_is_ones_own(svc: Services) -> None:
    shared_with_bob(svc)
    image = copied_image(svc, account=BOB)
    assert (image["OwnerId"], image["State"]) == (BOB, "available")
    snapshot = the_snapshot(svc, snapshot_of(image), account=BOB)
    assert snapshot["OwnerId"] == BOB
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    assert the_image(svc, image["ImageId"], account=BOB)["State"] == "available"


def test_of_anothers_image_come_the_tags_that_its_owner_shares_and_ones_own(svc: Services) -> None:
    shared_with_bob(svc)
    pairs = {"Team": "os", "ec2:SharedTag/Version": "7"}
    for account, given in ((ALICE, pairs), (BOB, {"Mine": "yes"})):
        its_tags = [{"Key": key, "Value": value} for key, value in given.items()]
        ask(svc, "CreateTags", account, Resources=[IMAGE], Tags=its_tags)
    image = copied_image(svc, account=BOB, CopyImageTags=True)
    assert tags(image) == {"ec2:SharedTag/Version": "7", "Mine": "yes"}


def test_what_only_openami_may_write_is_not_copied_with_the_tags(svc: Services) -> None:
    given = {"aws:dlm:lifecycle-policy-id": "policy-0123456789abcdef0", "Team": "os"}
    with svc.catalog.begin() as tx:
        catalog_tags.put(tx, ALICE, HERE, ("image", IMAGE), given)
    assert tags(copied_image(svc, CopyImageTags=True)) == {"Team": "os"}


def test_a_shared_snapshot_may_be_copied(svc: Services) -> None:
    shared_with_bob(svc)
    assert copied_snapshot(svc, account=BOB)["OwnerId"] == BOB


def test_an_image_that_is_not_seen_is_not_found(svc: Services) -> None:
    with refused("InvalidAMIID.NotFound"):
        copied_image(svc, account=BOB)
    with refused("InvalidAMIID.NotFound"):
        copied_image(svc, SourceRegion=THERE)


@pytest.mark.parametrize("state", [ImageState.PENDING, ImageState.FAILED])
def test_an_image_that_is_not_whole_is_not_copied(svc: Services, state: ImageState) -> None:
    put(svc, an_image(id="ami-00000000000000002", name="two", state=state))
    with refused("InvalidAMIID.Unavailable", f"is currently {state}"):
        copied_image(svc, SourceImageId="ami-00000000000000002")


@pytest.mark.parametrize(
    ("but", "code"),
    [
        ({"SourceRegion": "eu-north-9"}, "InvalidRegion"),
        ({"SourceImageId": "ami-1"}, "InvalidAMIID.Malformed"),
        ({"SourceImageId": "ami-00000000000000009"}, "InvalidAMIID.NotFound"),
        ({"Name": "x"}, "InvalidAMIName.Malformed"),
        ({"Encrypted": True}, "UnsupportedOperation"),
        ({"KmsKeyId": "alias/k"}, "InvalidParameterDependency"),
        ({"DestinationOutpostArn": "arn:aws:outposts:x"}, "UnsupportedOperation"),
        ({"DestinationAvailabilityZone": "us-west-2-lax-1a"}, "UnsupportedOperation"),
        ({"SnapshotCopyCompletionDurationMinutes": 15}, "UnsupportedOperation"),
        ({"TagSpecifications": [specification("volume", a="b")]}, "InvalidParameterValue"),
        ({"ClientToken": "x" * 65}, "InvalidClientToken"),
    ],
)
def test_a_copy_is_refused(svc: Services, but: dict[str, Any], code: str) -> None:
    with refused(code):
        copied_image(svc, **but)
    assert ask(svc, "DescribeImages", region=THERE)["Images"] == []
    nothing_is_held(svc)


def test_a_name_is_taken_once(svc: Services) -> None:
    copied_image(svc)
    with refused("InvalidAMIName.Duplicate"):
        copied_image(svc)


def test_a_source_that_lost_bytes_fails_the_copy_with_a_reason(svc: Services) -> None:
    (digest, *_) = svc.stores[HERE].digests()
    svc.stores[HERE].delete(digest)
    image = copied_image(svc)
    assert image["State"] == "failed"
    assert image["StateReason"] == {
        "Code": "Server.InternalError",
        "Message": "Server.InternalError: the source cannot be read",
    }
    snapshot = the_snapshot(svc, snapshot_of(image))
    assert snapshot["State"] == "error"
    nothing_is_held(svc)


def test_a_full_store_fails_the_copy_without_a_path_of_the_host(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreFull("/var/lib/openami/chunks has no room left")

    monkeypatch.setattr(copy_snapshot, "transfer", full)
    snapshot = copied_snapshot(svc)
    assert snapshot["StateMessage"] == "Server.InternalError: there is no room in us-west-2"


def begun(svc: Services, act: Callable[[], object]) -> None:
    """Only what the request itself does: the engine is away."""
    svc.jobs.close()
    with pytest.raises(NotRunning):
        act()
    svc.jobs.launch()


def test_a_source_deleted_meanwhile_does_not_break_the_copy(svc: Services) -> None:
    begun(svc, lambda: copied_image(svc))
    ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
    (image,) = ask(svc, "DescribeImages", region=THERE)["Images"]
    assert image["State"] == "pending"
    (root,) = region_stores.roots(svc.catalog, HERE)
    assert list(Manifests(svc.stores[HERE]).iterate(root)), "its bytes are still spoken for"
    registry.sweep(svc)
    image = the_image(svc, image["ImageId"])
    assert image["State"] == "available"
    assert snapshot_blocks(svc, snapshot_of(image)) == CONTENT
    assert region_stores.roots(svc.catalog, HERE) == set()


def test_a_copy_deleted_meanwhile_leaves_nothing(svc: Services) -> None:
    begun(svc, lambda: copied_snapshot(svc))
    (snapshot,) = ask(svc, "DescribeSnapshots", region=THERE)["Snapshots"]
    ask(svc, "DeleteSnapshot", region=THERE, SnapshotId=snapshot["SnapshotId"])
    registry.sweep(svc)
    assert ask(svc, "DescribeSnapshots", region=THERE)["Snapshots"] == []
    nothing_is_held(svc)


def test_progress_rises_with_the_bytes(svc: Services) -> None:
    begun(svc, lambda: copied_snapshot(svc))
    (snapshot,) = ask(svc, "DescribeSnapshots", region=THERE)["Snapshots"]
    seen: list[str] = []
    real = svc.stores[HERE].framed

    def watched(*args: Any) -> bytes:
        seen.append(the_snapshot(svc, snapshot["SnapshotId"])["Progress"])
        return real(*args)

    svc.stores[HERE].framed = watched  # pyright: ignore[reportAttributeAccessIssue]
    registry.sweep(svc)
    assert seen[0] == "0%"
    assert seen[-1] == "99%", "all chunks are there, and the pages are not"
    assert the_snapshot(svc, snapshot["SnapshotId"])["Progress"] == "100%"


def test_a_snapshot_s_copy_has_the_description_given_and_not_that_of_its_source(
    svc: Services,
) -> None:
    put(svc, a_snapshot(id="snap-00000000000000002", description="nightly"))
    copied = copied_snapshot(svc, SourceSnapshotId="snap-00000000000000002")
    assert copied["Description"] == ""
    assert copied_snapshot(svc, Description="mine")["Description"] == "mine"


def test_a_snapshots_copy_has_the_bytes_and_the_tags_given(svc: Services) -> None:
    ask(svc, "CreateTags", Resources=[SNAPSHOT], Tags=[{"Key": "a", "Value": "b"}])
    copied = copied_snapshot(svc, TagSpecifications=[specification("snapshot", c="d")])
    assert snapshot_blocks(svc, copied["SnapshotId"]) == CONTENT
    assert tags(copied) == {"c": "d"}
    found = ask(
        svc, "DescribeSnapshots", region=THERE, Filters=filtered("transfer-type", "standard")
    )
    assert [each["SnapshotId"] for each in found["Snapshots"]] == [copied["SnapshotId"]]


@pytest.mark.parametrize(
    ("but", "code"),
    [
        ({"SourceRegion": "nowhere"}, "InvalidRegion"),
        ({"SourceRegion": THERE}, "InvalidSnapshot.NotFound"),
        ({"SourceSnapshotId": "snap-1"}, "InvalidSnapshotID.Malformed"),
        ({"SourceSnapshotId": "snap-00000000000000007"}, "IncorrectState"),
        ({"Encrypted": True}, "UnsupportedOperation"),
        ({"KmsKeyId": "alias/k"}, "InvalidParameterDependency"),
        ({"CompletionDurationMinutes": 15}, "UnsupportedOperation"),
        ({"DestinationRegion": HERE}, "InvalidParameterValue"),
        ({"PresignedUrl": f"https://x/?SourceRegion={THERE}"}, "InvalidParameterValue"),
        ({"TagSpecifications": [specification("image", a="b")]}, "InvalidParameterValue"),
        ({"account": BOB}, "InvalidSnapshot.NotFound"),
    ],
)
def test_a_snapshots_copy_is_refused(svc: Services, but: dict[str, Any], code: str) -> None:
    put(svc, a_pending_snapshot(id="snap-00000000000000007"))
    with refused(code):
        copied_snapshot(svc, **but)
    nothing_is_held(svc)


def test_what_boto_adds_to_a_snapshots_copy_is_taken(svc: Services) -> None:
    url = f"https://x/?SourceRegion={HERE}&SourceSnapshotId={SNAPSHOT}&DestinationRegion={THERE}"
    assert copied_snapshot(svc, DestinationRegion=THERE, PresignedUrl=url)["State"] == "completed"


def test_too_many_copies_at_once_are_refused(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, compute_driver="record", snapshot_copies_max=1)
    svc = services(tmp_path, settings=settings)
    put(svc, a_snapshot(), a_pending_snapshot(id="snap-00000000000000002", region=THERE))
    held = SnapshotCopy(
        snapshot_id=SnapshotId("snap-00000000000000002"),
        source_snapshot_id=SNAPSHOT,
        source_region=HERE,
        root=Root.empty(2048).to_text(),
    )
    with svc.catalog.begin() as tx:
        snapshot_copies.add(tx, held)
    with refused("ResourceLimitExceeded", "The limit is 1"):
        copied_snapshot(svc)
    with svc.catalog.begin() as tx:
        snapshot_copies.end(tx, held.snapshot_id)
        snapshots.remove(tx, held.snapshot_id)
    assert copied_snapshot(svc)["State"] == "completed"


def test_the_moment_of_a_copy_is_now(svc: Services) -> None:
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(days=3))
    assert copied_image(svc)["CreationDate"].startswith("2024-01-04")


def test_a_dry_run_copies_nothing(svc: Services, tmp_path: Path) -> None:
    tried = replace(svc, catalog=svc.catalog.dry_run())
    with refused("DryRunOperation"):
        copied_image(tried)
    with refused("DryRunOperation"):
        copied_snapshot(tried)
    assert ask(svc, "DescribeSnapshots", region=THERE)["Snapshots"] == []
    nothing_is_held(svc)
