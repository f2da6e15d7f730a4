"""RunInstances: what a request asks for, as a Launch.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from openami.actions import instances, launch_templates, parameters, run_instances
from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    UnsupportedOperation,
)
from openami.domain.filter import Page
from openami.domain.ids import (
    parse_image_id,
    parse_launch_template_id,
    parse_security_group_id,
    parse_subnet_id,
)
from openami.domain.instance import InstanceState
from openami.domain.instance_type import DEFAULT_TYPE
from openami.domain.instance_types.cpu_options import CpuOptions
from openami.domain.launch import USER_DATA_BYTES_MAX, Launch, MetadataChange, Place
from openami.domain.launch_template import DEFAULT, Which, checked_template_name, checked_version
from openami.ec2 import instance_shapes, template_merge
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import block_device_mappings, client_token, tag_specifications
from openami.services import Services


def run(svc: Services, caller: Caller, request: Request) -> Result:
    ids = run_instances.run_instances(svc, caller, _launch(svc, caller, request))
    found = instances.describe_instances(svc, caller, ids, (), Page())
    found.sort(key=lambda each: each.instance.launch_index)
    first = found[0].instance
    return {
        "ReservationId": first.reservation_id,
        "OwnerId": first.owner,
        "Groups": [],
        "Instances": [
            instance_shapes.instance(each, as_state=InstanceState.PENDING) for each in found
        ],
    }


def _launch(svc: Services, caller: Caller, request: Request) -> Launch:
    """The launch that is asked for, with all that its template and its parameters say."""
    named = request.get("LaunchTemplate")
    if not named:
        return launch_of(with_image(svc, caller, request))
    only(named, "LaunchTemplate.", {"LaunchTemplateId", "LaunchTemplateName", "Version"})
    version = checked_version(named.get("Version") or DEFAULT)
    found = launch_templates.fetch_version(svc, caller, template_named(named), version)
    merged = template_merge.launched_from(found.version.data, request)
    launch = launch_of(with_image(svc, caller, merged))
    marks = {
        "aws:ec2launchtemplate:id": found.template.id,
        "aws:ec2launchtemplate:version": str(found.version.number),
    }
    tags = {**launch.tags, "instance": {**launch.tags.get("instance", {}), **marks}}
    # The token stands for the request as it came: the template's default may change meanwhile.
    return replace(launch, tags=tags, token=client_token("RunInstances", request))


def template_named(named: Mapping[str, Any]) -> Which:
    """By LaunchTemplateId or LaunchTemplateName. Raises MissingParameter and the like."""
    template_id, name = named.get("LaunchTemplateId"), named.get("LaunchTemplateName")
    return Which(
        id=parse_launch_template_id(template_id) if template_id else None,
        name=checked_template_name(name) if name else None,
    )


def with_image(svc: Services, caller: Caller, request: Request) -> Request:
    """The request with the image that its `resolve:ssm:…` names now."""
    text = request.get("ImageId") or ""
    image_id = parameters.resolved_image(svc, caller, text)
    return request if image_id == text else {**request, "ImageId": image_id}


def launch_of(request: Request) -> Launch:
    """The request in the domain's words. Empty texts count as absent: Packer sends them."""
    if not request.get("ImageId"):
        raise MissingParameter("ImageId")
    _refuse_extras(request)
    return Launch(
        image_id=parse_image_id(request["ImageId"]),
        min_count=request["MinCount"],
        max_count=request["MaxCount"],
        instance_type=request.get("InstanceType") or DEFAULT_TYPE,
        key_name=request.get("KeyName") or None,
        user_data=user_data_of(request.get("UserData") or ""),
        mappings=block_device_mappings(request),
        place=_place(request),
        tags=tag_specifications(request, "instance", "volume", "network-interface"),
        token=client_token("RunInstances", request),
        metadata=metadata_change(request.get("MetadataOptions", {}), "MetadataOptions."),
        shutdown_behavior=shutdown_behavior(
            request.get("InstanceInitiatedShutdownBehavior") or "stop"
        ),
        disable_api_termination=request.get("DisableApiTermination", False),
        disable_api_stop=request.get("DisableApiStop", False),
        monitoring=request.get("Monitoring", {}).get("Enabled", False),
        ebs_optimized=request.get("EbsOptimized", False),
        cpu_credits=_cpu_credits(request),
        cpu_options=_cpu_options(request),
        auto_recovery=request.get("MaintenanceOptions", {}).get("AutoRecovery", "default"),
    )


