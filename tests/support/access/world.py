"""Three accounts: the owner of everything, the reader it shares with, and a stranger."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import botocore.exceptions

from support import api
from support.access.row import MAY, NOTHING, SEES, Access
from support.lifecycle import details
from support.server import Server
from support.world import registered

ROLES: Final = ("stranger", "reader", "owner")
NEVER: Final = "0123456789abcdef0"


@dataclass(frozen=True, kw_only=True)
class AccessWorld:
    """A server, and the owner's resources by the names that rows call them by."""

    server: Server
    names: Mapping[str, str]

    def never(self) -> "AccessWorld":
        """The same world with ids and names in it that nobody ever had."""
        unknown = {name: _never(value) for name, value in self.names.items()}
        return AccessWorld(server=self.server, names=unknown)

    def refusal(self, row: Access, role: str) -> tuple[str, str]:
        """Code and sentence, with ids and names taken out of it; empty if there is no refusal."""
        try:
            self._send(row, role, dry=False)
        except botocore.exceptions.ClientError as refused:
            error = refused.response["Error"]
            words = error["Message"].replace(self.names[row.resource], "…")
            return error["Code"], words
        return "", ""

    def outcome(self, row: Access, role: str) -> str:
        """What the account of the role gets: one of row.OUTCOMES or a code."""
        expected = getattr(row, role)
        try:
            answer = self._send(row, role, dry=expected == MAY)
        except botocore.exceptions.ClientError as refused:
            code = str(refused.response["Error"]["Code"])
            return MAY if code == "DryRunOperation" else code
        if expected == MAY:
            return MAY
        answer.pop("ResponseMetadata", None)
        return SEES if (row.shows or self.names[row.resource]) in repr(answer) else NOTHING

    def _send(self, row: Access, role: str, *, dry: bool) -> dict[str, Any]:
        client: Any = self.server.client(row.service, account=f"access-{role}")
        method = client.meta.method_to_api_mapping
        name = next(python for python, api_name in method.items() if api_name == row.operation)
        asked = _filled(row.request, self.names)
        shape = client.meta.service_model.operation_model(row.operation).input_shape
        if dry and shape is not None and "DryRun" in shape.members:
            asked["DryRun"] = True
        return getattr(client, name)(**asked)


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, names) for each in value]
    if isinstance(value, str) and value.startswith("{"):
        return names[value[1:-1]]
    return value


def _never(value: str) -> str:
    if re.fullmatch(r"[a-z]+(-[a-z]+)*-[0-9a-f]{8,17}", value):
        return f"{value.rpartition('-')[0]}-{NEVER}"
    if re.fullmatch(r"(arn:aws:rbin:.*/)?[0-9a-f]{11}", value):
        return value[:-11] + NEVER[:11]
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
    names |= _parameters(server.client("ssm", account="access-owner"))
    names |= _bin(owner, server.client("rbin", account="access-owner"), names["snapshot"])
    names |= _policies(server.client("dlm", account="access-owner"))
    names |= _buckets(owner, server.client("s3", account="access-owner"), image_id)
    owner.enable_fast_snapshot_restores(
        SourceSnapshotIds=[names["free_snapshot"]], AvailabilityZones=["us-east-1a"]
    )
    names |= _imports(owner, server.client("s3", account="access-owner"), names)
    permission = {"Add": [{"UserId": reader}]}
    owner.modify_snapshot_attribute(
        SnapshotId=names["snapshot"], CreateVolumePermission={"Add": [{"UserId": reader}]}
    )
    for each in ("image", "disabled_image"):
        owner.modify_image_attribute(ImageId=names[each], LaunchPermission=permission)
    owner.disable_image(ImageId=names["disabled_image"])
    owner.create_tags(Resources=[image_id], Tags=api.tags({"of": "the owner"}))
    return AccessWorld(server=server, names=names)


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


def _parameters(ssm: Any) -> dict[str, str]:
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
    return names | {"path": "/access/kept"}
