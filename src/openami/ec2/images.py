"""RegisterImage, DescribeImages, DeregisterImage, CreateImage."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import create_image as create_action
from openami.actions import images as actions
from openami.domain.account import ALIASES
from openami.domain.block_device import BlockDeviceMapping, EbsDevice
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue, UnsupportedOperation
from openami.domain.ids import AccountId, parse_account_id, parse_image_id, parse_instance_id
from openami.domain.image import Image
from openami.domain.image_retirement import iso
from openami.ec2 import image_lineage
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import (
    block_device_mappings,
    filters,
    one_more,
    page,
    paged,
    tag_specifications,
)
from openami.services import Services

_ARCHITECTURES: Final = ("i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac")
_BOOT_MODES: Final = ("legacy-bios", "uefi", "uefi-preferred")


def register_image(svc: Services, caller: Caller, request: Request) -> Result:
    if request.get("ImageLocation"):  # the AWS provider of Terraform always sends one, if empty
        raise UnsupportedOperation("The parameter ImageLocation is not supported by openami")
    asked = actions.Registration(
        name=request["Name"],
        description=request.get("Description"),
        architecture=_one_of(request, "Architecture", _ARCHITECTURES) or "i386",
        virtualization_type=_one_of(request, "VirtualizationType", ("paravirtual", "hvm"))
        or "paravirtual",
        root_device_name=request.get("RootDeviceName") or actions.DEFAULT_ROOT_DEVICE,
        mappings=block_device_mappings(request),
        boot_mode=_one_of(request, "BootMode", _BOOT_MODES),
        imds_support=_one_of(request, "ImdsSupport", ("v2.0",)),
        ena_support=bool(request.get("EnaSupport")),
        sriov_net_support=_one_of(request, "SriovNetSupport", ("simple",)),
        tags=tag_specifications(request, "image").get("image", {}),
    )
    return {"ImageId": actions.register_image(svc, caller, asked)}


def _one_of(request: Request, name: str, allowed: Sequence[str]) -> str | None:
    value = request.get(name)
    if value is not None and value not in allowed:
        raise InvalidParameterValue(
            f"Value ({value}) for parameter {name} is invalid."
            f" It must be one of {', '.join(allowed)}."
        )
    return value


def describe_images(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 1000)
    scope = actions.Scope(
        ids=tuple(parse_image_id(text) for text in request.get("ImageIds", ())),
        owners=_owners(request.get("Owners", ()), caller),
        owner_aliases=tuple(name for name in request.get("Owners", ()) if name in ALIASES),
        executable_by=tuple(_user(text, caller) for text in request.get("ExecutableUsers", ())),
        include_disabled=bool(request.get("IncludeDisabled")),
        include_deprecated=bool(request.get("IncludeDeprecated")),
    )
    found = actions.describe_images(svc, caller, scope, filters(request), one_more(asked))
    shown, token = paged(found.images, asked)
    answers = [
        image_answer(
            each,
            found.tags.get(each.id, {}),
            found.allowed.get(each.id),
            found.parameter_names.get(each.id),
        )
        for each in shown
    ]
    return {"Images": answers, **token}


def _owners(names: Sequence[str], caller: Caller) -> tuple[AccountId, ...] | None:
    """None if anybody's; otherwise the accounts that are meant. Raises InvalidUserID.Malformed."""
    if not names:
        return None
    accounts = [name for name in names if name not in ALIASES]
    return tuple(caller.account if name == "self" else parse_account_id(name) for name in accounts)


def _user(name: str, caller: Caller) -> str:
    if name == "all":
        return name
    return caller.account if name == "self" else parse_account_id(name)


def deregister_image(svc: Services, caller: Caller, request: Request) -> Result:
    wanted = bool(request.get("DeleteAssociatedSnapshots"))
    image_id = parse_image_id(request["ImageId"])
    deleted = actions.deregister_image(svc, caller, image_id, wanted)
    results = [{"SnapshotId": each, "ReturnCode": code} for each, code in deleted.items()]
    return {"Return": True, **({"DeleteSnapshotResults": results} if wanted else {})}


