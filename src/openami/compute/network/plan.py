"""Who has which address and which name in a VPC's network: pure arithmetic, nothing else.

The first addresses of a range are reserved as they are at EC2: base + 1 is the subnet's
router, base + 2 of the VPC is the resolver, base + 3 (at EC2 "for future use") is the host
itself, as guests see it. https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from openami.compute.driver import MachineFailed, Port
from openami.domain.ids import VpcId, is_id

TAP_PREFIX: Final = "oa"
VETH_PREFIX: Final = "oav"
UPLINK: Final = "up0"  # the namespace's end of the veth
NOWHERE: Final = "nowhere"  # a link to nobody: what has no other route goes there to be refused
ROUTER_MAC: Final = "02:00:00:00:00:01"  # of every tap: a guest that moves keeps its neighbour
METADATA_ADDRESS: Final = "169.254.169.254"
ROUTE_PROTOCOL: Final = 197  # marks the host's routes as ours; unassigned in rt_protos
LOCALHOST: Final = IPv4Address("127.0.0.1")
_TAP_NUMBER_MAX: Final = 10**13 - 1  # an interface's name has at most 15 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcPlan:
    """The names and addresses of one VPC on this host."""

    vpc_id: VpcId
    cidr: IPv4Network

    @property
    def namespace(self) -> str:
        return self.vpc_id

    @property
    def veth(self) -> str:
        """The host's end of the veth, which is also the name of the host's nft table."""
        return veth_name(self.vpc_id)

    @property
    def resolver(self) -> IPv4Address:
        return self.cidr.network_address + 2

    @property
    def host(self) -> IPv4Address:
        """The host's own address in the VPC: the source of whatever it sends to a guest."""
        return self.cidr.network_address + 3


def veth_name(vpc_id: str) -> str:
    return VETH_PREFIX + vpc_id.removeprefix("vpc-")[-12:]


def tap_name(number: int) -> str:
    return f"{TAP_PREFIX}{number}"


def gateway(port: Port) -> IPv4Address:
    return IPv4Network(port.subnet_cidr).network_address + 1


def planned(port: Port) -> VpcPlan:
    """The plan of the port's VPC. Raises MachineFailed if the port cannot be served.

    What passes here may be written into rules and commands without further quoting.
    """
    try:
        cidr, subnet = IPv4Network(port.vpc_cidr), IPv4Network(port.subnet_cidr)
        address = IPv4Address(port.private_ip)
    except ValueError as wrong:
        raise MachineFailed(f"{port.instance_id} cannot have a network: {wrong}") from wrong
    if not is_id("vpc", port.vpc_id):
        raise MachineFailed(f"{port.vpc_id!r} is not the id of a VPC")
    if not 0 <= port.number <= _TAP_NUMBER_MAX:
        raise MachineFailed(f"{port.number} cannot be the number of a tap")
    plan = VpcPlan(vpc_id=port.vpc_id, cidr=cidr)
    reserved = (plan.resolver, plan.host, gateway(port), subnet.network_address)
    if not subnet.subnet_of(cidr) or address not in subnet or address in reserved:
        raise MachineFailed(f"{address} is not an address that a guest of {subnet} can have")
    return plan
