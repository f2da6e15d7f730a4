"""Who sees and launches an image, and where it is (S-31, S-46, S-48)."""

from collections.abc import Callable
from typing import Any

import pytest

from support import api
from support.server import ClientError, Server


@pytest.fixture
def mine(record_server: Server) -> Any:
    return record_server.client(account="private-a")


@pytest.fixture
def theirs(record_server: Server) -> Any:
    return record_server.client(account="private-b")


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of("private-a")


@pytest.fixture
def my_image(mine: Any, small_ami: str, request: pytest.FixtureRequest) -> str:
    """A fresh image of the account private-a."""
    source = api.launch(mine, small_ami)
    return str(api.create_image(mine, source["InstanceId"], request.node.name[:100])["ImageId"])


def test_s31_another_account_can_neither_see_nor_launch_a_private_image(
    theirs: Any, my_image: str
) -> None:
    assert api.refusal(theirs.describe_images, ImageIds=[my_image]) == "InvalidAMIID.NotFound"
    assert api.refusal(api.launch, theirs, my_image) == "InvalidAMIID.NotFound"


def test_s31_a_stranger_s_refusal_is_that_of_an_image_that_never_was(
    theirs: Any, my_image: str
) -> None:
    never = "ami-0123456789abcdef0"
    told = [
        words_of_refusal(theirs, image_id).replace(image_id, "") for image_id in (my_image, never)
    ]
    assert told[0] == told[1]


def test_s31_another_account_cannot_see_or_use_the_snapshot_of_a_private_image(
    mine: Any, theirs: Any, my_image: str
) -> None:
    snapshot_id = api.root_snapshot_id(api.image(mine, my_image))
    code = api.refusal(theirs.describe_snapshots, SnapshotIds=[snapshot_id])
    assert code == "InvalidSnapshot.NotFound"
    code = api.refusal(theirs.create_volume, AvailabilityZone="us-east-1a", SnapshotId=snapshot_id)
    assert code == "InvalidSnapshot.NotFound"


def test_s31_another_account_can_change_nothing_of_a_private_image(
    theirs: Any, my_image: str
) -> None:
    code = api.refusal(theirs.modify_image_attribute, ImageId=my_image, Description={"Value": "x"})
    assert code == "InvalidAMIID.NotFound"
    assert api.refusal(theirs.deregister_image, ImageId=my_image) == "InvalidAMIID.NotFound"


def test_s31_accounts_do_not_see_each_other_s_instances_and_volumes(
    mine: Any, theirs: Any, small_ami: str
) -> None:
    launched = api.launch(mine, small_ami)
    code = api.refusal(theirs.describe_instances, InstanceIds=[launched["InstanceId"]])
    assert code == "InvalidInstanceID.NotFound"
    code = api.refusal(theirs.terminate_instances, InstanceIds=[launched["InstanceId"]])
    assert code == "InvalidInstanceID.NotFound"
    code = api.refusal(theirs.describe_volumes, VolumeIds=[api.root_volume_id(launched)])
    assert code == "InvalidVolume.NotFound"
    assert api.instance(mine, launched["InstanceId"])["State"]["Name"] == "running"


def test_s46_a_fresh_image_is_in_nobody_else_s_list(mine: Any, theirs: Any, my_image: str) -> None:
    def listed(ec2: Any) -> set[str]:
        return {each["ImageId"] for each in ec2.describe_images()["Images"]}

    assert my_image in listed(mine)
    assert my_image not in listed(theirs)
    ids = theirs.describe_images(Owners=[api.image(mine, my_image)["OwnerId"]])["Images"]
    assert ids == []


def test_s48_an_image_of_one_region_is_unknown_in_another(
    record_server: Server, my_image: str
) -> None:
    """The tutorial's pitfall 1, word by word."""
    with pytest.raises(ClientError) as refused:
        record_server.aws(
            *("ec2", "run-instances", "--image-id", my_image, "--region", "us-west-2"),
            account="private-a",
        )
    assert refused.value.code == "InvalidAMIID.NotFound"
    assert f"The image id '[{my_image}]' does not exist" in refused.value.text


def words_of_refusal(ec2: Any, image_id: str) -> str:
    with pytest.raises(ec2.exceptions.ClientError) as refused:
        ec2.run_instances(ImageId=image_id, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    return str(refused.value.response["Error"])
