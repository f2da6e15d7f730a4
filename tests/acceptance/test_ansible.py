"""Ansible's amazon.aws modules, unchanged: a playbook does its work once and then nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import programs
from support.server import Server

pytestmark = pytest.mark.timeout(900)

REQUIREMENTS = ("ansible==12.3.0", "boto3==1.44.5")
PLAYBOOK = Path(__file__).parent / "ansible_playbook.yml"


def test_a_playbook_changes_nothing_the_second_time(
    record_server: Server, small_ami_of: Any, tmp_path: Path
) -> None:
    image_id = small_ami_of("ansible")
    first = play(record_server, tmp_path, image_id)
    assert first["changed"] == 5
    second = play(record_server, tmp_path, image_id)
    assert second["changed"] == 0
    ec2 = record_server.client(account="ansible")
    (image,) = ec2.describe_images(Owners=["self"], Filters=[named("web-ansible")])["Images"]
    assert {"Key": "Role", "Value": "web"} in image["Tags"]
    play(record_server, tmp_path, image_id, "cleanup")
    assert ec2.describe_images(Owners=["self"], Filters=[named("web-ansible")])["Images"] == []


def play(server: Server, directory: Path, image_id: str, *tags: str) -> dict[str, int]:
    """What became of the tasks of the playbook's one host: "ok", "changed", "failures"…"""
    bin_dir = programs.python_programs("ansible", *REQUIREMENTS)
    env = server.client_environment("ansible") | {
        "PATH": f"{bin_dir}:/usr/bin:/bin",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": str(bin_dir / "python"),
    }
    command: list[str | Path] = [bin_dir / "ansible-playbook", PLAYBOOK]
    command += ["-e", f"image_id={image_id}", "--tags", ",".join(tags or ("all",))]
    printed = programs.run(command, env=env, where=directory)
    return json.loads(printed)["stats"]["localhost"]


def named(name: str) -> dict[str, Any]:
    return {"Name": "name", "Values": [name]}
