"""What clients are built on: waiters, pages, presigned URLs, dry runs, and restarts."""

import shutil
import tempfile
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.model import OperationModel

from openami.catalog import images
from openami.catalog.catalog import Catalog
from openami.domain.ids import ImageId
from openami.ec2.operations import OPERATIONS
from support import api, raw
from support.access import TABLES
from support.access.row import MAY
from support.server import SESSION, ClientError, Server, serving
from support.world import MINE, World


@pytest.fixture
def ec2(record_server: Server) -> Any:
    return record_server.client(account="clients")


@pytest.fixture
def small_ami(small_ami_of: Callable[[str], str]) -> str:
    return small_ami_of("clients")


def waited(ec2: Any, waiter: str, **which: Any) -> bool:
    """Whether botocore's own waiter, as it comes, was content with its first look."""
    looks: list[str] = []

    def count(model: OperationModel, **_: Any) -> None:
        looks.append(model.name)

    ec2.meta.events.register("before-call.ec2", count)
    ec2.get_waiter(waiter).wait(**which)
    ec2.meta.events.unregister("before-call.ec2", count)
    return len(looks) == 1


def test_waiters_need_one_look(ec2: Any, small_ami: str) -> None:
    reservation = ec2.run_instances(
        ImageId=small_ami, InstanceType="t3.micro", MinCount=1, MaxCount=1
    )
    which = {"InstanceIds": [reservation["Instances"][0]["InstanceId"]]}
    instance_id = which["InstanceIds"][0]
    assert waited(ec2, "instance_exists", **which)
    assert waited(ec2, "instance_running", **which)
    assert waited(ec2, "instance_status_ok", **which)
    assert waited(ec2, "system_status_ok", **which)
    volume_id = ec2.create_volume(
        AvailabilityZone=api.instance(ec2, instance_id)["Placement"]["AvailabilityZone"], Size=1
    )["VolumeId"]
    assert waited(ec2, "volume_available", VolumeIds=[volume_id])
    ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    assert waited(ec2, "volume_in_use", VolumeIds=[volume_id])
    snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    assert waited(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    image_id = ec2.create_image(InstanceId=instance_id, Name="waited for")["ImageId"]
    assert waited(ec2, "image_exists", ImageIds=[image_id])
    assert waited(ec2, "image_available", ImageIds=[image_id])
    ec2.detach_volume(VolumeId=volume_id)
    assert waited(ec2, "volume_available", VolumeIds=[volume_id])
    ec2.delete_volume(VolumeId=volume_id)
    assert waited(ec2, "volume_deleted", VolumeIds=[volume_id])
    ec2.stop_instances(**which)
    assert waited(ec2, "instance_stopped", **which)
    ec2.start_instances(**which)
    assert waited(ec2, "instance_running", **which)
    ec2.terminate_instances(**which)
    assert waited(ec2, "instance_terminated", **which)


def test_waiters_for_keys_and_groups_need_one_look(ec2: Any) -> None:
    ec2.create_key_pair(KeyName="waited", KeyType="ed25519")
    assert waited(ec2, "key_pair_exists", KeyNames=["waited"])
    group_id = ec2.create_security_group(GroupName="waited", Description="x")["GroupId"]
    assert waited(ec2, "security_group_exists", GroupIds=[group_id])


LISTED = {
    "describe_images": ("Images", "ImageId", {"Owners": ["self"]}),
    "describe_snapshots": ("Snapshots", "SnapshotId", {"OwnerIds": ["self"]}),
    "describe_volumes": ("Volumes", "VolumeId", {}),
    "describe_instances": ("Reservations", "ReservationId", {}),
    "describe_instance_status": ("InstanceStatuses", "InstanceId", {}),
    "describe_security_groups": ("SecurityGroups", "GroupId", {}),
    "describe_tags": ("Tags", "ResourceId", {}),
    "describe_network_interfaces": ("NetworkInterfaces", "NetworkInterfaceId", {}),
    "describe_instance_types": ("InstanceTypes", "InstanceType", {}),
}
MANY = 12


@pytest.fixture(scope="module")
def many(record_server: Server, small_ami_of: Callable[[str], str]) -> Any:
    """A client of an account that has a dozen of everything."""
    ec2 = record_server.client(account="pages")
    image_id = small_ami_of("pages")
    volume_id = ""
    for number in range(MANY):
        launched = ec2.run_instances(
            ImageId=image_id, InstanceType="t3.micro", MinCount=1, MaxCount=1
        )["Instances"][0]["InstanceId"]
        volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
        api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
        snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
        api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
        root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}
        ec2.register_image(
            Name=f"page {number}", RootDeviceName="/dev/xvda", BlockDeviceMappings=[root]
        )
        ec2.create_security_group(GroupName=f"page {number}", Description="x")
        ec2.create_tags(Resources=[launched], Tags=api.tags({"number": str(number)}))
        api.await_state(ec2, "instance_running", InstanceIds=[launched])
    return ec2


