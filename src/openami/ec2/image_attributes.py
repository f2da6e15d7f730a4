"""DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from openami.actions import image_attributes as actions
from openami.actions.image_attributes import PermissionChange, bad_item
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidRequest,
    MissingParameter,
)
from openami.domain.ids import AccountId, ImageId, parse_account_id, parse_image_id
from openami.domain.image import Image
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
    given: list[dict[str, str]] = [{"UserId": account} for account in sorted(image.shared_with)]
    return {"LaunchPermissions": ([{"Group": "all"}] if image.public else []) + given}


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
    "deregistrationProtection": _value("DeregistrationProtection", lambda _image: "disabled"),
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
_ITEMS: Final = ("UserIds", "UserGroups", "OrganizationArns", "OrganizationalUnitArns")
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
    named = request.get("Attribute")
    shapes = [name for name in _SHAPES if name in request]
    said = {name[0].lower() + name[1:] for name in shapes}
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


def _text(request: Request, shape: str) -> str:
    value = request[shape].get("Value") if shape in request else request.get("Value")
    if value is None:
        raise MissingParameter("value")
    return value


def _change(request: Request) -> PermissionChange:
    if "LaunchPermission" in request:
        wanted = request["LaunchPermission"]
        only(wanted, "LaunchPermission.", {"Add", "Remove"})
        add, remove = wanted.get("Add", ()), wanted.get("Remove", ())
    else:
        items = _listed(request)
        kind = request.get("OperationType")
        if kind not in ("add", "remove"):
            raise (
                MissingParameter("operationType")
                if kind is None
                else InvalidParameterValue(
                    f"Value ({kind}) for parameter operationType is invalid. It is add or remove."
                )
            )
        add, remove = (items, ()) if kind == "add" else ((), items)
    if not add and not remove:
        raise InvalidParameterCombination("No launch permission is named to add or to remove")
    added, taken = _parsed(add), _parsed(remove)
    public = True if added[1] else (False if taken[1] else None)
    return PermissionChange(add=added[0], remove=taken[0], public=public)


def _listed(request: Request) -> Sequence[Mapping[str, str]]:
    names = {"UserIds": "UserId", "UserGroups": "Group", "OrganizationArns": "OrganizationArn"}
    names["OrganizationalUnitArns"] = "OrganizationalUnitArn"
    return [{item: value} for field, item in names.items() for value in request.get(field, ())]


def _parsed(items: Sequence[Mapping[str, Any]]) -> tuple[frozenset[AccountId], bool]:
    """The accounts, and whether the group "all" is among the items."""
    users: set[AccountId] = set()
    everybody = False
    for item in items:
        for kind in ("OrganizationArn", "OrganizationalUnitArn"):
            if kind in item:  # openami has no organizations, so no ARN names one
                raise bad_item(item[kind], kind)
        if "Group" in item:
            if item["Group"] != "all":
                raise bad_item(item["Group"], "group")
            everybody = True
        if "UserId" in item:
            users.add(_account(item["UserId"]))
    return frozenset(users), everybody


def _account(text: str) -> AccountId:
    try:
        return parse_account_id(text)
    except EC2Error:
        raise bad_item(text, "userId") from None


def reset_image_attribute(svc: Services, caller: Caller, request: Request) -> Result:
    image_id: ImageId = parse_image_id(request["ImageId"])
    if request["Attribute"] != "launchPermission":
        raise InvalidRequest("The request received was invalid")
    actions.reset_launch_permission(svc, caller, image_id)
    return {}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeImageAttribute": operation(describe_image_attribute, "ImageId", "Attribute"),
    "ModifyImageAttribute": operation(
        modify_image_attribute,
        *("ImageId", "Attribute", "Value", "Description", "LaunchPermission", "ImdsSupport"),
        *("OperationType", *_ITEMS),
        partly="no organizations",
    ),
    "ResetImageAttribute": operation(reset_image_attribute, "ImageId", "Attribute"),
}
