"""The document of a launch template: what may be in one, and the one that an instance would have.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RequestLaunchTemplateData.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions.instances import DescribedInstance
from openami.actions.parameters import RESOLVE_PREFIX
from openami.domain.errors import MissingParameter
from openami.domain.instance import Instance
from openami.domain.launch_template import Document
from openami.domain.volume import Volume
from openami.ec2 import instance_shapes
from openami.ec2.operation import only
from openami.ec2.run_instances import HEEDED_IN_TEMPLATES, launch_of

_SOME_IMAGE: Final = "ami-00000000"


def check(data: Document) -> None:
    """Raises what a launch from the document would meet for its form alone.

    Whether its image, keys and groups exist is asked at the launch, as EC2 does.
    """
    if not data:
        raise MissingParameter("LaunchTemplateData")
    only(data, "LaunchTemplateData.", HEEDED_IN_TEMPLATES)
    image = data.get("ImageId") or _SOME_IMAGE
    if image.startswith(RESOLVE_PREFIX):
        image = _SOME_IMAGE
    launch_of({**data, "ImageId": image, "MinCount": 1, "MaxCount": 1})


def of_instance(described: DescribedInstance, user_data: str | None) -> Document:
    """A document from which an instance like this one can be launched.

    Its private address is not in it: no second instance could have the same.
    """
    its, shape = described.instance, instance_shapes.instance(described)
    data: dict[str, Any] = {
        "EbsOptimized": its.ebs_optimized,
        "BlockDeviceMappings": _devices(described.volumes),
        "NetworkInterfaces": [_interface(its)],
        "ImageId": its.image_id,
        "InstanceType": its.instance_type,
        "KeyName": its.key_name,
        "Monitoring": {"Enabled": its.monitoring},
        "Placement": {
            "AvailabilityZone": its.availability_zone,
            "GroupName": "",
            "Tenancy": "default",
        },
        "DisableApiTermination": its.disable_api_termination,
        "DisableApiStop": its.disable_api_stop,
        "InstanceInitiatedShutdownBehavior": its.shutdown_behavior,
        "UserData": user_data,
        "TagSpecifications": _own_tags(described.tags),
        "CreditSpecification": None if its.cpu_credits is None else {"CpuCredits": its.cpu_credits},
        "CpuOptions": None if its.core_count is None else instance_shapes.cpu_options(its),
        "MaintenanceOptions": {"AutoRecovery": its.auto_recovery},
        "CapacityReservationSpecification": {"CapacityReservationPreference": "open"},
        "HibernationOptions": {"Configured": False},
        "EnclaveOptions": {"Enabled": False},
        "MetadataOptions": {
            name: shape["MetadataOptions"][name]
            for name in ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint")
        },
    }
    return _bare(data)


def _devices(volumes: Sequence[Volume]) -> list[Mapping[str, Any]]:
    return [
        {
            "DeviceName": volume.attachment.device_name,
            "Ebs": {
                "DeleteOnTermination": volume.attachment.delete_on_termination,
                "Iops": volume.iops,
                "SnapshotId": volume.snapshot_id,
                "VolumeSize": volume.size_gib,
                "VolumeType": volume.volume_type,
                "Throughput": volume.throughput,
            },
        }
        for volume in volumes
        if volume.attachment is not None
    ]


def _interface(its: Instance) -> Mapping[str, Any]:
    return {
        "AssociatePublicIpAddress": its.associates_public_ip,
        "DeleteOnTermination": True,
        "DeviceIndex": 0,
        "Groups": list(its.security_group_ids),
        "InterfaceType": "interface",
        "SubnetId": its.subnet_id,
        "NetworkCardIndex": 0,
    }


def _own_tags(tags: Mapping[str, str]) -> list[Mapping[str, Any]] | None:
    kept = [
        {"Key": key, "Value": value} for key, value in tags.items() if not key.startswith("aws:")
    ]
    return [{"ResourceType": "instance", "Tags": kept}] if kept else None


def _bare(value: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not there."""
    return {name: _bared(each) for name, each in value.items() if each is not None}


def _bared(value: Any) -> Any:
    if isinstance(value, dict):
        return _bare(value)  # pyright: ignore[reportUnknownArgumentType] written above
    if isinstance(value, list):
        return [_bared(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return value
