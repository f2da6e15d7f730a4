"""The metadata of one instance as a tree of paths. Pure.

Categories: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html
A path with nothing to tell is absent (404), as at EC2: no public address, no `public-ipv4`;
no IAM role, no `iam/`; no Spot instance, no `spot/`; unsigned, no `signature` or `pkcs7`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import unquote

from openami.domain.metadata import Metadata, Switch

# Each dated version answers what `latest` does; software asks for the one it was written for.
VERSIONS: Final = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01"),
    *("2008-09-01", "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25"),
    *("2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28"),
    *("2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23"),
    *("2021-07-15", "2022-07-09", "2022-09-24", "2024-04-11", "latest"),
)

Node: TypeAlias = "Mapping[str, Node] | str | bytes"
Tree: TypeAlias = "Mapping[str, Node]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    body: bytes
    content_type: str


def look_up(metadata: Metadata, path: str) -> Found | None:
    """What a GET of the path tells, a directory's listing or a leaf's value; None is a 404."""
    parts = [unquote(part) for part in path.partition("?")[0].split("/") if part]
    if not parts:
        return _text("\n".join(VERSIONS))
    if parts[0] not in VERSIONS:
        return None
    node: Node = tree(metadata)
    for part in parts[1:]:
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    if isinstance(node, bytes):
        return Found(body=node, content_type="application/octet-stream")
    if isinstance(node, str):
        return _text(node)
    return _text(_listing(metadata, parts[1:], node))


def _listing(metadata: Metadata, parts: list[str], node: Tree) -> str:
    match parts:
        case ["meta-data", "public-keys"]:
            return "\n".join(f"{i}={key.name}" for i, key in enumerate(metadata.public_keys))
        case []:
            return "\n".join(node)  # the roots have no slash at EC2
        case _:
            return "\n".join(
                name + ("/" if isinstance(value, Mapping) else "") for name, value in node.items()
            )


def _text(text: str) -> Found:
    return Found(body=text.encode(), content_type="text/plain")


def tree(metadata: Metadata) -> Tree:
    identity = {"document": identity_document(metadata)}
    roots: dict[str, Node] = {
        "dynamic": {"instance-identity": identity},
        "meta-data": dict(sorted(_meta_data(metadata).items())),
    }
    if metadata.user_data is not None:
        roots["user-data"] = metadata.user_data
    return roots


def identity_document(metadata: Metadata) -> str:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html"""
    return json.dumps(
        {
            "accountId": metadata.account,
            "architecture": metadata.architecture,
            "availabilityZone": metadata.availability_zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": metadata.image_id,
            "instanceId": metadata.instance_id,
            "instanceType": metadata.instance_type,
            "kernelId": None,
            "pendingTime": metadata.pending_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "privateIp": metadata.private_ip,
            "ramdiskId": None,
            "region": metadata.region,
            "version": "2017-09-30",
        },
        indent=2,
        separators=(",", " : "),
    )


def _meta_data(m: Metadata) -> dict[str, Node]:
    told: dict[str, Node] = {
        **_public(m, "public-ipv4"),
        "ami-id": m.image_id,
        "ami-launch-index": str(m.ami_launch_index),
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": dict(m.block_devices),
        "hostname": m.hostname,
        "instance-action": m.instance_action,
        "instance-id": m.instance_id,
        "instance-life-cycle": m.life_cycle,
        "instance-type": m.instance_type,
        "local-hostname": m.hostname,
        "local-ipv4": m.private_ip,
        "mac": m.mac,
        "network": {"interfaces": {"macs": {m.mac: _interface(m)}}},
        "placement": _placement(m),
        "profile": "default-hvm",
        "reservation-id": m.reservation_id,
        "security-groups": "\n".join(group.name for group in m.security_groups),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if m.public_keys:
        told["public-keys"] = {
            str(i): {"openssh-key": key.openssh_text} for i, key in enumerate(m.public_keys)
        }
    if m.tags and m.options.instance_metadata_tags is Switch.ENABLED:
        told["tags"] = {"instance": dict(m.tags)}
    return told


def _interface(m: Metadata) -> Tree:
    told: dict[str, Node] = {
        **_public(m, "public-ipv4s"),
        "device-number": "0",
        "interface-id": m.network_interface_id,
        "local-hostname": m.hostname,
        "local-ipv4s": m.private_ip,
        "mac": m.mac,
        "owner-id": m.account,
        "security-group-ids": "\n".join(group.group_id for group in m.security_groups),
        "security-groups": "\n".join(group.name for group in m.security_groups),
        "subnet-id": m.subnet_id,
        "subnet-ipv4-cidr-block": m.subnet_cidr,
        "vpc-id": m.vpc_id,
        "vpc-ipv4-cidr-block": m.vpc_cidr,
        "vpc-ipv4-cidr-blocks": m.vpc_cidr,
    }
    if m.public_ip is not None:
        told["ipv4-associations"] = {m.public_ip: m.private_ip}
    return dict(sorted(told.items()))


def _public(m: Metadata, address_name: str) -> dict[str, Node]:
    told = {address_name: m.public_ip, "public-hostname": m.public_hostname}
    return {name: value for name, value in told.items() if value is not None}


def _placement(m: Metadata) -> Tree:
    told = {
        "availability-zone": m.availability_zone,
        "availability-zone-id": m.availability_zone_id,
        "region": m.region,
    }
    return {name: value for name, value in told.items() if value is not None}