@pytest.mark.parametrize("operation", LISTED)
def test_pages_are_the_whole_list_once(many: Any, operation: str) -> None:
    member, key, asked = LISTED[operation]
    whole = [each[key] for each in getattr(many, operation)(**asked)[member]]
    pages = list(many.get_paginator(operation).paginate(**asked, PaginationConfig={"PageSize": 5}))
    paged = [each[key] for page in pages for each in page[member]]
    assert len(whole) >= MANY
    assert len(pages) >= 3
    assert all(len(page[member]) <= 5 for page in pages)
    assert sorted(paged) == sorted(whole)


def test_the_cli_turns_pages_by_itself(many: Any, record_server: Server) -> None:
    told = record_server.aws(
        *("ec2", "describe-volumes", "--page-size", "5", "--query", "Volumes[].VolumeId"),
        account="pages",
    )
    assert sorted(told) == sorted(each["VolumeId"] for each in many.describe_volumes()["Volumes"])


def test_a_presigned_url_answers_whoever_holds_it(ec2: Any, small_ami: str) -> None:
    url = ec2.generate_presigned_url(
        "describe_images", Params={"ImageIds": [small_ami]}, HttpMethod="GET"
    )
    with urllib.request.urlopen(url, timeout=30) as answer:
        root = ElementTree.fromstring(answer.read())
    (found,) = [each.text for each in root.iter() if each.tag.endswith("}imageId")]
    assert found == small_ami


def test_an_action_that_openami_lacks_is_refused_in_xml(record_server: Server) -> None:
    with pytest.raises(ClientError) as refused:
        record_server.aws("ec2", "describe-spot-price-history")
    assert refused.value.code == "InvalidAction"


def test_an_account_knows_itself(record_server: Server) -> None:
    told = record_server.client("sts", "clients").get_caller_identity()
    assert told["Account"] == record_server.account("clients").account
    assert told["Arn"].startswith(f"arn:aws:iam::{told['Account']}:")


_ROOT = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "{snapshot}"}}
_RULE = {"GroupId": "{group}", "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
_RULE_80 = _RULE | {"CidrIp": "10.0.0.0/8"}
_PERMISSION_80 = {
    "IpProtocol": "tcp",
    "FromPort": 80,
    "ToPort": 80,
    "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
}
_ANY = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}

