"""How instances look to EC2's clients."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions.instances import DescribedInstance, StateChange
from openami.domain.instance import STATE_CODE, Instance, InstanceState
from openami.domain.instance_types.cpu_options import cpu_options_of
from openami.domain.volume import Volume

Shape = dict[str, Any]

PLATFORM: Final = "Linux/UNIX"
USAGE_OPERATION: Final = "RunInstances"


def state(of: InstanceState) -> Shape:
    return {"Code": STATE_CODE[of], "Name": of}


def state_change(change: StateChange) -> Shape:
    return {
        "InstanceId": change.instance_id,
        "PreviousState": state(change.previous),
        "CurrentState": state(change.current),
    }


def tag_list(tags: Mapping[str, str]) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def reservations(found: Sequence[DescribedInstance]) -> list[Shape]:
    """The instances of each launch together, in the order of their launch."""
    together: dict[str, list[DescribedInstance]] = {}
    for each in found:
        together.setdefault(each.instance.reservation_id, []).append(each)
    return [
        {
            "ReservationId": reservation_id,
            "OwnerId": members[0].instance.owner,
            "Groups": [],
            "Instances": [
                instance(each)
                for each in sorted(members, key=lambda one: one.instance.launch_index)
            ],
        }
        for reservation_id, members in together.items()
    ]


def instance(described: DescribedInstance, as_state: InstanceState | None = None) -> Shape:
    """One instance; `as_state` tells it in an earlier state (RunInstances answers `pending`)."""
    its = described.instance
    shown = as_state or its.state
    shape: Shape = {
        "InstanceId": its.id,
        "ImageId": its.image_id,
        "State": state(shown),
        "StateReason": _state_reason(its, shown),
        "StateTransitionReason": its.state_transition_reason,
        "InstanceType": its.instance_type,
        "KeyName": its.key_name,
        "AmiLaunchIndex": its.launch_index,
        "LaunchTime": its.launched_at,
        "Placement": {
            "AvailabilityZone": its.availability_zone,
            "GroupName": "",
            "Tenancy": "default",
        },
        "Architecture": its.architecture,
        "RootDeviceName": its.root_device_name,
        "ClientToken": its.client_token or "",
        "Tags": tag_list(described.tags),
        "BootMode": its.boot_mode,
        "CurrentInstanceBootMode": its.current_boot_mode,
        **_options(its),
        **_SAME_FOR_ALL,
    }
    if shown is InstanceState.TERMINATED:
        nothing: list[Shape] = []
        held = ("BlockDeviceMappings", "NetworkInterfaces", "SecurityGroups")
        return {**shape, "PrivateDnsName": "", **dict.fromkeys(held, nothing)}
    return {**shape, **_place(described)}


_SAME_FOR_ALL: Final[Mapping[str, Any]] = {
    "ProductCodes": (),
    "Hypervisor": "xen",
    "RootDeviceType": "ebs",
    "VirtualizationType": "hvm",
    "PlatformDetails": PLATFORM,
    "UsageOperation": USAGE_OPERATION,
    "CapacityReservationSpecification": {"CapacityReservationPreference": "none"},
    "HibernationOptions": {"Configured": False},
    "EnclaveOptions": {"Enabled": False},
    # Clients that would connect to a name take the address when the name is empty.
    "PublicDnsName": "",
}


def _options(its: Instance) -> Shape:
    return {
        "Monitoring": {"State": "enabled" if its.monitoring else "disabled"},
        "EbsOptimized": its.ebs_optimized,
        "EnaSupport": its.ena_support,
        "CpuOptions": cpu_options(its),
        "MaintenanceOptions": {
            "AutoRecovery": its.auto_recovery,
            "RebootMigration": its.reboot_migration,
        },
        "MetadataOptions": metadata_options(its),
        "UsageOperationUpdateTime": its.first_launched_at,
    }


def cpu_options(its: Instance) -> Shape:
    options = cpu_options_of(its)
    return {"CoreCount": options.core_count, "ThreadsPerCore": options.threads_per_core}


def _place(described: DescribedInstance) -> Shape:
    """What a terminated instance no longer has."""
    its = described.instance
    return {
        "BlockDeviceMappings": _devices(described.volumes),
        "NetworkInterfaces": [network_interface(described)],
        "SecurityGroups": groups(its, described.group_names),
        "PrivateDnsName": its.private_dns_name,
        "PrivateIpAddress": its.private_ip,
        "PublicIpAddress": its.public_ip,
        "SubnetId": its.subnet_id,
        "VpcId": its.vpc_id,
        "SourceDestCheck": its.source_dest_check,
        "PrivateDnsNameOptions": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
    }


def _state_reason(its: Instance, shown: InstanceState) -> Shape | None:
    if its.state_reason is not None:
        return {"Code": its.state_reason.code, "Message": its.state_reason.message}
    if shown is InstanceState.PENDING:
        return {"Code": "pending", "Message": "pending"}
    return None


def _devices(volumes: Sequence[Volume]) -> list[Shape]:
    return [
        {
            "DeviceName": volume.attachment.device_name,
            "Ebs": {
                "AttachTime": volume.attachment.attached_at,
                "DeleteOnTermination": volume.attachment.delete_on_termination,
                "Status": volume.attachment.state,
                "VolumeId": volume.id,
            },
        }
        for volume in volumes
        if volume.attachment is not None
    ]


def groups(its: Instance, names: Mapping[str, str]) -> list[Shape]:
    return [
        {"GroupId": group_id, "GroupName": names.get(group_id, "")}
        for group_id in its.security_group_ids
    ]


def network_interface(described: DescribedInstance) -> Shape:
    its = described.instance
    association = public_association(its)
    return {
        "NetworkInterfaceId": its.network_interface_id,
        "Association": association,
        "Attachment": {
            "AttachTime": its.first_launched_at,
            "AttachmentId": attachment_id(its),
            "DeleteOnTermination": True,
            "DeviceIndex": 0,
            "Status": "attached",
            "NetworkCardIndex": 0,
        },
        "Description": "",
        "Groups": groups(its, described.group_names),
        "Ipv6Addresses": [],
        "MacAddress": its.mac,
        "OwnerId": its.owner,
        "PrivateDnsName": its.private_dns_name,
        "PrivateIpAddress": its.private_ip,
        "PrivateIpAddresses": [
            {
                "Association": association,
                "Primary": True,
                "PrivateDnsName": its.private_dns_name,
                "PrivateIpAddress": its.private_ip,
            }
        ],
        "SourceDestCheck": its.source_dest_check,
        "Status": "in-use",
        "SubnetId": its.subnet_id,
        "VpcId": its.vpc_id,
        "InterfaceType": "interface",
    }


def attachment_id(its: Instance) -> str:
    return its.network_interface_id.replace("eni-", "eni-attach-")


def public_association(its: Instance) -> Shape | None:
    if its.public_ip is None:
        return None
    return {"IpOwnerId": "amazon", "PublicDnsName": "", "PublicIp": its.public_ip}


def metadata_options(its: Instance) -> Shape:
    options = its.metadata_options
    return {
        "State": "applied",
        "HttpTokens": options.http_tokens,
        "HttpPutResponseHopLimit": options.http_put_response_hop_limit,
        "HttpEndpoint": options.http_endpoint,
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": options.instance_metadata_tags,
    }