CPU_CREDITS: Final = ("standard", "unlimited")

# What openami does not do may still be asked for when the answer is that it is not done.
_NEUTRAL: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "IamInstanceProfile": {"Name": ("",), "Arn": ("",)},
    "HibernationOptions": {"Configured": (False,)},
    "EnclaveOptions": {"Enabled": (False,)},
    "CapacityReservationSpecification": {"CapacityReservationPreference": ("none", "open")},
    "MaintenanceOptions": {"AutoRecovery": ("default", "disabled")},
    "PrivateDnsNameOptions": {
        "HostnameType": ("ip-name",),
        "EnableResourceNameDnsARecord": (False,),
        "EnableResourceNameDnsAAAARecord": (False,),
    },
    "Monitoring": {"Enabled": (True, False)},
    "CreditSpecification": {"CpuCredits": CPU_CREDITS},
}


def _refuse_extras(request: Request) -> None:
    for name, members in _NEUTRAL.items():
        for member, value in request.get(name, {}).items():
            if value not in members.get(member, ()):
                raise UnsupportedOperation(
                    f"The value '{value}' of {name}.{member} is not supported by openami"
                )


def _cpu_credits(request: Request) -> str | None:
    given = request.get("CreditSpecification")
    return None if given is None else given.get("CpuCredits")


_NO_CPU_FEATURES: Final = ("AmdSevSnp", "NestedVirtualization")


def _cpu_options(request: Request) -> CpuOptions | None:
    """Cores and threads, which come together."""
    given = request.get("CpuOptions")
    if not given:
        return None
    only(given, "CpuOptions.", {"CoreCount", "ThreadsPerCore", *_NO_CPU_FEATURES})
    for name in _NO_CPU_FEATURES:
        if given.get(name, "disabled") != "disabled":
            raise UnsupportedOperation(f"CpuOptions.{name} is not supported by openami")
    for name in ("CoreCount", "ThreadsPerCore"):
        if name not in given:
            raise MissingParameter(f"CpuOptions.{name}")
    return CpuOptions(core_count=given["CoreCount"], threads_per_core=given["ThreadsPerCore"])


def user_data_of(text: str) -> bytes | None:
    """User data as it goes to the guest; at most 16 KiB of it, before base64."""
    if not text:
        return None
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as wrong:
        raise InvalidParameterValue("Invalid BASE64 encoding of user data.") from wrong
    return checked_user_data(raw)


def checked_user_data(raw: bytes) -> bytes:
    if len(raw) > USER_DATA_BYTES_MAX:
        raise InvalidParameterValue(f"User data is limited to {USER_DATA_BYTES_MAX} bytes")
    return raw


def shutdown_behavior(value: str) -> str:
    if value not in ("stop", "terminate"):
        raise InvalidParameterValue(
            f"Value ({value}) for parameter instanceInitiatedShutdownBehavior is invalid."
            " It must be stop or terminate."
        )
    return value


_CHOICES: Final = {
    "HttpTokens": ("optional", "required"),
    "HttpEndpoint": ("enabled", "disabled"),
    "InstanceMetadataTags": ("enabled", "disabled"),
    "HttpProtocolIpv6": ("disabled",),
}


def metadata_change(raw: Mapping[str, Any], where: str) -> MetadataChange:
    """The metadata options of a request. IMDS over IPv6 is the one that openami lacks."""
    only(raw, where, {*_CHOICES, "HttpPutResponseHopLimit"})
    for name, allowed in _CHOICES.items():
        if name in raw and raw[name] not in allowed:
            raise InvalidParameterValue(
                f"Value ({raw[name]}) for parameter {where}{name} is invalid."
                f" It must be one of {', '.join(allowed)}."
            )
    limit = raw.get("HttpPutResponseHopLimit")
    if limit is not None and not 1 <= limit <= 64:
        raise InvalidParameterValue(
            f"Value ({limit}) for parameter {where}HttpPutResponseHopLimit is invalid."
            " It must be between 1 and 64."
        )
    return MetadataChange(
        http_tokens=raw.get("HttpTokens"),
        http_endpoint=raw.get("HttpEndpoint"),
        http_put_response_hop_limit=limit,
        instance_metadata_tags=raw.get("InstanceMetadataTags"),
    )


