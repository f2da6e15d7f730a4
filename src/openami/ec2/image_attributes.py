"""Describe-, Modify- and ResetImageAttribute, CancelImageLaunchPermission."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from openami.actions import image_attributes as actions
from openami.actions.image_attributes import PermissionChange, Permissions, bad_item
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidRequest,
    MissingParameter,
)
from openami.domain.ids import (
    AccountId,
    ImageId,
    OrganizationArn,
    parse_account_id,
    parse_image_id,
)
from openami.domain.image import Image
from openami.domain.organization import is_organization_arn, is_unit_arn
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.services import Services


def _value(name: str, text: Callable[[Image], str | None]) -> Callable[[Image], Result]:
    """A plain attribute; one that the image lacks is absent."""

    def answer(image: Image) -> Result:
        found = text(image)
        return {} if found is None else {name: {"Value": found}}

    return answer


def _launched(image: Image) -> str | None:
    at = image.last_launched_at
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _permissions(image: Image) -> Result:
    given: list[dict[str, str]] = [{"Group": "all"}] if image.public else []
    given.extend({"UserId": account} for account in sorted(image.shared_with))
    for arn in sorted(image.shared_with_organizations):
        organization = is_organization_arn(arn)
        given.append({"OrganizationArn" if organization else "OrganizationalUnitArn": arn})
    return {"LaunchPermissions": given}


_ATTRIBUTES: Final[Mapping[str, Callable[[Image], Result]]] = {
    "description": _value("Description", lambda image: image.description or ""),
    "kernel": _value("KernelId", lambda image: image.kernel_id),
    "ramdisk": _value("RamdiskId", lambda image: image.ramdisk_id),
    "launchPermission": _permissions,
    "productCodes": lambda _image: {"ProductCodes": []},
    "sriovNetSupport": _value("SriovNetSupport", lambda image: image.sriov_net_support),
    "bootMode": _value("BootMode", lambda image: image.boot_mode),
    "tpmSupport": _value("TpmSupport", lambda image: image.tpm_support),
    "uefiData": lambda _image: {},
    "lastLaunchedTime": _value("LastLaunchedTime", _launched),
    "imdsSupport": _value("ImdsSupport", lambda image: image.imds_support),
    "deregistrationProtection": _value(
        "DeregistrationProtection", lambda image: image.deregistration_protection
    ),
}


def describe_image_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    attribute = request["Attribute"]
    image_id = parse_image_id(request["ImageId"])
    if attribute == "blockDeviceMapping":
        # EC2 has the attribute and refuses it to everybody: DescribeImages tells the mappings.
        raise EC2Error.of("AuthFailure", "Unauthorized attempt to access restricted resource", 401)
    if attribute not in _ATTRIBUTES:
        raise InvalidRequest("The request received was invalid")
    image = actions.fetch_own_image(svc, caller, image_id)
    return {"ImageId": image.id, **_ATTRIBUTES[attribute](image)}


_SHAPES: Final = ("Description", "LaunchPermission", "ImdsSupport")
_ITEMS: Final = {
    "UserIds": "UserId",
    "UserGroups": "Group",
    "OrganizationArns": "OrganizationArn",
    "OrganizationalUnitArns": "OrganizationalUnitArn",
}
_ARNS: Final = {"OrganizationArn": is_organization_arn, "OrganizationalUnitArn": is_unit_arn}
_CHANGEABLE: Final = ("description", "launchPermission", "imdsSupport")


def modify_image_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    image_id = parse_image_id(request["ImageId"])
    attribute = _attribute(request)
    match attribute:
        case "description":
            actions.modify_description(svc, caller, image_id, _text(request, "Description"))
        case "imdsSupport":
            if _text(request, "ImdsSupport") != "v2.0":
                raise InvalidParameterValue("The only value of imdsSupport is v2.0")
            actions.require_imds_v2(svc, caller, image_id)
        case _:
            actions.modify_launch_permission(svc, caller, image_id, _change(request))
    return {}


def _attribute(request: Request) -> str:
    """The one attribute that the request is about, in whichever of EC2's shapes it is said."""
    named = _lower(request["Attribute"]) if "Attribute" in request else None
    shapes = [name for name in _SHAPES if name in request]
    said = {_lower(name) for name in shapes}
    if named is not None:
        said.add(named)
    elif any(name in request for name in (*_ITEMS, "OperationType")):
        said.add("launchPermission")
    if len(said) != 1:
        raise InvalidParameterCombination(
            "Exactly one attribute can be modified: description, launchPermission or imdsSupport"
        )
    attribute = said.pop()
    if attribute == "blockDeviceMapping":
        raise EC2Error.of("InvalidParameter", "The block device mapping of an image never changes")
    if attribute not in _CHANGEABLE:
        raise InvalidParameterCombination(f"The attribute {attribute} cannot be modified")
    return attribute


