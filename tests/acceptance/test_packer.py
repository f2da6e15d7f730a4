"""Packer's amazon-ebs builder, unchanged: launch, log in, provision, stop, image, clean up."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.guest import Guest
from support.server import Server

pytestmark = [
    pytest.mark.boot,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        shutil.which("packer") is None, reason="the Debian package packer cannot be had here"
    ),
]


def test_packer_builds_an_image_over_ssh(
    qemu_server: Server, debian_ami: str, tmp_path: Path
) -> None:
    printed = run_packer(qemu_server, template(qemu_server, debian_ami), tmp_path)
    ec2 = qemu_server.client()
    (image,) = ec2.describe_images(Owners=["self"], Filters=[named("web-packer")])["Images"]
    assert image["ImageId"] in printed
    assert image["State"] == "available"
    assert {"Key": "Role", "Value": "web"} in image["Tags"]
    assert nothing_is_left(ec2), "Packer removes its key, its group and its instance"
    with Guest.launched(qemu_server, image["ImageId"]) as guest:
        assert guest.ssh("cat /etc/provisioned") == "built by packer"


def run_packer(server: Server, content: dict[str, Any], directory: Path) -> str:
    file = directory / "template.json"
    file.write_text(json.dumps(content))
    quiet = {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1", "HOME": str(directory)}
    soon = {"AWS_POLL_DELAY_SECONDS": "1", "AWS_MAX_ATTEMPTS": "600"}  # as long as by itself
    done = subprocess.run(
        ["packer", "build", str(file)],
        env=server.client_environment("default") | quiet | soon,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def template(server: Server, image_id: str) -> dict[str, Any]:
    keys = server.account("default")
    builder = {
        "type": "amazon-ebs",
        "access_key": keys.access_key_id,
        "secret_key": keys.secret_access_key,
        "region": "us-east-1",
        "custom_endpoint_ec2": server.url,
        "skip_metadata_api_check": True,
        "source_ami": image_id,
        "instance_type": "t3.micro",
        "ssh_username": "admin",
        "ssh_timeout": "10m",
        "ami_name": "web-packer",
        "tags": {"Role": "web"},
    }
    shell = {"type": "shell", "inline": ["echo built by packer | sudo tee /etc/provisioned"]}
    return {"builders": [builder], "provisioners": [shell]}


def named(name: str) -> dict[str, Any]:
    return {"Name": "name", "Values": [name]}


def nothing_is_left(ec2: Any) -> bool:
    reservations = ec2.describe_instances(Filters=[{"Name": "key-name", "Values": ["packer*"]}])
    states = {i["State"]["Name"] for r in reservations["Reservations"] for i in r["Instances"]}
    keys = ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": ["packer*"]}])["KeyPairs"]
    groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["packer*"]}])
    return states <= {"terminated"} and not keys and not groups["SecurityGroups"]