_ON_THE_INTERFACE: Final = ("SubnetId", "SecurityGroupIds", "SecurityGroups", "PrivateIpAddress")


def _place(request: Request) -> Place:
    placement = request.get("Placement", {})
    only(placement, "Placement.", {"AvailabilityZone", "Tenancy", "GroupName"})
    if placement.get("Tenancy", "default") not in ("", "default") or placement.get("GroupName"):
        raise UnsupportedOperation("Placement is supported by openami for availability zones only")
    zone = placement.get("AvailabilityZone") or None
    interfaces = request.get("NetworkInterfaces", ())
    if interfaces:
        return _interface_place(request, interfaces, zone)
    return Place(
        availability_zone=zone,
        subnet_id=parse_subnet_id(request["SubnetId"]) if request.get("SubnetId") else None,
        security_group_ids=tuple(map(parse_security_group_id, request.get("SecurityGroupIds", ()))),
        security_group_names=tuple(request.get("SecurityGroups", ())),
        private_ip=request.get("PrivateIpAddress") or None,
    )


def _interface_place(request: Request, interfaces: Any, zone: str | None) -> Place:
    for name in _ON_THE_INTERFACE:
        if request.get(name):
            raise InvalidParameterCombination(
                f"Network interfaces and an instance-level {name} may not be specified on the"
                " same request"
            )
    if len(interfaces) > 1:
        raise UnsupportedOperation("An instance of openami has one network interface")
    first = interfaces[0]
    only(
        first,
        "NetworkInterface.",
        {"DeviceIndex", "AssociatePublicIpAddress", "DeleteOnTermination", "Groups", "SubnetId"}
        | {"PrivateIpAddress", "InterfaceType", "NetworkCardIndex"},
    )
    _check_interface(first)
    return Place(
        availability_zone=zone,
        subnet_id=parse_subnet_id(first["SubnetId"]) if first.get("SubnetId") else None,
        security_group_ids=tuple(map(parse_security_group_id, first.get("Groups", ()))),
        associate_public_ip=first.get("AssociatePublicIpAddress", True),
        private_ip=first.get("PrivateIpAddress") or None,
    )


def _check_interface(first: Mapping[str, Any]) -> None:
    if first.get("DeviceIndex", 0) != 0 or first.get("NetworkCardIndex", 0) != 0:
        raise InvalidParameterValue(
            "Each network interface requires a device index: the first one's is 0."
        )
    if not first.get("DeleteOnTermination", True):
        raise UnsupportedOperation("A network interface of openami ends with its instance")
    if first.get("InterfaceType", "interface") not in ("", "interface"):
        raise UnsupportedOperation("The interface type is not supported by openami")


HEEDED_IN_TEMPLATES: Final = frozenset(
    {"ImageId", "InstanceType", "KeyName", "UserData", "BlockDeviceMappings"}
    | {"SecurityGroupIds", "SecurityGroups", "NetworkInterfaces", "Placement"}
    | {"TagSpecifications", "MetadataOptions", "InstanceInitiatedShutdownBehavior"}
    | {"DisableApiTermination", "DisableApiStop", "EbsOptimized", "CpuOptions", *_NEUTRAL}
)
"""What a launch template may hold; a launch takes the same and the rest below."""

OPERATIONS: Final[Mapping[str, Operation]] = {
    "RunInstances": operation(
        run,
        *HEEDED_IN_TEMPLATES,
        *("MinCount", "MaxCount", "SubnetId", "PrivateIpAddress", "ClientToken", "LaunchTemplate"),
        partly="one network interface; no IAM profile, spot, encryption or IPv6",
    ),
}
