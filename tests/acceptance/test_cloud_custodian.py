"""Cloud Custodian's policies, unchanged: what it finds, marks, shares and removes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import programs
from support.server import Server

pytestmark = pytest.mark.timeout(600)

REQUIREMENTS = ("c7n==0.9.53",)
ACCOUNT = "custodian"


def test_policies_of_images_and_snapshots_do_what_they_say(
    record_server: Server, small_ami_of: Callable[[str], str], tmp_path: Path
) -> None:
    image_id = small_ami_of(ACCOUNT)
    other = record_server.account("custodians-friend").account
    ec2 = record_server.client(account=ACCOUNT)
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    used = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    volume_id = _volume(ec2)
    unused = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    named = [{"type": "value", "key": "ImageId", "value": image_id}]
    matched = custodian(
        record_server,
        tmp_path,
        policy("mark", "aws.ami", named, {"type": "tag", "key": "Seen", "value": "yes"}),
        policy(
            "share",
            "aws.ami",
            named,
            {"type": "set-permissions", "add": [other]},
        ),
        policy(
            "sweep",
            "aws.ebs-snapshot",
            [{"type": "skip-ami-snapshots", "value": True}],
            {"type": "delete", "skip-ami-snapshots": True},
        ),
    )
    assert [each["ImageId"] for each in matched["mark"]] == [image_id]
    assert [each["SnapshotId"] for each in matched["sweep"]] == [unused]
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    assert {"Key": "Seen", "Value": "yes"} in image["Tags"]
    shared = ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert shared["LaunchPermissions"] == [{"UserId": other}]
    left = [each["SnapshotId"] for each in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]
    assert left == [used]
    gone = policy("retire", "aws.ami", named, {"type": "deregister", "delete-snapshots": True})
    custodian(record_server, tmp_path, gone)
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


def _volume(ec2: Any) -> str:
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    return ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]


def policy(
    name: str, resource: str, filters: list[dict[str, Any]], *actions: dict[str, Any]
) -> dict[str, Any]:
    return {"name": name, "resource": resource, "filters": filters, "actions": list(actions)}


def custodian(
    server: Server, directory: Path, *policies: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Policy → the resources that it matched."""
    bin_dir = programs.python_programs("custodian", *REQUIREMENTS)
    file = directory / "policies.json"
    file.write_text(json.dumps({"policies": list(policies)}))
    command: list[str | Path] = [bin_dir / "custodian", "run", "--cache-period", "0"]
    command += ["--output-dir", directory / "out", "--region", "us-east-1", file]
    programs.run(command, env=server.client_environment(ACCOUNT), where=directory)
    return {
        each["name"]: json.loads((directory / "out" / each["name"] / "resources.json").read_text())
        for each in policies
    }
