"""Three accounts: the owner of everything, the reader it shares with, and a stranger."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import botocore.exceptions
from botocore import xform_name

from support import api
from support.access.row import MAY, NOTHING, OWN, ROLES, SEES, Access
from support.access.things import template_of, things_of
from support.lifecycle import details
from support.server import Server
from support.world import registered

_ID: Final = re.compile(r"[a-z]+(-[a-z]+)*-[0-9a-f]{8,17}")
NEVER: Final = "0123456789abcdef0"
FORMER: Final = {
    "image": "former_image",
    "snapshot": "former_snapshot",
    "my_template_of_image": "my_template_of_former_image",
}
"""What was shared with the reader, by the name of what still is."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`code` is empty if it was no refusal; `text` is a refusal's sentence, or all of an answer."""

    code: str
    text: str

    def outcome(self, expected: str, shown: str) -> str:
        """MAY, SEES, NOTHING or the code."""
        if self.code == "DryRunOperation":
            return MAY
        if self.code or expected == MAY:
            return self.code or MAY
        return SEES if shown in self.text else NOTHING

    def without(self, names: Iterable[str]) -> "Answer":
        """The same with ids, names and what counts up taken out of it."""
        text = re.sub(r"datetime\([^()]*\(\)\)|(?<='VersionNumber': )[0-9]+", "…", self.text)
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, "…")
        return Answer(code=self.code, text=text)


@dataclass(frozen=True, kw_only=True)
class AccessWorld:
    """A server, and the resources by the names that rows call them by.

    `names` are the owner's. `own` has those that each role has of its own.
    """

    server: Server
    names: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]]

    def never(self) -> "AccessWorld":
        """The same world with ids and names in it that nobody ever had."""
        return AccessWorld(
            server=self.server,
            names={name: _never(value) for name, value in self.names.items()},
            own={
                role: {**names, "my_template_of_image": names["my_template_of_never"]}
                for role, names in self.own.items()
            },
        )

    def taken_back(self) -> "AccessWorld":
        """The same world, but what is shared with the reader in rows is what was so once."""

        def replaced(names: Mapping[str, str]) -> dict[str, str]:
            former = {name: names[old] for name, old in FORMER.items() if old in names}
            return {**names, **former}

        own = {role: replaced(names) for role, names in self.own.items()}
        return AccessWorld(server=self.server, names=replaced(self.names), own=own)

    def filled(self, value: Any, role: str) -> Any:
        """The value with the names in it replaced by what they stand for when the role asks."""
        if isinstance(value, Mapping):
            return {key: self.filled(each, role) for key, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each, role) for each in value]
        if isinstance(value, str) and value.startswith("{"):
            return {**self.names, **self.own[role]}[value[1:-1]]
        return value

    def shown(self, row: Access, role: str) -> str:
        return str(self.filled(row.shows or f"{{{row.resource}}}", role))

    def hidden(self, row: Access) -> list[str]:
        return self.filled(list(row.hides), "owner")

    def every_name(self, role: str) -> set[str]:
        return {*self.names.values(), *self.own[role].values()}

    def ids(self) -> list[str]:
        """Those of the owner's resources."""
        return [value for value in self.names.values() if _ID.fullmatch(value)]

    def told(self, row: Access, role: str, *, dry: bool) -> Answer:
        """What the role gets, ids and names taken out."""
        return self.ask(row, role, dry=dry).without(self.every_name(role))

    def ask(self, row: Access, role: str, *, dry: bool) -> Answer:
        client = self.client(row.service, role)
        asked = self.filled(row.request, role)
        shape = client.meta.service_model.operation_model(row.operation).input_shape
        if dry and shape is not None and "DryRun" in shape.members:
            asked["DryRun"] = True
        try:
            answer = getattr(client, xform_name(row.operation))(**asked)
        except botocore.exceptions.ClientError as refused:
            error = refused.response["Error"]
            return Answer(code=str(error["Code"]), text=str(error["Message"]))
        answer.pop("ResponseMetadata", None)
        return Answer(code="", text=repr(answer))

    def client(self, service: str, role: str) -> Any:
        return self.server.client(service, account=f"access-{role}")