# For each operation that changes something, a request that would.
WOULD_CHANGE: dict[str, dict[str, Any]] = {
    "RunInstances": {
        "ImageId": "{image}",
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 2,
        "ClientToken": "dry",
    },
    "StartInstances": {"InstanceIds": ["{stopped}"]},
    "StopInstances": {"InstanceIds": ["{running}"]},
    "RebootInstances": {"InstanceIds": ["{running}"]},
    "TerminateInstances": {"InstanceIds": ["{running}"]},
    "ModifyInstanceAttribute": {
        "InstanceId": "{stopped}",
        "InstanceType": {"Value": "t3.small"},
    },
    "ModifyInstanceMetadataOptions": {"InstanceId": "{running}", "HttpTokens": "required"},
    "CreateImage": {"InstanceId": "{running}", "Name": "dry"},
    "RegisterImage": {
        "Name": "dry",
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [_ROOT],
    },
    "DeregisterImage": {"ImageId": "{image}"},
    "ModifyImageAttribute": {
        "ImageId": "{image}",
        "LaunchPermission": {"Add": [{"Group": "all"}]},
    },
    "ResetImageAttribute": {"ImageId": "{image}", "Attribute": "launchPermission"},
    "CreateSnapshot": {"VolumeId": "{volume}"},
    "DeleteSnapshot": {"SnapshotId": "{free_snapshot}"},
    "CreateVolume": {"AvailabilityZone": "us-east-1a", "Size": 1},
    "DeleteVolume": {"VolumeId": "{volume}"},
    "AttachVolume": {
        "VolumeId": "{volume}",
        "InstanceId": "{running}",
        "Device": "/dev/sdx",
    },
    "DetachVolume": {"VolumeId": "{attached_data}"},
    "CreateTags": {"Resources": ["{volume}"], "Tags": [{"Key": "a", "Value": "b"}]},
    "DeleteTags": {"Resources": ["{volume}"], "Tags": [{"Key": "one"}]},
    **{
        f"{verb}{noun}BlockPublicAccess": {"State": state} if verb == "Enable" else {}
        for noun, state in (("Image", "block-new-sharing"), ("Snapshot", "block-all-sharing"))
        for verb in ("Enable", "Disable")
    }
    | {"EnableImageBlockPublicAccess": {"ImageBlockPublicAccessState": "block-new-sharing"}},
    "EnableAllowedImagesSettings": {"AllowedImagesSettingsState": "enabled"},
    "DisableAllowedImagesSettings": {},
    "ReplaceImageCriteriaInAllowedImagesSettings": {
        "ImageCriteria": [{"ImageProviders": ["amazon"]}]
    },
    "ModifyInstanceMetadataDefaults": {"HttpTokens": "required"},
    "EnableSerialConsoleAccess": {},
    "CreateInstanceEventWindow": {"CronExpression": "* 0-4 * * *"},
    **{
        f"{verb}InstanceEventNotificationAttributes": {
            "InstanceTagAttribute": {"InstanceTagKeys": ["tier"]}
        }
        for verb in ("Register", "Deregister")
    },
    "DisableSerialConsoleAccess": {},
    "CreateLaunchTemplate": {
        "LaunchTemplateName": "dry",
        "LaunchTemplateData": {"ImageId": "{image}"},
    },
    **{
        f"{verb}FastSnapshotRestores": {
            "SourceSnapshotIds": ["{snapshot}"],
            "AvailabilityZones": ["us-east-1a"],
        }
        for verb in ("Enable", "Disable")
    },
    "RestoreSnapshotTier": {"SnapshotId": "{archived_snapshot}", "PermanentRestore": True},
    "UnlockSnapshot": {"SnapshotId": "{locked_snapshot}"},
    "CreateKeyPair": {"KeyName": "dry", "KeyType": "ed25519"},
    "ImportKeyPair": {"KeyName": "dry", "PublicKeyMaterial": b"{public_key}"},
    "DeleteKeyPair": {"KeyName": "bad-key"},
    "CreateSecurityGroup": {"GroupName": "dry", "Description": "dry"},
    "DeleteSecurityGroup": {"GroupId": "{free_group}"},
    "AuthorizeSecurityGroupIngress": _RULE_80,
    "AuthorizeSecurityGroupEgress": {"GroupId": "{group}", "IpPermissions": [_PERMISSION_80]},
    "RevokeSecurityGroupIngress": _RULE_80 | {"FromPort": 22, "ToPort": 22},
    "RevokeSecurityGroupEgress": {"GroupId": "{group}", "IpPermissions": [_ANY]},
}
# Which would only change what is under way: their dry runs are in tests/workflows.
OF_WORK_UNDER_WAY = {"CancelImportTask"}
READING = ("Describe", "Get", "List", "Confirm")
_EC2 = SESSION.client("ec2", region_name="us-east-1").meta.service_model


def test_every_operation_that_changes_something_has_its_dry_run_here() -> None:
    """Or in the tables of who may do what, where whoever may is asked by a dry run."""
    changing = {
        name
        for name in OPERATIONS
        if not name.startswith(READING)
        and "DryRun" in _EC2.operation_model(name).input_shape.members
    }
    asked = {row.operation for rows in TABLES.values() for row in rows if MAY in row.outcomes}
    assert changing - asked - OF_WORK_UNDER_WAY <= set(WOULD_CHANGE) <= changing


@pytest.mark.parametrize("operation", sorted(WOULD_CHANGE))
def test_a_dry_run_says_that_it_would_and_does_not(unchanged: World, operation: str) -> None:
    reply = dry_run(unchanged, operation, WOULD_CHANGE[operation])
    assert (reply.status, reply.code) == (412, "DryRunOperation"), reply
    assert reply.message == "Request would have succeeded, but DryRun flag is set."


@pytest.mark.parametrize(
    "operation", sorted(name for name in OPERATIONS if name.startswith(READING))
)
def test_a_dry_run_of_a_listing_lists_nothing(unchanged: World, operation: str) -> None:
    input_shape = _EC2.operation_model(operation).input_shape
    required = {
        name: READ_REQUIRED.get(name, "{running}") for name in input_shape.required_members
    } | READ_BY_OPERATION.get(operation, {})
    reply = dry_run(unchanged, operation, required)
    if operation == "GetConsoleScreenshot":
        assert reply.code == "Unavailable", "a record has no screen"
    elif "DryRun" in input_shape.members:
        assert (reply.status, reply.code) == (412, "DryRunOperation"), reply
    else:
        assert (reply.status, reply.code) == (400, "UnknownParameter"), reply


