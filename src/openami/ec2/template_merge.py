"""A launch that has a launch template for its base.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/launch-instances-from-launch-template.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.domain.launch_template import Document
from openami.ec2.operation import Request


def launched_from(data: Document, request: Request) -> Request:
    """RunInstances with a template: what the request says wins.

    Structures are merged member by member, devices by their names, interfaces by their index,
    tags by resource type and key; anything else is replaced as a whole.
    """
    merged: dict[str, Any] = {**data, **request}
    for name in _STRUCTURES:
        if data.get(name) and request.get(name):
            merged[name] = {**data[name], **request[name]}
    for name, key, default in _LISTS:
        if data.get(name) and request.get(name):
            merged[name] = _merged(data[name], request[name], key, default)
    if data.get("TagSpecifications") and request.get("TagSpecifications"):
        merged["TagSpecifications"] = _merged_tags(
            data["TagSpecifications"], request["TagSpecifications"]
        )
    if request.get("SecurityGroups") or request.get("SecurityGroupIds"):
        # Both name the groups of the launch: the template's do not add to the request's.
        for name in ("SecurityGroups", "SecurityGroupIds"):
            merged[name] = request.get(name, [])
    return merged


_STRUCTURES: Final = (
    *("Placement", "MetadataOptions", "Monitoring", "CreditSpecification", "CpuOptions"),
    *("PrivateDnsNameOptions", "MaintenanceOptions"),
)
_LISTS: Final = (
    ("BlockDeviceMappings", "DeviceName", ""),
    ("NetworkInterfaces", "DeviceIndex", 0),
)


def _merged(
    base: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]], key: str, default: Any
) -> list[Mapping[str, Any]]:
    named = {each.get(key, default) for each in changes}
    return [*(each for each in base if each.get(key, default) not in named), *changes]


def _merged_tags(
    base: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = list(changes)
    for each in base:
        kind = each.get("ResourceType", "")
        taken = {
            tag.get("Key", "")
            for other in changes
            if other.get("ResourceType", "") == kind
            for tag in other.get("Tags", ())
        }
        kept = [tag for tag in each.get("Tags", ()) if tag.get("Key", "") not in taken]
        found.append({"ResourceType": kind, "Tags": kept})
    return found
