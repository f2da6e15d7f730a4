"""Many servers of one image, and images as versions (S-16, S-18, S-19, S-22, S-50, S-58)."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support import api
from support.server import ClientError, Server

ACCOUNT = "versions"


@pytest.fixture
def ec2(record_server: Server) -> Any:
    return record_server.client(account=ACCOUNT)


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of(ACCOUNT)


def test_s16_one_request_launches_many_servers(record_server: Server, small_ami: str) -> None:
    made = record_server.aws(
        *("ec2", "run-instances", "--image-id", small_ami, "--instance-type", "t3.micro"),
        *("--count", "2:10"),
        account=ACCOUNT,
    )
    assert [each["AmiLaunchIndex"] for each in made["Instances"]] == list(range(10))
    assert {each["State"]["Name"] for each in made["Instances"]} == {"pending"}
    assert len({each["InstanceId"] for each in made["Instances"]}) == 10
    assert len({each["PrivateIpAddress"] for each in made["Instances"]}) == 10
    ids = [each["InstanceId"] for each in made["Instances"]]
    record_server.aws("ec2", "wait", "instance-running", "--instance-ids", *ids, account=ACCOUNT)
    told = record_server.client(account=ACCOUNT).describe_instances(InstanceIds=ids)
    (reservation,) = told["Reservations"]
    assert reservation["ReservationId"] == made["ReservationId"]
    assert [each["AmiLaunchIndex"] for each in reservation["Instances"]] == list(range(10))


def test_s18_the_same_request_twice_is_one_launch(ec2: Any, small_ami: str) -> None:
    asked = {
        "ImageId": small_ami,
        "InstanceType": "t3.micro",
        "MinCount": 2,
        "MaxCount": 2,
        "ClientToken": "s18",
    }
    first, second = ec2.run_instances(**asked), ec2.run_instances(**asked)
    assert first["ReservationId"] == second["ReservationId"]
    ids = [[each["InstanceId"] for each in made["Instances"]] for made in (first, second)]
    assert ids[0] == ids[1]
    assert api.refusal(ec2.run_instances, **asked | {"MaxCount": 3}) == (
        "IdempotentParameterMismatch"
    )
    held = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["s18"]}])
    assert [len(each["Instances"]) for each in held["Reservations"]] == [2]


def test_s18_a_token_ends_with_the_instances_it_made(ec2: Any, small_ami: str) -> None:
    asked = {"MinCount": 1, "MaxCount": 1, "ClientToken": "s18-terminated"}
    made = api.launch(ec2, small_ami, **asked)
    api.terminate(ec2, made["InstanceId"])
    code = api.refusal(ec2.run_instances, ImageId=small_ami, InstanceType="t3.micro", **asked)
    assert code == "IdempotentInstanceTerminated"


def test_s19_no_request_changes_what_an_image_holds(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    source = api.launch(ec2, small_ami)
    made = api.create_image(ec2, source["InstanceId"], "s19")
    before = content_of(record_server, made), chunks_of(record_server)
    image_id = made["ImageId"]
    for attribute in ("blockDeviceMapping", "kernel", "ramdisk"):
        code = api.refusal(
            ec2.modify_image_attribute, ImageId=image_id, Attribute=attribute, Value="x"
        )
        assert code.startswith("InvalidParameter"), attribute
    ec2.modify_image_attribute(ImageId=image_id, Description={"Value": "changed"})
    ec2.create_tags(Resources=[image_id, api.root_snapshot_id(made)], Tags=api.tags({"a": "b"}))
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"Group": "all"}]})
    ec2.modify_image_attribute(ImageId=image_id, LaunchPermission={"Remove": [{"Group": "all"}]})
    other = api.launch(ec2, image_id)
    api.create_image(ec2, other["InstanceId"], "s19-child")
    api.stop(ec2, other["InstanceId"])
    api.terminate(ec2, other["InstanceId"], source["InstanceId"])
    assert content_of(record_server, made) == before[0]
    after = chunks_of(record_server)
    assert {name: after.get(name) for name in before[1]} == before[1]
    told = api.image(ec2, image_id)
    assert told["Description"] == "changed"
    for name in ("ImageId", "Name", "CreationDate", "BlockDeviceMappings", "RootDeviceName"):
        assert told[name] == made[name], name


def test_s22_versions_are_found_by_tag_and_date(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    source = api.launch(ec2, small_ami)
    made = [
        api.create_image(
            ec2, source["InstanceId"], f"s22 {n}", TagSpecifications=tagged_image(str(n % 2))
        )
        for n in range(3)
    ]
    dates = [each["CreationDate"] for each in made]
    assert dates == sorted(dates)
    newest = record_server.aws(
        *("ec2", "describe-images", "--owners", "self"),
        *("--filters", "Name=tag:Version,Values=0", "Name=name,Values=s22*"),
        *("--query", "sort_by(Images,&CreationDate)[-1]"),
        account=ACCOUNT,
    )
    assert newest["ImageId"] == made[2]["ImageId"]


def test_s22_a_name_is_one_image_s_in_an_account_and_region(
    record_server: Server, ec2: Any, small_ami_of: Callable[[str], str]
) -> None:
    source = api.launch(ec2, small_ami_of(ACCOUNT))
    first = api.create_image(ec2, source["InstanceId"], "s22-name")
    with pytest.raises(ClientError) as refused:
        record_server.aws(
            *("ec2", "create-image", "--instance-id", source["InstanceId"], "--name", "s22-name"),
            account=ACCOUNT,
        )
    assert refused.value.code == "InvalidAMIName.Duplicate"
    assert first["ImageId"] in refused.value.text
    elsewhere = record_server.client(account="versions-too")
    other = api.launch(elsewhere, small_ami_of("versions-too"))
    api.create_image(elsewhere, other["InstanceId"], "s22-name")
    ec2.deregister_image(ImageId=first["ImageId"])
    api.create_image(ec2, source["InstanceId"], "s22-name")


def test_s50_an_image_is_changed_by_making_another(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    """The tutorial's pitfall 2: no edit in place; launch, change, and make a new image."""
    source = api.launch(ec2, small_ami)
    first = api.create_image(ec2, source["InstanceId"], "s50 1")
    with pytest.raises(ClientError) as refused:
        record_server.aws(
            *("ec2", "modify-image-attribute", "--image-id", first["ImageId"]),
            *("--attribute", "blockDeviceMapping", "--value", "/dev/sda1=snap-12345678"),
            account=ACCOUNT,
        )
    assert refused.value.code == "InvalidParameter"
    edited = api.launch(ec2, first["ImageId"])
    second = api.create_image(ec2, edited["InstanceId"], "s50 2")
    assert second["SourceImageId"] == first["ImageId"]
    assert second["SourceInstanceId"] == edited["InstanceId"]
    assert second["SourceImageRegion"] == "us-east-1"
    assert api.image(ec2, first["ImageId"]) == first


