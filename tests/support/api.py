"""The requests that most acceptance tests begin with, in one word each."""

from collections.abc import Callable
from typing import Any

import botocore.exceptions

Client = Any  # boto3 makes its clients' methods at run time


def launch(ec2: Client, image_id: str, **more: Any) -> dict[str, Any]:
    """One running instance, as DescribeInstances tells it."""
    asked = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | more
    reservation = ec2.run_instances(ImageId=image_id, **asked)
    (instance_id,) = [each["InstanceId"] for each in reservation["Instances"]]
    await_state(ec2, "instance_running", InstanceIds=[instance_id])
    return instance(ec2, instance_id)


def instance(ec2: Client, instance_id: str) -> dict[str, Any]:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    (found,) = reservation["Instances"]
    return found


def image(ec2: Client, image_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    return found


def volume(ec2: Client, volume_id: str) -> dict[str, Any]:
    (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    return found


def create_image(ec2: Client, instance_id: str, name: str, **more: Any) -> dict[str, Any]:
    """An available image of the instance, as DescribeImages tells it."""
    image_id = ec2.create_image(InstanceId=instance_id, Name=name, **more)["ImageId"]
    await_state(ec2, "image_available", ImageIds=[image_id])
    return image(ec2, image_id)


def stop(ec2: Client, *instance_ids: str) -> None:
    ec2.stop_instances(InstanceIds=list(instance_ids))
    await_state(ec2, "instance_stopped", InstanceIds=list(instance_ids))


def start(ec2: Client, *instance_ids: str) -> None:
    ec2.start_instances(InstanceIds=list(instance_ids))
    await_state(ec2, "instance_running", InstanceIds=list(instance_ids))


def terminate(ec2: Client, *instance_ids: str) -> None:
    ec2.terminate_instances(InstanceIds=list(instance_ids))
    await_state(ec2, "instance_terminated", InstanceIds=list(instance_ids))


def await_state(ec2: Client, waiter: str, **which: Any) -> None:
    """botocore's own waiter, but it asks each second and not each 15."""
    ec2.get_waiter(waiter).wait(**which, WaiterConfig={"Delay": 1, "MaxAttempts": 150})


def device(instance_or_image: dict[str, Any], name: str) -> dict[str, Any]:
    """The Ebs part of the block device mapping of that device name."""
    (found,) = [
        each for each in instance_or_image["BlockDeviceMappings"] if each["DeviceName"] == name
    ]
    return found["Ebs"]


def device_names(instance_or_image: dict[str, Any]) -> list[str]:
    return [each["DeviceName"] for each in instance_or_image["BlockDeviceMappings"]]


def root_volume_id(found: dict[str, Any]) -> str:
    return device(found, found["RootDeviceName"])["VolumeId"]


def root_snapshot_id(found: dict[str, Any]) -> str:
    return device(found, found["RootDeviceName"])["SnapshotId"]


def refusal(call: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    """EC2's code for the refusal of the call; "" if it was not refused."""
    try:
        call(*arguments, **more)
    except botocore.exceptions.ClientError as refused:
        return refused.response["Error"]["Code"]
    return ""


def tags(pairs: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def tagged(**pairs_of: dict[str, str]) -> list[dict[str, Any]]:
    """TagSpecifications: `tagged(image={"Version": "1"})`; `_` in a type's name stands for `-`."""
    return [
        {"ResourceType": kind.replace("_", "-"), "Tags": tags(pairs)}
        for kind, pairs in pairs_of.items()
    ]