def _never(value: str) -> str:
    if _ID.fullmatch(value):
        return f"{value.rpartition('-')[0]}-{NEVER}"
    if re.fullmatch(r"(arn:aws:rbin:.*/)?[0-9a-f]{11}", value):
        return value[:-11] + NEVER[:11]
    if re.fullmatch(r"[0-9]{12}", value):
        return value[::-1]
    if re.fullmatch(r"arn:aws:dlm:.*/policy-[0-9a-f]{17}", value):
        return value[:-17] + NEVER
    return f"{value}-that-never-was"


def populated(server: Server, image_id: str) -> AccessWorld:
    """The owner's resources; `image_id` is an image of its own that machines launch from."""
    owner: Any = server.client(account="access-owner")
    reader = server.account("access-reader").account
    server.account("access-stranger")
    names = {"image": image_id, "snapshot": api.root_snapshot_id(api.image(owner, image_id))}
    names |= _storage(owner, names["snapshot"])
    names |= _machines(owner, image_id)
    names |= _network(owner, names["instance"])
    names |= _templates(owner, image_id)
    names["report"] = _report(owner, image_id, server.account("access-owner").account)
    names |= _parameters(server.client("ssm", account="access-owner"), image_id)
    names |= _bin(owner, server.client("rbin", account="access-owner"), names["snapshot"])
    names |= _policies(server.client("dlm", account="access-owner"))
    names |= _buckets(owner, server.client("s3", account="access-owner"), image_id)
    owner.enable_fast_snapshot_restores(
        SourceSnapshotIds=[names["free_snapshot"]], AvailabilityZones=["us-east-1a"]
    )
    names |= _imports(owner, server.client("s3", account="access-owner"), names)
    names["archived"] = _archived(owner)
    names |= _shared(owner, names, reader, server.account("access-third").account)
    own = {role: things_of(server, f"access-{role}") for role in ROLES}
    images = {name: names[name] for name in ("image", "former_image")}
    for role, things in own.items():
        for name, each in {**images, "never": f"ami-{NEVER}"}.items():
            called = f"{OWN}template_of_{name}"
            things[called] = template_of(server, f"access-{role}", each, called)
    own["reader"] |= _made_while_shared(server, names)
    _take_back(owner, names, reader)
    return AccessWorld(server=server, names=names, own=own)


def _archived(ec2: Any) -> str:
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    snapshot_id = str(ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"])
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    ec2.modify_snapshot_tier(SnapshotId=snapshot_id, StorageTier="archive")
    return snapshot_id


def _shared(ec2: Any, names: Mapping[str, str], reader: str, third: str) -> dict[str, str]:
    """Shares what there is to be shared, and makes what is to be taken back."""
    made = _storage(ec2, names["snapshot"], "unused")
    former = {
        "former_snapshot": made["free_snapshot"],
        "former_image": registered(ec2, made["free_snapshot"], "access-former"),
    }
    permission = {"Add": [{"UserId": reader}, {"UserId": third}]}
    for each in (names["snapshot"], former["former_snapshot"]):
        ec2.modify_snapshot_attribute(SnapshotId=each, CreateVolumePermission=permission)
    images = (names["image"], names["disabled_image"], former["former_image"])
    for each in images:
        ec2.modify_image_attribute(ImageId=each, LaunchPermission=permission)
    ec2.disable_image(ImageId=names["disabled_image"])
    tagged = [names["image"], names["snapshot"], *former.values()]
    ec2.create_tags(Resources=tagged, Tags=api.tags({"of": "the owner"}))
    return former | {"third": third}


def _made_while_shared(server: Server, names: Mapping[str, str]) -> dict[str, str]:
    """What the reader has of what is then taken back."""
    ec2: Any = server.client(account="access-reader")
    image_id, snapshot_id = names["former_image"], names["former_snapshot"]
    api.launch(ec2, image_id)
    ec2.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot_id)
    ec2.create_tags(Resources=[image_id, snapshot_id], Tags=api.tags({"by": "the reader"}))
    server.client("ssm", account="access-reader").put_parameter(
        Name="/my/former", Type="String", Value=image_id, DataType="aws:ec2:image"
    )
    return {
        "my_former_copy": registered(ec2, snapshot_id, "my-former"),
        "my_former_parameter": "resolve:ssm:/my/former",
    }


