"""The network nouns: VPC, subnet, security group and its rules; and which address is next."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.ids import (
    AccountId,
    NetworkInterfaceId,
    Region,
    SecurityGroupId,
    SecurityGroupRuleId,
    SubnetId,
    VpcId,
)

VPC_PREFIX: Final = 20
SUBNET_PREFIX: Final = 22
RESERVED_FIRST: Final = 4
"""EC2 keeps the first four addresses of a subnet and the last one.

https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
"""


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


def next_vpc_cidr(pool: str, used: Collection[str]) -> str:
    """The lowest /20 of `pool` that no VPC of the host has. Raises VpcLimitExceeded."""
    for network in IPv4Network(pool).subnets(new_prefix=VPC_PREFIX):
        if str(network) not in used:
            return str(network)
    raise EC2Error.of("VpcLimitExceeded", "The maximum number of VPCs has been reached.")


def subnet_cidrs(vpc_cidr: str) -> tuple[str, ...]:
    return tuple(map(str, IPv4Network(vpc_cidr).subnets(new_prefix=SUBNET_PREFIX)))


def next_private_ip(subnet: Subnet, used: Collection[str]) -> str:
    """The lowest free address of the subnet. Raises InsufficientFreeAddressesInSubnet."""
    network = IPv4Network(subnet.cidr)
    for number in range(RESERVED_FIRST, network.num_addresses - 1):
        address = str(network[number])
        if address not in used:
            return address
    raise EC2Error.of(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the"
        " requested number of instances.",
    )


def checked_private_ip(subnet: Subnet, used: Collection[str], address: str) -> str:
    """`address`, if an instance can have it: InvalidParameterValue or InvalidIPAddress.InUse."""
    try:
        offset = int(IPv4Address(address)) - int(IPv4Network(subnet.cidr).network_address)
    except ValueError as wrong:
        raise InvalidParameterValue(
            f"Value ({address}) for parameter address is invalid. Invalid IPv4 address."
        ) from wrong
    if not RESERVED_FIRST <= offset < IPv4Network(subnet.cidr).num_addresses - 1:
        raise InvalidParameterValue(
            f"Address {address} does not fall within the subnet's address range or is reserved."
        )
    if address in used:
        raise EC2Error.of("InvalidIPAddress.InUse", f"Address {address} is in use.")
    return address


def usable_address_count(subnet: Subnet) -> int:
    return IPv4Network(subnet.cidr).num_addresses - RESERVED_FIRST - 1


def next_public_ip(pool: str, used: Collection[str]) -> str:
    """The lowest free loopback address of `pool`. Raises AddressLimitExceeded."""
    network = IPv4Network(pool)
    for number in range(1, network.num_addresses - 1):
        address = str(network[number])
        if address not in used:
            return address
    raise EC2Error.of("AddressLimitExceeded", "The maximum number of addresses has been reached.")


def next_number(used: Collection[int]) -> int:
    """The lowest number from 1 that is not in `used`."""
    number = 1
    while number in used:
        number += 1
    return number


def mac_of(interface_id: NetworkInterfaceId) -> str:
    """A locally administered MAC address made of the interface's id, so it never changes."""
    digits = "0a" + interface_id.rpartition("-")[2][-10:].rjust(10, "0")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))
