"""What an instance may know about itself: everything the metadata service tells.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from openami.domain.ids import (
    AccountId,
    ImageId,
    InstanceId,
    NetworkInterfaceId,
    Region,
    ReservationId,
    SecurityGroupId,
    SubnetId,
    VpcId,
)


class HttpTokens(StrEnum):
    OPTIONAL = "optional"
    REQUIRED = "required"


class Switch(StrEnum):
    """How EC2 writes HttpEndpoint and InstanceMetadataTags."""

    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOptions:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceMetadataOptionsResponse.html"""

    http_tokens: HttpTokens = HttpTokens.OPTIONAL
    http_endpoint: Switch = Switch.ENABLED
    http_put_response_hop_limit: int = 1
    instance_metadata_tags: Switch = Switch.DISABLED


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupName:
    group_id: SecurityGroupId
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """`openssh_text` is a line of authorized_keys."""

    name: str
    openssh_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """One instance as its guest reads it.

    `block_devices` maps a virtual name to a device: `ami` and `root` to the root device,
    `ebs1…` and `ephemeral0…` to the others. `tags` are told only if the options say so.
    """

    instance_id: InstanceId
    image_id: ImageId
    instance_type: str
    architecture: str
    reservation_id: ReservationId
    account: AccountId
    region: Region
    availability_zone: str
    pending_time: datetime
    hostname: str
    mac: str
    private_ip: str
    network_interface_id: NetworkInterfaceId
    subnet_id: SubnetId
    subnet_cidr: str
    vpc_id: VpcId
    vpc_cidr: str
    ami_launch_index: int = 0
    availability_zone_id: str | None = None
    public_ip: str | None = None
    public_hostname: str | None = None
    security_groups: tuple[SecurityGroupName, ...] = ()
    public_keys: tuple[PublicKey, ...] = ()
    user_data: bytes | None = None
    block_devices: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    instance_action: str = "none"
    life_cycle: str = "on-demand"
    options: MetadataOptions = MetadataOptions()
