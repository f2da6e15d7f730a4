"""An image belongs to one region, and a copy of it to another (S-48, S-49)."""

import subprocess
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from support import api
from support.server import BIN, ClientError, Server
from support.tiny import Tiny

EAST, WEST = "us-east-1", "us-west-2"
ACCOUNT, OTHER = "copies-a", "copies-b"


@pytest.fixture
def east(record_server: Server) -> Any:
    return record_server.client(account=ACCOUNT)


@pytest.fixture
def west(record_server: Server) -> Any:
    return record_server.client(account=ACCOUNT, region=WEST)


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of(ACCOUNT)


def copied(west: Any, image_id: str, name: str, **more: Any) -> dict[str, Any]:
    """An available copy, as DescribeImages tells it."""
    asked = {"Name": name, "SourceImageId": image_id, "SourceRegion": EAST} | more
    copy_id = west.copy_image(**asked)["ImageId"]
    api.await_state(west, "image_available", ImageIds=[copy_id])
    return api.image(west, copy_id)


def tags_of(described: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in described.get("Tags", [])}


def chunks(directory: Path) -> dict[str, bytes]:
    """Name → body of every chunk and page that is stored below it."""
    files = [path for part in "cn" for path in (directory / part).rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def test_s48_an_image_of_one_region_is_unknown_in_another(
    record_server: Server, small_ami: str
) -> None:
    with pytest.raises(ClientError) as refused:
        record_server.aws(
            *("ec2", "run-instances", "--image-id", small_ami, "--region", WEST), account=ACCOUNT
        )
    assert "InvalidAMIID.NotFound" in str(refused.value)
    assert f"The image id '[{small_ami}]' does not exist" in str(refused.value)


def test_s49_the_copy_without_a_name_is_refused_by_the_client(
    record_server: Server, small_ami: str
) -> None:
    """As the tutorial has it: the API requires --name, so the line never leaves the client."""
    with pytest.raises(ClientError, match="--name"):
        record_server.aws(
            *("ec2", "copy-image", "--source-image-id", small_ami, "--source-region", EAST),
            *("--region", WEST),
            account=ACCOUNT,
        )


def test_s49_a_copied_image_is_launched_in_its_region(
    record_server: Server, west: Any, small_ami: str
) -> None:
    answer = record_server.aws(
        *("ec2", "copy-image", "--source-image-id", small_ami, "--source-region", EAST),
        *("--region", WEST, "--name", "s49"),
        account=ACCOUNT,
    )
    api.await_state(west, "image_available", ImageIds=[answer["ImageId"]])
    ran = record_server.aws(
        *("ec2", "run-instances", "--image-id", answer["ImageId"], "--region", WEST),
        *("--instance-type", "t3.micro"),
        account=ACCOUNT,
    )
    assert ran["Instances"][0]["Placement"]["AvailabilityZone"].startswith(WEST)


def test_s49_a_copy_has_an_id_and_snapshots_of_its_own(
    record_server: Server, east: Any, west: Any, small_ami: str
) -> None:
    image = copied(west, small_ami, "s49-own")
    source = api.image(east, small_ami)
    assert image["ImageId"] != small_ami
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (small_ami, EAST)
    snapshot_id = api.root_snapshot_id(image)
    assert snapshot_id != api.root_snapshot_id(source)
    (snapshot,) = west.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    assert (snapshot["State"], snapshot["Progress"]) == ("completed", "100%")
    assert api.refusal(east.describe_snapshots, SnapshotIds=[snapshot_id])
    here = chunks(record_server.state_dir / "chunks")
    there = chunks(record_server.state_dir / "regions" / WEST / "chunks")
    assert there, "the region has the bytes itself"
    assert all(here[name] == body for name, body in there.items()), "as they are stored"


def test_s49_launch_permissions_are_not_copied(
    record_server: Server, east: Any, west: Any, small_ami: str
) -> None:
    other = record_server.account(OTHER).account
    made = east.copy_image(Name="s49-shared", SourceImageId=small_ami, SourceRegion=EAST)
    api.await_state(east, "image_available", ImageIds=[made["ImageId"]])
    east.modify_image_attribute(
        ImageId=made["ImageId"], LaunchPermission={"Add": [{"UserId": other}]}
    )
    image = copied(west, made["ImageId"], "s49-unshared")
    told = west.describe_image_attribute(ImageId=image["ImageId"], Attribute="launchPermission")
    assert told["LaunchPermissions"] == []
    stranger = record_server.client(account=OTHER, region=WEST)
    code = api.refusal(stranger.describe_images, ImageIds=[image["ImageId"]])
    assert code == "InvalidAMIID.NotFound"


def test_s49_tags_are_copied_only_when_asked_for(east: Any, west: Any, small_ami: str) -> None:
    made = east.copy_image(
        Name="s49-tagged",
        SourceImageId=small_ami,
        SourceRegion=EAST,
        TagSpecifications=api.tagged(image={"Team": "os"}),
    )
    assert tags_of(copied(west, made["ImageId"], "s49-bare")) == {}
    both = api.tagged(image={"Stage": "new"}, snapshot={"Of": "copy"})
    image = copied(
        west, made["ImageId"], "s49-with-tags", CopyImageTags=True, TagSpecifications=both
    )
    assert tags_of(image) == {"Team": "os", "Stage": "new"}
    (snapshot,) = west.describe_snapshots(SnapshotIds=[api.root_snapshot_id(image)])["Snapshots"]
    assert tags_of(snapshot) == {"Of": "copy"}


def test_a_shared_image_is_copied_by_who_may_also_use_its_snapshots(
    record_server: Server, east: Any, small_ami: str
) -> None:
    other = record_server.account(OTHER).account
    permission = {"Add": [{"UserId": other}]}
    made = east.copy_image(Name="to-share", SourceImageId=small_ami, SourceRegion=EAST)
    api.await_state(east, "image_available", ImageIds=[made["ImageId"]])
    east.modify_image_attribute(ImageId=made["ImageId"], LaunchPermission=permission)
    theirs = record_server.client(account=OTHER, region=WEST)
    asked = {"Name": "mine-now", "SourceImageId": made["ImageId"], "SourceRegion": EAST}
    assert api.refusal(theirs.copy_image, **asked) == "InvalidRequest"
    snapshot_id = api.root_snapshot_id(api.image(east, made["ImageId"]))
    east.modify_snapshot_attribute(SnapshotId=snapshot_id, CreateVolumePermission=permission)
    image = copied(theirs, made["ImageId"], "mine-now")
    east.deregister_image(ImageId=made["ImageId"], DeleteAssociatedSnapshots=True)
    assert api.launch(theirs, image["ImageId"])["State"]["Name"] == "running"


def test_a_snapshot_is_copied_by_the_cli_with_what_it_adds_of_itself(
    record_server: Server, east: Any, west: Any, small_ami: str
) -> None:
    snapshot_id = api.root_snapshot_id(api.image(east, small_ami))
    answer = record_server.aws(
        *("ec2", "copy-snapshot", "--source-snapshot-id", snapshot_id, "--source-region", EAST),
        *("--region", WEST),
        account=ACCOUNT,
    )
    api.await_state(west, "snapshot_completed", SnapshotIds=[answer["SnapshotId"]])
    (snapshot,) = west.describe_snapshots(SnapshotIds=[answer["SnapshotId"]])["Snapshots"]
    assert snapshot["Description"] == "", "it is the console that says of what a copy is"


def test_every_region_s_store_is_verified(record_server: Server, west: Any, small_ami: str) -> None:
    copied(west, small_ami, "verified")
    said = subprocess.run(
        [BIN / "openami", "--state-dir", record_server.state_dir, "store", "verify"],
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    assert [line.partition(":")[0] for line in said.splitlines()] == [EAST, WEST]


@pytest.fixture
def guest_in_the_west(qemu_server: Server, tiny_ami: str) -> Generator[Tiny]:
    west = qemu_server.client(region=WEST)
    image = copied(west, tiny_ami, "tiny-in-the-west")
    guest = Tiny.launched(west, image["ImageId"])
    yield guest
    api.terminate(west, guest.instance_id)


@pytest.mark.boot
@pytest.mark.timeout(300)
def test_s49_a_guest_boots_from_the_copy(guest_in_the_west: Tiny) -> None:
    assert "tiny: READY" in guest_in_the_west.console()
