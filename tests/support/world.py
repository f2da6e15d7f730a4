"""A server with something of everything, by names that tables of requests call it by."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support import api
from support.server import Server

MINE, THEIRS = "world-a", "world-b"


@dataclass(frozen=True, kw_only=True)
class World:
    """A server, and what the rows call by name. `seen` is what it held when last looked at."""

    server: Server
    names: Mapping[str, str]
    seen: dict[str, Any] = field(default_factory=dict)

    def filled(self, value: Any) -> Any:
        """The value with "{name}" replaced wherever it is a whole text."""
        if isinstance(value, Mapping):
            return {key: self.filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if isinstance(value, bytes) and value.startswith(b"{"):
            return self.names[value.decode()[1:-1]].encode()
        if isinstance(value, str) and value.startswith("{"):
            return self.names[value[1:-1]]
        return value

    def changes(self) -> dict[str, Any]:
        """What is another than it was when last looked at, as it is now."""
        held = self.held()
        changed = {name: rows for name, rows in held.items() if rows != self.seen.get(name)}
        self.seen.update(held)
        return changed

    def held(self) -> dict[str, Any]:
        """All that the server knows of all accounts, and all that lies in its directory."""
        held: dict[str, Any] = {"files": sorted(self._files())}
        catalog = f"file:{self.server.state_dir}/catalog.sqlite?mode=ro"
        with closing(sqlite3.connect(catalog, uri=True)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                held[table] = database.execute(f'SELECT * FROM "{table}"').fetchall()
        return held

    def _files(self) -> Iterator[str]:
        for name in ("chunks", "regions", "volumes", "instances", "scratch"):
            for directory, _, files in os.walk(self.server.state_dir / name):
                yield directory
                yield from (f"{directory}/{file}" for file in files)


def populated(server: Server, my_image: str, their_image: str) -> World:
    """The world of the accounts MINE and THEIRS, each with an image that machines launch from."""
    mine, theirs = server.client(account=MINE), server.client(account=THEIRS)
    names = {
        **_images(mine),
        **_network(mine),
        **_instances(mine, my_image),
        **_templates(mine, my_image),
        **_foreign(theirs, their_image),
        **_buckets(server),
    }
    mine.create_volume(AvailabilityZone="us-east-1a", Size=1, ClientToken="used")
    mine.create_tags(Resources=[names["volume"]], Tags=api.tags({"one": "1"}))
    made = World(server=server, names=names | {"used_token": "used"})
    made.changes()
    return made


def _buckets(server: Server) -> dict[str, str]:
    """One here with an object of no kind, one elsewhere, and one of the other account."""
    mine, theirs = server.client("s3", account=MINE), server.client("s3", account=THEIRS)
    west = {"LocationConstraint": "us-west-2"}
    mine.create_bucket(Bucket="world-here")
    mine.create_bucket(Bucket="world-west", CreateBucketConfiguration=west)
    theirs.create_bucket(Bucket="world-theirs")
    mine.put_object(Bucket="world-here", Key="no-image", Body=b"x" * 100)
    return {"bucket": "world-here", "west_bucket": "world-west", "foreign_bucket": "world-theirs"}


def _images(ec2: Any) -> dict[str, str]:
    blank = ec2.create_volume(AvailabilityZone="us-east-1a", Size=2)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[blank])
    snapshot, spare, locked, archived = (_snapshot(ec2, blank) for _ in range(4))
    gone = registered(ec2, snapshot, "gone")
    ec2.deregister_image(ImageId=gone)
    ec2.lock_snapshot(SnapshotId=locked, LockMode="governance", LockDuration=1)
    ec2.modify_snapshot_tier(SnapshotId=archived, StorageTier="archive")
    elsewhere = ec2.create_volume(AvailabilityZone="us-east-1b", Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[elsewhere])
    return {
        "image": registered(ec2, snapshot, "taken"),
        "image_name": "taken",
        "i386_image": registered(ec2, snapshot, "old", Architecture="i386"),
        "gone_image": gone,
        "snapshot": snapshot,
        "volume": blank,
        "tagged": blank,
        "volume_elsewhere": elsewhere,
        "free_snapshot": spare,
        "locked_snapshot": locked,
        "archived_snapshot": archived,
    }


def _snapshot(ec2: Any, volume_id: str) -> str:
    snapshot_id = str(ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"])
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    return snapshot_id


def registered(ec2: Any, snapshot_id: str, name: str, **changed: Any) -> str:
    asked = {"Architecture": "x86_64", "VirtualizationType": "hvm"} | changed
    root = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}
    return str(
        ec2.register_image(
            Name=name, RootDeviceName="/dev/xvda", BlockDeviceMappings=[root], **asked
        )["ImageId"]
    )


def _network(ec2: Any) -> dict[str, str]:
    group = ec2.create_security_group(GroupName="bad-group", Description="of a test")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8"
    )
    free = ec2.create_security_group(GroupName="free-group", Description="of a test")
    ec2.create_key_pair(KeyName="bad-key", KeyType="ed25519")
    subnet = ec2.describe_subnets(
        Filters=[{"Name": "availability-zone", "Values": ["us-east-1c"]}]
    )["Subnets"][0]
    named = [{"Name": "group-name", "Values": ["default"]}]
    (default,) = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    public = Ed25519PrivateKey.generate().public_key()
    return {
        "group": group,
        "free_group": free["GroupId"],
        "default_group": default["GroupId"],
        "subnet": subnet["SubnetId"],
        "free_ip": subnet["CidrBlock"].rpartition(".")[0] + ".77",
        "vpc": subnet["VpcId"],
        "public_key": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    }


def _instances(ec2: Any, image_id: str) -> dict[str, str]:
    group = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["bad-group"]}])[
        "SecurityGroups"
    ][0]["GroupId"]
    running = api.launch(
        ec2,
        image_id,
        ClientToken="used",
        SecurityGroupIds=[group],
        Placement={"AvailabilityZone": "us-east-1a"},
        BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}],
    )
    stopped, terminated = api.launch(ec2, image_id), api.launch(ec2, image_id)
    api.stop(ec2, stopped["InstanceId"])
    api.terminate(ec2, terminated["InstanceId"])
    protected = api.launch(ec2, image_id, DisableApiTermination=True, DisableApiStop=True)
    return {
        "running": running["InstanceId"],
        "attached": api.root_volume_id(running),
        "attached_data": api.device(running, "/dev/sdf")["VolumeId"],
        "used_ip": running["PrivateIpAddress"],
        "used_subnet": running["SubnetId"],
        "interface": running["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "stopped": stopped["InstanceId"],
        "terminated": terminated["InstanceId"],
        "protected": protected["InstanceId"],
    }


def _templates(ec2: Any, image_id: str) -> dict[str, str]:
    asked = {"LaunchTemplateData": {"ImageId": image_id, "InstanceType": "t3.micro"}}
    made = ec2.create_launch_template(LaunchTemplateName="bad-template", **asked)
    ec2.create_launch_template_version(LaunchTemplateName="bad-template", **asked)
    return {
        "template": made["LaunchTemplate"]["LaunchTemplateId"],
        "template_name": "bad-template",
    }


def _foreign(ec2: Any, image_id: str) -> dict[str, str]:
    launched = api.launch(ec2, image_id)
    template = ec2.create_launch_template(
        LaunchTemplateName="foreign-template", LaunchTemplateData={"ImageId": image_id}
    )
    snapshot_id = api.root_snapshot_id(api.image(ec2, image_id))
    ec2.create_key_pair(KeyName="foreign-key", KeyType="ed25519")
    public = registered(ec2, snapshot_id, "public")
    ec2.modify_image_attribute(ImageId=public, LaunchPermission={"Add": [{"Group": "all"}]})
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    return {
        "foreign_image": image_id,
        "foreign_template": template["LaunchTemplate"]["LaunchTemplateId"],
        "foreign_public_image": public,
        "foreign_snapshot": snapshot_id,
        "foreign_volume": volume_id,
        "foreign_instance": launched["InstanceId"],
        "foreign_group": launched["SecurityGroups"][0]["GroupId"],
        "foreign_subnet": launched["SubnetId"],
    }
