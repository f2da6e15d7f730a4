"""What each of the three accounts has of its own: so a request can name that and another's."""

from typing import Any

from support import api
from support.access.row import OWN
from support.server import Server
from support.world import registered


def blank(ec2: Any) -> tuple[str, str]:
    """A volume without contents, and a snapshot of it."""
    volume_id = str(ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"])
    api.await_state(ec2, "volume_available", VolumeIds=[volume_id])
    snapshot_id = str(ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"])
    api.await_state(ec2, "snapshot_completed", SnapshotIds=[snapshot_id])
    return volume_id, snapshot_id


def things_of(server: Server, account: str) -> dict[str, str]:
    ec2: Any = server.client(account=account)
    volume, snapshot = blank(ec2)
    image = registered(ec2, snapshot, "my-own")
    data = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    zone = {"AvailabilityZone": "us-east-1a"}
    running = api.launch(ec2, image, Placement=zone, BlockDeviceMappings=data)
    group = ec2.create_security_group(GroupName="my-own", Description="of a test")["GroupId"]
    window = ec2.create_instance_event_window(CronExpression="* 0-4 * * *")["InstanceEventWindow"]
    bucket = f"{account}-own"
    s3: Any = server.client("s3", account=account)
    s3.create_bucket(Bucket=bucket)
    names = {
        "volume": volume,
        "snapshot": snapshot,
        "image": image,
        "instance": running["InstanceId"],
        "interface": running["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "attached": api.device(running, "/dev/sdf")["VolumeId"],
        "group": group,
        "window": window["InstanceEventWindowId"],
        "bucket": bucket,
    }
    return {f"{OWN}{name}": value for name, value in names.items()}


def template_of(server: Server, account: str, image_id: str, name: str) -> str:
    """What launches the image without naming it."""
    ec2: Any = server.client(account=account)
    made = ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": image_id}
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])
