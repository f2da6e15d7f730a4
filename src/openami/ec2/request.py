"""What the requests of many operations have in common: filters, pages, tags, tokens, devices."""

from collections.abc import Mapping
from typing import Any

from openami.domain.block_device import BlockDeviceMapping, EbsDevice, checked
from openami.domain.errors import (
    EC2Error,
    InvalidParameterCombination,
    InvalidParameterDependency,
    InvalidParameterValue,
    UnsupportedOperation,
)
from openami.domain.filter import Filter, Page, checked_filters
from openami.domain.idempotency import ClientToken
from openami.domain.ids import parse_snapshot_id
from openami.domain.tag import checked_tags
from openami.doors.client_token import fingerprinted
from openami.doors.paging import one_more as one_more
from openami.doors.paging import paged as paged
from openami.doors.paging import place_of
from openami.doors.paging import token_after as token_after
from openami.ec2.operation import Request, only

CLIENT_TOKEN_CHARACTERS_MAX = 64


def filters(request: Request) -> tuple[Filter, ...]:
    """The request's Filters. One without a name is refused, one without values matches nothing."""
    found: list[Filter] = []
    for each in request.get("Filters", ()):
        if not each.get("Name"):
            raise InvalidParameterValue("The filter 'null' is invalid")
        found.append(Filter(name=each["Name"], values=tuple(each.get("Values", ()))))
    return checked_filters(found)


def page(request: Request, least: int, greatest: int, *, ids: str = "") -> Page:
    """MaxResults and NextToken. `ids` names the id parameter that may not come with them.

    Raises InvalidParameterValue for a MaxResults out of bounds, InvalidNextToken for a token
    that we did not make.
    """
    limit, token = request.get("MaxResults"), request.get("NextToken")
    if limit is not None and ids and request.get(ids):
        raise InvalidParameterCombination(
            f"The parameter {ids} cannot be used with the parameter MaxResults"
        )
    if limit is not None and not least <= limit <= greatest:
        raise InvalidParameterValue(
            f"Value ( {limit} ) for parameter maxResults is invalid."
            f" Expecting a value between {least} and {greatest}."
        )
    return Page(limit=limit, after=None if token is None else _place(token))


def _place(token: str) -> str:
    place = place_of(token)
    if place is None:
        raise EC2Error.of("InvalidNextToken", f"The token '{token}' is invalid")
    return place


def tag_specifications(request: Request, *allowed: str) -> Mapping[str, Mapping[str, str]]:
    """Resource type → tags, of the types that this operation makes."""
    found: dict[str, list[tuple[str, str]]] = {}
    for each in request.get("TagSpecifications", ()):
        kind = each.get("ResourceType", "")
        if kind not in allowed:
            raise InvalidParameterValue(
                f"'{kind}' is not a valid taggable resource type for this operation."
            )
        pairs = [(tag.get("Key", ""), tag.get("Value", "")) for tag in each.get("Tags", ())]
        found.setdefault(kind, []).extend(pairs)
    return {kind: checked_tags(pairs) for kind, pairs in found.items()}


def check_unencrypted(request: Request, what: str) -> None:
    """Encrypted and KmsKeyId, where the one must be false and the other absent. `what`: plural."""
    if request.get("Encrypted"):
        raise UnsupportedOperation(f"openami does not encrypt {what} yet")
    if request.get("KmsKeyId"):
        raise InvalidParameterDependency(
            "The parameter KmsKeyId requires the parameter Encrypted to be set."
        )


def client_token(operation_name: str, request: Request) -> ClientToken | None:
    """The request's ClientToken with a digest of all its other parameters."""
    token = request.get("ClientToken")
    if not token:
        return None
    if len(token) > CLIENT_TOKEN_CHARACTERS_MAX or not token.isascii():
        raise EC2Error.of(
            "InvalidClientToken",
            f"A client token is at most {CLIENT_TOKEN_CHARACTERS_MAX} ASCII characters",
        )
    return fingerprinted(operation_name, request)


_EBS_HEEDED = frozenset(
    {"SnapshotId", "VolumeSize", "VolumeType", "Iops", "Throughput", "DeleteOnTermination"}
    | {"Encrypted"}
)


def block_device_mappings(request: Request) -> tuple[BlockDeviceMapping, ...]:
    """The request's BlockDeviceMappings, each well formed. NoDevice counts by being there."""
    return checked([_mapping(each) for each in request.get("BlockDeviceMappings", ())])


def _mapping(raw: Mapping[str, Any]) -> BlockDeviceMapping:
    only(raw, "BlockDeviceMapping.", {"DeviceName", "VirtualName", "NoDevice", "Ebs"})
    ebs = raw.get("Ebs")
    return BlockDeviceMapping(
        device_name=raw.get("DeviceName", ""),
        virtual_name=raw.get("VirtualName"),
        no_device="NoDevice" in raw,
        ebs=None if ebs is None else _ebs(ebs),
    )


def _ebs(raw: Mapping[str, Any]) -> EbsDevice:
    only(raw, "BlockDeviceMapping.Ebs.", _EBS_HEEDED)
    snapshot_id = raw.get("SnapshotId")
    return EbsDevice(
        snapshot_id=None if snapshot_id is None else parse_snapshot_id(snapshot_id),
        volume_size_gib=raw.get("VolumeSize"),
        volume_type=raw.get("VolumeType"),
        iops=raw.get("Iops"),
        throughput=raw.get("Throughput"),
        delete_on_termination=raw.get("DeleteOnTermination"),
        encrypted=raw.get("Encrypted"),
    )