READ_REQUIRED = {"ImageId": "{image}", "VolumeId": "{volume}", "VpcId": "{vpc}"}
READ_BY_OPERATION = {
    "DescribeImageAttribute": {"Attribute": "description"},
    "DescribeInstanceAttribute": {"Attribute": "instanceType"},
    "DescribeVolumeAttribute": {"Attribute": "autoEnableIO"},
    "DescribeVpcAttribute": {"Attribute": "enableDnsSupport"},
    "DescribeSnapshotAttribute": {
        "SnapshotId": "{snapshot}",
        "Attribute": "createVolumePermission",
    },
    "DescribeLaunchTemplateVersions": {"Versions": ["$Latest"]},
    "DescribeImageReferences": {"ImageIds": ["{image}"], "IncludeAllResourceTypes": "true"},
    "GetInstanceTypesFromInstanceRequirements": {
        "ArchitectureTypes": ["x86_64"],
        "VirtualizationTypes": ["hvm"],
        "InstanceRequirements": {"VCpuCount": {"Min": 0}, "MemoryMiB": {"Min": 0}},
    },
    "DescribeNetworkInterfaceAttribute": {
        "NetworkInterfaceId": "{interface}",
        "Attribute": "description",
    },
}


def dry_run(world: World, operation: str, asked: dict[str, Any]) -> raw.Reply:
    form = raw.form_of(operation, world.filled(asked)) | {"DryRun": "true"}
    return raw.send(raw.signed(world.server, world.server.account(MINE), form))


def test_a_dry_run_of_what_would_be_refused_is_refused(unchanged: World) -> None:
    reply = dry_run(unchanged, "TerminateInstances", {"InstanceIds": ["{protected}"]})
    assert reply.code == "OperationNotPermitted"


@pytest.fixture
def mortal(small_disk: Path) -> Generator[Server]:
    """A server of its own, which a test may kill."""
    directory = Path(tempfile.mkdtemp(prefix="openami-mortal-"))
    directory.chmod(0o711)
    try:
        with serving(directory / "state", "record") as server:
            server.openami("image", "import", str(small_disk), "--name", "small")
            yield server
    finally:
        shutil.rmtree(directory)


def everything(server: Server) -> dict[str, Any]:
    ec2 = server.client()
    return {
        "images": ec2.describe_images(Owners=["self"])["Images"],
        "snapshots": ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"],
        "volumes": ec2.describe_volumes()["Volumes"],
        "instances": ec2.describe_instances()["Reservations"],
        "groups": ec2.describe_security_groups()["SecurityGroups"],
        "keys": ec2.describe_key_pairs()["KeyPairs"],
        "tags": ec2.describe_tags()["Tags"],
        "subnets": ec2.describe_subnets()["Subnets"],
    }


def test_s45_a_server_comes_back_as_it_was(mortal: Server) -> None:
    ec2 = mortal.client()
    (small,) = ec2.describe_images(Owners=["self"])["Images"]
    running = api.launch(ec2, small["ImageId"], TagSpecifications=api.tagged(instance={"a": "b"}))
    stopped = api.launch(ec2, small["ImageId"])
    api.stop(ec2, stopped["InstanceId"])
    api.create_image(ec2, running["InstanceId"], "kept")
    ec2.create_key_pair(KeyName="kept", KeyType="ed25519")
    before = everything(mortal)
    mortal.stop()
    mortal.start()
    assert everything(mortal) == before
    mortal.kill()
    mortal.start()
    assert everything(mortal) == before
    api.start(ec2, stopped["InstanceId"])
    api.terminate(ec2, running["InstanceId"], stopped["InstanceId"])


def test_s45_no_available_image_is_lost_by_a_kill(mortal: Server) -> None:
    """The server dies as soon as an image was promised; five times over."""
    ec2 = mortal.client()
    (small,) = ec2.describe_images(Owners=["self"])["Images"]
    source = api.launch(ec2, small["ImageId"])["InstanceId"]
    promised = [small["ImageId"]]
    for number in range(5):
        promised.append(ec2.create_image(InstanceId=source, Name=f"n {number}")["ImageId"])
        mortal.kill()
        mortal.start()
    api.await_state(ec2, "image_available", ImageIds=promised)
    for image_id in promised:
        api.launch(ec2, image_id)
    verified = mortal.openami("store", "verify")
    assert verified.returncode == 0, verified.stdout


def test_an_answer_unlike_the_model_is_noticed_whoever_asks(mortal: Server) -> None:
    """The check that all answers of this suite go through can fail; a kill takes nothing of it."""
    (small,) = mortal.client().describe_images(Owners=["self"])["Images"]
    mortal.stop()
    catalog = Catalog.open(mortal.state_dir / "catalog.sqlite")
    with closing(catalog), catalog.begin() as tx:
        image = images.fetch_any(tx, ImageId(small["ImageId"]))
        assert image is not None
        images.save(tx, replace(image, architecture="abacus"))
    mortal.start()
    mortal.aws("ec2", "describe-images", "--owners", "self")
    mortal.kill()
    mortal.start()
    with pytest.raises(AssertionError) as noticed:
        mortal.check_answers()
    assert "ec2 DescribeImages, asked by aws-cli" in str(noticed.value)
    assert "imagesSet.architecture is 'abacus' and not one of i386" in str(noticed.value)