def _take_back(ec2: Any, names: Mapping[str, str], reader: str) -> None:
    permission = {"Remove": [{"UserId": reader}]}
    ec2.modify_image_attribute(ImageId=names["former_image"], LaunchPermission=permission)
    ec2.modify_snapshot_attribute(
        SnapshotId=names["former_snapshot"], CreateVolumePermission=permission
    )


def _buckets(ec2: Any, s3: Any, image_id: str) -> dict[str, str]:
    """A bucket with the stored image in it, one without, and exports that have ended."""
    names = {"bucket": "access-bucket", "stored_bucket": "access-stored"}
    for name in names.values():
        s3.create_bucket(Bucket=name)
    made = ec2.create_store_image_task(ImageId=image_id, Bucket=names["stored_bucket"])
    api.await_state(ec2, "store_image_task_complete", ImageIds=[image_id])
    place = {"S3Bucket": names["bucket"]}
    exported = ec2.export_image(ImageId=image_id, DiskImageFormat="VMDK", S3ExportLocation=place)
    launched = api.launch(ec2, image_id)["InstanceId"]
    task = ec2.create_instance_export_task(
        InstanceId=launched, TargetEnvironment="vmware", ExportToS3Task=place
    )["ExportTask"]
    api.await_state(ec2, "export_task_completed", ExportTaskIds=[task["ExportTaskId"]])
    api.terminate(ec2, launched)
    return names | {
        "stored_key": made["ObjectKey"],
        "image_export": exported["ExportImageTaskId"],
        "instance_export": task["ExportTaskId"],
    }


def _policies(dlm: Any) -> dict[str, str]:
    """Policies that are switched off: nothing is made while the tests run."""

    def policy() -> str:
        made = dlm.create_lifecycle_policy(
            ExecutionRoleArn="arn:aws:iam::111111111111:role/dlm",
            Description="of a test",
            State="DISABLED",
            PolicyDetails=details(),
            Tags={"of": "the owner"},
        )
        return str(made["PolicyId"])

    first = policy()
    arn = dlm.get_lifecycle_policy(PolicyId=first)["Policy"]["PolicyArn"]
    return {"policy": first, "policy_arn": str(arn), "spare_policy": policy()}


def _imports(ec2: Any, s3: Any, names: Mapping[str, str]) -> dict[str, str]:
    s3.put_object(Bucket=names["bucket"], Key="disk.raw", Body=bytes(1 << 20))
    disk = {"UserBucket": {"S3Bucket": names["bucket"], "S3Key": "disk.raw"}}
    task_id = ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"]
    api.await_state(ec2, "snapshot_imported", ImportTaskIds=[task_id])
    of_snapshot = ec2.import_image(DiskContainers=[{"SnapshotId": names["snapshot"]}])
    return {"import_task": task_id, "image_import": of_snapshot["ImportTaskId"]}


def _storage(ec2: Any, snapshot_id: str, name: str = "access-disabled") -> dict[str, str]:
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    free = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[free])
    return {
        "volume": volume_id,
        "free_snapshot": free,
        "disabled_image": registered(ec2, snapshot_id, name),
    }


def _machines(ec2: Any, image_id: str) -> dict[str, str]:
    running = api.launch(
        ec2,
        image_id,
        Placement={"AvailabilityZone": "us-east-1a"},
        BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}],
    )
    task = ec2.create_replace_root_volume_task(InstanceId=running["InstanceId"])
    window = ec2.create_instance_event_window(CronExpression="* 0-4 * * *")
    stopped = api.launch(ec2, image_id)
    api.stop(ec2, stopped["InstanceId"])
    return {
        "instance": running["InstanceId"],
        "task": task["ReplaceRootVolumeTask"]["ReplaceRootVolumeTaskId"],
        "attached": api.device(running, "/dev/sdf")["VolumeId"],
        "stopped": stopped["InstanceId"],
        "window": window["InstanceEventWindow"]["InstanceEventWindowId"],
    }


