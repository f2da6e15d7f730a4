"""What the owner has, by the names that rows call it by."""

from collections.abc import Mapping
from typing import Any

from support import api
from support.access.things import blank
from support.lifecycle import details
from support.server import Server
from support.world import registered


def owners_things(server: Server, account: str, image_id: str) -> dict[str, str]:
    """`image_id` is an image of its own that machines launch from. Nothing is shared yet."""
    ec2: Any = server.client(account=account)
    s3 = server.client("s3", account=account)
    names = {"image": image_id, "snapshot": api.root_snapshot_id(api.image(ec2, image_id))}
    names |= _storage(ec2, names["snapshot"], "access-disabled")
    names |= _machines(ec2, image_id)
    names |= _network(ec2, names["instance"])
    names |= _templates(ec2, image_id)
    names["report"] = _report(ec2, image_id, server.account(account).account)
    names |= _parameters(server.client("ssm", account=account), image_id)
    names |= _bin(ec2, server.client("rbin", account=account), names["snapshot"])
    names |= _policies(server.client("dlm", account=account))
    names |= _buckets(ec2, s3, image_id)
    ec2.enable_fast_snapshot_restores(
        SourceSnapshotIds=[names["free_snapshot"]], AvailabilityZones=["us-east-1a"]
    )
    names |= _imports(ec2, s3, names)
    _, names["archived"] = blank(ec2)
    ec2.modify_snapshot_tier(SnapshotId=names["archived"], StorageTier="archive")
    return names


def _storage(ec2: Any, snapshot_id: str, name: str) -> dict[str, str]:
    volume_id, free = blank(ec2)
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


def _imports(ec2: Any, s3: Any, names: Mapping[str, str]) -> dict[str, str]:
    s3.put_object(Bucket=names["bucket"], Key="disk.raw", Body=bytes(1 << 20))
    disk = {"UserBucket": {"S3Bucket": names["bucket"], "S3Key": "disk.raw"}}
    task_id = ec2.import_snapshot(DiskContainer=disk)["ImportTaskId"]
    api.await_state(ec2, "snapshot_imported", ImportTaskIds=[task_id])
    of_snapshot = ec2.import_image(DiskContainers=[{"SnapshotId": names["snapshot"]}])
    return {"import_task": task_id, "image_import": of_snapshot["ImportTaskId"]}
