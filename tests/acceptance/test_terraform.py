"""Terraform with the AWS provider, unchanged: apply, a second plan that is empty, destroy.

The provider is not fetched: it must lie in a mirror of providers on this machine, as people keep
one for machines without a way out. `OPENAMI_TEST_TERRAFORM_PLUGINS` names it; without that it is
sought where Terraform itself looks, and under /opt.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.app import RealClock
from support import programs
from support.server import Server

pytestmark = pytest.mark.timeout(900)

STACK = Path(__file__).parent / "terraform.tf"
ACCOUNT = "terraform"
PROVIDER = "registry.terraform.io/hashicorp/aws"
NOWHERE = "http://127.0.0.1:9"  # the proxy for every other address: nothing gets out


def test_a_stack_is_applied_planned_anew_without_a_change_and_destroyed(
    record_server: Server, small_ami_of: Callable[[str], str], tmp_path: Path
) -> None:
    image_id = small_ami_of(ACCOUNT)
    stack = Stack(record_server, tmp_path, image_id)
    ec2 = record_server.client(account=ACCOUNT)
    before = everything(record_server)
    stack.run("apply", "-auto-approve")
    (kept,) = ec2.describe_images(Owners=["self"], Filters=[named("web-terraform-kept")])["Images"]
    friend = record_server.account("terraforms-friend").account
    shared = ec2.describe_image_attribute(ImageId=kept["ImageId"], Attribute="launchPermission")
    assert shared["LaunchPermissions"] == [{"UserId": friend}]
    assert {
        kind: len(ids) - len(before[kind]) for kind, ids in everything(record_server).items()
    } == {
        "images": 3,
        "snapshots": 4,
        "volumes": 3,
        "instances": 2,
        "templates": 1,
        "policies": 1,
        "rules": 1,
    }
    stack.run("plan", "-detailed-exitcode")  # which is 2, an error, if anything would change
    stack.run("destroy", "-auto-approve")
    assert everything(record_server) == before


class Stack:
    """A directory with the stack in it, and a Terraform that has the provider and no way out."""

    def __init__(self, server: Server, directory: Path, image_id: str) -> None:
        self.directory = directory
        settings = directory / "terraform.rc"
        settings.write_text(
            "provider_installation {\n"
            f"  filesystem_mirror {{ path = {json.dumps(str(mirror()))} }}\n"
            "}\n"
        )
        soon = RealClock().now() + timedelta(days=30)
        self.env = server.client_environment(ACCOUNT) | {
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            "TF_VAR_base_image_id": image_id,
            "TF_VAR_deprecation_time": soon.strftime("%Y-%m-%dT%H:%M:00Z"),
            "TF_VAR_friend": server.account("terraforms-friend").account,
            "HTTP_PROXY": NOWHERE,
            "HTTPS_PROXY": NOWHERE,
            "NO_PROXY": "127.0.0.1",
        }
        shutil.copy(STACK, directory / "main.tf")
        self.run("init")

    def run(self, verb: str, *options: str) -> None:
        command: list[str | Path] = ["terraform", verb, "-no-color", "-input=false", *options]
        programs.run(command, env=self.env, where=self.directory)


def everything(server: Server) -> dict[str, set[str]]:
    """What the account has, by kind."""
    ec2 = server.client(account=ACCOUNT)
    dlm = server.client("dlm", account=ACCOUNT)
    rbin = server.client("rbin", account=ACCOUNT)
    live = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}]
    reservations = ec2.describe_instances(Filters=live)["Reservations"]
    return {
        "images": _ids("ImageId", ec2.describe_images(Owners=["self"])["Images"]),
        "snapshots": _ids("SnapshotId", ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]),
        "volumes": _ids("VolumeId", ec2.describe_volumes()["Volumes"]),
        "instances": {i["InstanceId"] for each in reservations for i in each["Instances"]},
        "templates": _ids("LaunchTemplateId", ec2.describe_launch_templates()["LaunchTemplates"]),
        "policies": _ids("PolicyId", dlm.get_lifecycle_policies()["Policies"]),
        "rules": _ids("Identifier", rbin.list_rules(ResourceType="EC2_IMAGE")["Rules"]),
    }


def _ids(name: str, found: list[dict[str, Any]]) -> set[str]:
    return {each[name] for each in found}


def named(name: str) -> dict[str, Any]:
    return {"Name": "name", "Values": [name]}


def mirror() -> Path:
    """Where there is a mirror with the AWS provider in it; skips if there is none."""
    if shutil.which("terraform") is None:
        pytest.skip("there is no terraform on the PATH")
    for directory in _mirrors():
        if (directory / PROVIDER).is_dir():
            return directory
    pytest.skip(f"no mirror with {PROVIDER}: OPENAMI_TEST_TERRAFORM_PLUGINS can name one")


def _mirrors() -> Iterator[Path]:
    """https://developer.hashicorp.com/terraform/cli/config/config-file#implied-local-mirror-directories"""
    told = os.environ.get("OPENAMI_TEST_TERRAFORM_PLUGINS")
    if told:
        yield Path(told)
        return
    home = Path.home()
    yield home / ".terraform.d" / "plugins"
    yield home / ".local" / "share" / "terraform" / "plugins"
    yield from (Path(top) / "terraform" / "plugins" for top in ("/usr/local/share", "/usr/share"))
    yield from sorted(Path("/opt").glob("*"))