def _network(ec2: Any, instance_id: str) -> dict[str, str]:
    found = api.instance(ec2, instance_id)
    group = ec2.create_security_group(GroupName="access-group", Description="of a test")["GroupId"]
    rules = ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8"
    )["SecurityGroupRules"]
    key = ec2.create_key_pair(KeyName="access-key", KeyType="ed25519")
    return {
        "vpc": found["VpcId"],
        "subnet": found["SubnetId"],
        "interface": found["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "gateway": ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"],
        "routes": ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
        "acl": ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"],
        "group": group,
        "rule": rules[0]["SecurityGroupRuleId"],
        "key": key["KeyPairId"],
        "key_name": "access-key",
        "group_name": "access-group",
    }


def _bin(ec2: Any, rbin: Any, snapshot_id: str) -> dict[str, str]:
    """What the owner deleted under rules that keep it, and rules of it."""
    mark = [{"ResourceTagKey": "access", "ResourceTagValue": "bin"}]

    def rule(resource_type: str, **more: Any) -> dict[str, Any]:
        period = {"RetentionPeriodValue": 7, "RetentionPeriodUnit": "DAYS"}
        return rbin.create_rule(ResourceType=resource_type, RetentionPeriod=period, **more)

    kept = rule("EC2_IMAGE", ResourceTags=mark, Tags=api.tags({"of": "the owner"}))
    rule("EBS_SNAPSHOT", ResourceTags=mark)
    rule("EBS_VOLUME", ResourceTags=mark)
    names = _storage(ec2, snapshot_id, "access-binned")
    binned = {
        "binned_image": names["disabled_image"],
        "binned_snapshot": names["free_snapshot"],
        "binned_volume": names["volume"],
    }
    ec2.create_tags(Resources=list(binned.values()), Tags=api.tags({"access": "bin"}))
    ec2.deregister_image(ImageId=binned["binned_image"])
    ec2.delete_snapshot(SnapshotId=binned["binned_snapshot"])
    ec2.delete_volume(VolumeId=binned["binned_volume"])
    delay = {"UnlockDelay": {"UnlockDelayValue": 7, "UnlockDelayUnit": "DAYS"}}
    return binned | {
        "bin_rule": kept["Identifier"],
        "rule_arn": kept["RuleArn"],
        "open_rule": rule("EBS_SNAPSHOT")["Identifier"],
        "locked_rule": rule("EBS_SNAPSHOT", LockConfiguration=delay)["Identifier"],
        "spare_rule": rule("EC2_IMAGE", ResourceTags=mark)["Identifier"],
    }


def _templates(ec2: Any, image_id: str) -> dict[str, str]:
    name = "access-template"
    made = ec2.create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": image_id, "InstanceType": "t3.micro"},
    )
    return {
        "template": made["LaunchTemplate"]["LaunchTemplateId"],
        "template_name": name,
    }


def _report(ec2: Any, image_id: str, account: str) -> str:
    kinds = [{"ResourceType": "ec2:Instance"}]
    asked = {"ImageId": image_id, "ResourceTypes": kinds, "AccountIds": [account]}
    report_id = str(ec2.create_image_usage_report(**asked)["ReportId"])
    api.await_state(ec2, "image_usage_report_available", ReportIds=[report_id])
    return report_id


def _parameters(ssm: Any, image_id: str) -> dict[str, str]:
    names = {
        "parameter": "/access/kept/parameter",
        "spare_parameter": "/access/spare",
        "other_parameter": "/access/other",
    }
    for name in names.values():
        ssm.put_parameter(Name=name, Type="String", Value="what the owner wrote")
    kept = names["parameter"]
    ssm.label_parameter_version(Name=kept, ParameterVersion=1, Labels=["old"])
    ssm.add_tags_to_resource(
        ResourceType="Parameter", ResourceId=kept, Tags=api.tags({"of": "the owner"})
    )
    ssm.put_parameter(Name="/access/image", Type="String", Value=image_id, DataType="aws:ec2:image")
    arn = ssm.get_parameter(Name="/access/image")["Parameter"]["ARN"]
    return names | {
        "path": "/access/kept",
        "image_parameter": "/access/image",
        "resolved": "resolve:ssm:/access/image",
        "parameter_arn": arn,
        "resolved_arn": f"resolve:ssm:{arn}",
    }
