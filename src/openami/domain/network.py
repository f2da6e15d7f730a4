"""The network nouns: VPC, subnet, security group and its rules."""

from dataclasses import dataclass

from openami.domain.ids import (
    AccountId,
    Region,
    SecurityGroupId,
    SecurityGroupRuleId,
    SubnetId,
    VpcId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vpc:
    """The default VPC of one account in one region; each has a range of its own on the host."""

    id: VpcId
    region: Region
    owner: AccountId
    cidr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subnet:
    id: SubnetId
    vpc_id: VpcId
    region: Region
    owner: AccountId
    availability_zone: str
    cidr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroup:
    id: SecurityGroupId
    vpc_id: VpcId
    region: Region
    owner: AccountId
    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupRule:
    """One permission. Exactly one of the sources is set.

    `protocol` is "tcp", "udp", "icmp", "icmpv6" or "-1"; ports are -1 where all are meant
    (for ICMP: type and code).
    """

    id: SecurityGroupRuleId
    group_id: SecurityGroupId
    is_egress: bool
    protocol: str
    from_port: int
    to_port: int
    cidr_ipv4: str | None = None
    cidr_ipv6: str | None = None
    source_group_id: SecurityGroupId | None = None
    description: str | None = None