def _lower(name: str) -> str:
    """The attribute's name as EC2 writes it; awspub says LaunchPermission, and EC2 takes it."""
    return name[:1].lower() + name[1:]


def _text(request: Request, shape: str) -> str:
    extra = [name for name in (*_ITEMS, "OperationType") if name in request]
    if extra or (shape in request and "Value" in request):
        raise InvalidParameterCombination(f"{shape} is said once, and by its value alone")
    value = request[shape].get("Value") if shape in request else request.get("Value")
    if value is None:
        raise MissingParameter("value")
    return value


def _change(request: Request) -> PermissionChange:
    """What is to be given and taken. Raises InvalidAMIAttributeItemValue for a bad item."""
    if "LaunchPermission" in request:
        wanted = request["LaunchPermission"]
        only(wanted, "LaunchPermission.", {"Add", "Remove"})
        repeated = request.get("OperationType", "").capitalize() in ("", *wanted)
        if not repeated or any(name in request for name in (*_ITEMS, "Value")):
            raise InvalidParameterCombination("LaunchPermission names all that it changes itself")
        add, remove = wanted.get("Add", ()), wanted.get("Remove", ())
    else:
        items = _listed(request)
        add, remove = (items, ()) if _operation_type(request) == "add" else ((), items)
    if not add and not remove:
        raise InvalidParameterCombination("No launch permission is named to add or to remove")
    return PermissionChange(add=_parsed(add), remove=_parsed(remove))


def _operation_type(request: Request) -> str:
    kind = request.get("OperationType")
    if kind is None:
        raise MissingParameter("operationType")
    if kind not in ("add", "remove"):
        raise InvalidParameterValue(
            f"Value ({kind}) for parameter operationType is invalid. It is add or remove."
        )
    return kind


def _listed(request: Request) -> Sequence[Mapping[str, str]]:
    """The older form's lists as the newer form's items."""
    return [{item: value} for field, item in _ITEMS.items() for value in request.get(field, ())]


def _parsed(items: Sequence[Mapping[str, Any]]) -> Permissions:
    users: set[AccountId] = set()
    arns: set[OrganizationArn] = set()
    everybody = False
    for item in items:
        only(item, "LaunchPermission.", {"UserId", "Group", *_ARNS})
        if not item:
            raise InvalidParameterCombination("A launch permission names nobody")
        if item.get("Group", "all") != "all":
            raise bad_item(item["Group"], "group")
        everybody |= "Group" in item
        users |= {_account(item["UserId"])} if "UserId" in item else set()
        arns |= {_arn(item[kind], kind) for kind in _ARNS if kind in item}
    return Permissions(
        accounts=frozenset(users), organizations=frozenset(arns), everybody=everybody
    )


def _account(text: str) -> AccountId:
    try:
        return parse_account_id(text)
    except EC2Error:
        raise bad_item(text, "userId") from None


def _arn(text: str, kind: str) -> OrganizationArn:
    if not _ARNS[kind](text):
        raise bad_item(text, kind)
    return OrganizationArn(text)


def reset_image_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    image_id: ImageId = parse_image_id(request["ImageId"])
    if request["Attribute"] != "launchPermission":
        raise InvalidRequest("The request received was invalid")
    actions.reset_launch_permission(svc, caller, image_id)
    return {}


def cancel_image_launch_permission(svc: Services, caller: Caller, request: Request) -> Result:
    actions.cancel_launch_permission(svc, caller, parse_image_id(request["ImageId"]))
    return {"Return": True}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeImageAttribute": operation(describe_image_attribute, "ImageId", "Attribute"),
    "ModifyImageAttribute": operation(
        modify_image_attribute,
        *("ImageId", "Attribute", "Value", "Description", "LaunchPermission", "ImdsSupport"),
        *("OperationType", *_ITEMS),
    ),
    "ResetImageAttribute": operation(reset_image_attribute, "ImageId", "Attribute"),
    "CancelImageLaunchPermission": operation(cancel_image_launch_permission, "ImageId"),
}