def test_s58_an_image_and_its_snapshots_are_tagged_as_they_are_made(
    record_server: Server, ec2: Any, small_ami: str
) -> None:
    source = api.launch(ec2, small_ami)
    made = record_server.aws(
        *("ec2", "create-image", "--instance-id", source["InstanceId"], "--name", "s58"),
        "--tag-specifications",
        "ResourceType=image,Tags=[{Key=Version,Value=7},{Key=Stage,Value=prod}]",
        "ResourceType=snapshot,Tags=[{Key=Of,Value=s58}]",
        account=ACCOUNT,
    )
    api.await_state(ec2, "image_available", ImageIds=[made["ImageId"]])
    told = api.image(ec2, made["ImageId"])
    assert sorted(told["Tags"], key=str) == sorted(
        api.tags({"Version": "7", "Stage": "prod"}), key=str
    )
    of_snapshot = ec2.describe_tags(
        Filters=[{"Name": "resource-id", "Values": [api.root_snapshot_id(told)]}]
    )
    (tag,) = of_snapshot["Tags"]
    assert (tag["ResourceType"], tag["Key"], tag["Value"]) == ("snapshot", "Of", "s58")


def tagged_image(version: str) -> list[dict[str, Any]]:
    return api.tagged(image={"Version": version})


def content_of(server: Server, image: dict[str, Any]) -> list[tuple[str, str]]:
    """Snapshot → the digest of its content, as the server has them on record."""
    ids = [each["Ebs"]["SnapshotId"] for each in image["BlockDeviceMappings"] if "Ebs" in each]
    with closing(
        sqlite3.connect(f"file:{server.state_dir}/catalog.sqlite?mode=ro", uri=True)
    ) as db:
        marks = ", ".join("?" * len(ids))
        rows = db.execute(f"SELECT id, root FROM snapshot WHERE id IN ({marks}) ORDER BY id", ids)
        return list(rows)


def chunks_of(server: Server) -> dict[str, str]:
    """Each stored chunk and the SHA-256 of the file that holds it."""
    stored = [path for path in (server.state_dir / "chunks").rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in stored}