def create_image(svc: Services, caller: Caller, request: Request) -> Result:
    tags = tag_specifications(request, "image", "snapshot")
    asked = create_action.Creation(
        instance_id=parse_instance_id(request["InstanceId"]),
        name=request["Name"],
        description=request.get("Description"),
        no_reboot=bool(request.get("NoReboot")),
        mappings=block_device_mappings(request),
        image_tags=tags.get("image", {}),
        snapshot_tags=tags.get("snapshot", {}),
    )
    return {"ImageId": create_action.create_image(svc, caller, asked)}


def image_answer(
    image: Image,
    tags: Mapping[str, str],
    allowed: bool | None = None,
    public_parameter_name: str | None = None,
) -> dict[str, Any]:
    """An image as DescribeImages tells it. What it lacks is absent, not empty."""
    deprecation_time = image.deprecation_time
    answer: dict[str, Any] = {
        "ImageId": image.id,
        "ImageLocation": image.location,
        "State": image.state,
        "OwnerId": image.owner,
        "CreationDate": iso(image.created_at),
        "Public": image.public,
        "ImageAllowed": allowed,
        "Architecture": image.architecture,
        "ImageType": "machine",
        "KernelId": image.kernel_id,
        "RamdiskId": image.ramdisk_id,
        "Platform": image.platform,
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "BlockDeviceMappings": [mapping_answer(each) for each in image.block_device_mappings],
        "Description": image.description,
        "ImageOwnerAlias": image.owner_alias,
        "PublicSsmParameterName": public_parameter_name,
        "EnaSupport": image.ena_support,
        "Hypervisor": "xen",
        "Name": image.name,
        "RootDeviceName": image.root_device_name,
        "RootDeviceType": image.root_device_type,
        "SriovNetSupport": image.sriov_net_support,
        "VirtualizationType": image.virtualization_type,
        "BootMode": image.boot_mode,
        "TpmSupport": image.tpm_support,
        "ImdsSupport": image.imds_support,
        "SourceInstanceId": image.source_instance_id,
        "SourceImageId": image.source_image_id,
        "SourceImageRegion": image.source_image_region,
        "DeregistrationProtection": image.deregistration_protection,
        "DeprecationTime": None if deprecation_time is None else iso(deprecation_time),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    if image.state_reason is not None:
        reason = image.state_reason
        answer["StateReason"] = {"Code": reason.code, "Message": reason.message}
    answer |= image_lineage.facts_answer(image)
    return {name: value for name, value in answer.items() if value is not None}


def mapping_answer(mapping: BlockDeviceMapping) -> dict[str, Any]:
    if mapping.ebs is None:
        return {"DeviceName": mapping.device_name, "VirtualName": mapping.virtual_name}
    return {"DeviceName": mapping.device_name, "Ebs": _ebs_answer(mapping.ebs)}


def _ebs_answer(ebs: EbsDevice) -> dict[str, Any]:
    answer = {
        "DeleteOnTermination": bool(ebs.delete_on_termination),
        "Iops": ebs.iops,
        "SnapshotId": ebs.snapshot_id,
        "VolumeSize": ebs.volume_size_gib,
        "VolumeType": ebs.volume_type,
        "Throughput": ebs.throughput,
        "Encrypted": False,
    }
    return {name: value for name, value in answer.items() if value is not None}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "RegisterImage": operation(
        register_image,
        *("Name", "Description", "Architecture", "VirtualizationType", "RootDeviceName"),
        *("BlockDeviceMappings", "BootMode", "ImdsSupport", "EnaSupport", "SriovNetSupport"),
        *("ImageLocation", "TagSpecifications"),
        partly="no instance-store images from S3, no kernel and RAM disk ids, no TPM",
    ),
    "DescribeImages": operation(
        describe_images,
        *("ImageIds", "Owners", "ExecutableUsers", "IncludeDeprecated", "IncludeDisabled"),
        *("Filters", "MaxResults", "NextToken"),
    ),
    "DeregisterImage": operation(deregister_image, "ImageId", "DeleteAssociatedSnapshots"),
    "CreateImage": operation(
        create_image,
        *("InstanceId", "Name", "Description", "NoReboot", "BlockDeviceMappings"),
        "TagSpecifications",
        partly="no BootModeOverride, no SnapshotLocation",
    ),
}
