"""The SDK for JavaScript reads of every answer what boto3 reads: it has a parser of its own."""

import json
import subprocess
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser

from openami.ec2.operations import OPERATIONS
from support import programs
from support.server import Server
from support.world import MINE, World

pytestmark = pytest.mark.timeout(900)

PACKAGE = "@aws-sdk/client-ec2@3.1169.0"
PROGRAM = Path(__file__).parent / "javascript_sdk.mjs"
EC2 = botocore.session.get_session().get_service_model("ec2")
ACCOUNT = "javascript"

Call = Callable[..., Any]
"""call(operation, **input) → the output, once both SDKs agree on it."""


def test_it_reads_every_answer_of_the_demo(
    record_server: Server, small_ami_of: Callable[[str], str]
) -> None:
    image_id = small_ami_of(ACCOUNT)
    with calling(record_server, ACCOUNT) as call:
        assert call("DescribeImages", ImageIds=[image_id])["Images"][0]["ImageId"] == image_id
        key = call("CreateKeyPair", KeyName="demo", KeyType="ed25519")
        assert "PRIVATE KEY" in key["KeyMaterial"]
        ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
        everybody = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        call("AuthorizeSecurityGroupIngress", GroupName="default", IpPermissions=[ssh | everybody])
        launched = call(
            "RunInstances",
            ImageId=image_id,
            InstanceType="t2.micro",
            KeyName="demo",
            MinCount=3,
            MaxCount=3,
            UserData="aGVsbG8=",
        )
        servers = [instance["InstanceId"] for instance in launched["Instances"]]
        call("DescribeInstances", InstanceIds=servers)
        version = [{"Key": "Version", "Value": "2"}]
        changed_id = call(
            "CreateImage",
            InstanceId=servers[0],
            Name="debian-12-changed",
            NoReboot=True,
            TagSpecifications=[
                {"ResourceType": kind, "Tags": version} for kind in ("image", "snapshot")
            ],
        )["ImageId"]
        (changed,) = call("DescribeImages", ImageIds=[changed_id])["Images"]
        assert changed["Tags"] == version
        call("TerminateInstances", InstanceIds=servers)
        call("DescribeInstances")


def test_it_reads_whatever_can_be_asked_without_saying_more(world: World) -> None:
    """The world has something of everything, so that hardly an answer is empty."""
    with calling(world.server, MINE) as call:
        for operation in sorted(OPERATIONS):
            needed = EC2.operation_model(operation).input_shape.required_members
            if operation.startswith(("Describe", "Get", "List")) and not needed:
                call(operation)


def test_it_reads_refusals(world: World) -> None:
    with calling(world.server, MINE) as call:
        assert call("DescribeImages", ImageIds=["ami-00000000"]) == "InvalidAMIID.NotFound"
        assert call("DescribeImages", DryRun=True) == "DryRunOperation"


@contextmanager
def calling(server: Server, account: str) -> Generator[Call]:
    """What makes calls with the SDK for JavaScript, and holds them against botocore's parser."""
    process = subprocess.Popen(
        ["node", PROGRAM],
        env=server.client_environment(account),
        cwd=programs.node_modules("aws-sdk-js", PACKAGE),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def call(operation: str, **request: Any) -> Any:
        print(
            json.dumps({"operation": operation, "input": request}), file=process.stdin, flush=True
        )
        answer = json.loads(process.stdout.readline())
        expected = _parsed(operation, answer["status"], answer["body"])
        if "error" in answer:
            assert answer["error"] == expected["Error"]["Code"], answer
            return answer["error"]
        assert answer["output"] == expected, operation
        return answer["output"]

    with process:
        yield call


def _parsed(operation: str, status: int, body: str) -> Any:
    """What botocore, which boto3 and the aws CLI stand on, makes of an answer."""
    raw = {"status_code": status, "headers": {}, "body": body.encode()}
    found = create_parser("ec2").parse(raw, EC2.operation_model(operation).output_shape)
    return _plain({name: each for name, each in found.items() if name != "ResponseMetadata"})


def _plain(value: Any) -> Any:
    """As JSON has it, and as JavaScript writes its dates."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
