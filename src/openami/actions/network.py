"""The network that every account has in every region, made when it is first asked for.

What EC2 has and openami needs no record of (the internet gateway, the route table, the
network ACL, an interface) is derived from what there is a record of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openami.catalog import instances, security_groups, tags, vpcs
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, SubnetNotFound, VpcNotFound
from openami.domain.filter import Filter, Page
from openami.domain.ids import (
    NetworkInterfaceId,
    SecurityGroupId,
    SecurityGroupRuleId,
    SubnetId,
    VpcId,
)
from openami.domain.instance import Instance, InstanceState
from openami.domain.network import (
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Vpc,
    next_vpc_cidr,
    subnet_cidrs,
    usable_address_count,
)
from openami.domain.zone import availability_zones
from openami.services import Services

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultNetwork:
    """The default VPC with its subnets, what is free in them, and everybody's tags."""

    vpc: Vpc
    subnets: tuple[Subnet, ...]
    free_addresses: Mapping[SubnetId, int]
    default_group_id: SecurityGroupId
    tags: Mapping[str, Tags]

    def derived_id(self, prefix: str) -> str:
        """The id of a resource that every VPC has one of: `igw`, `rtb`, `acl`, `dopt`."""
        return f"{prefix}-{self.vpc.id.removeprefix('vpc-')}"

    def tags_of(self, resource_id: str) -> Tags:
        return self.tags.get(resource_id, {})


def ensure_default(svc: Services, tx: Transaction, caller: Caller) -> tuple[Vpc, list[Subnet]]:
    """The caller's VPC and subnets in the region, made in this transaction if need be."""
    vpc = vpcs.find(tx, caller.account, caller.region)
    if vpc is not None:
        return vpc, vpcs.subnets_of(tx, vpc.id)
    vpc = Vpc(
        id=VpcId(svc.ids.new("vpc")),
        region=caller.region,
        owner=caller.account,
        cidr=next_vpc_cidr(svc.settings.vpc_pool, vpcs.cidrs(tx)),
    )
    subnets = [
        Subnet(
            id=SubnetId(svc.ids.new("subnet")),
            vpc_id=vpc.id,
            region=caller.region,
            owner=caller.account,
            availability_zone=zone,
            cidr=cidr,
        )
        for zone, cidr in zip(
            availability_zones(caller.region), subnet_cidrs(vpc.cidr), strict=False
        )
    ]
    vpcs.add(tx, vpc, subnets)
    _add_default_group(svc, tx, vpc)
    return vpc, subnets


def _add_default_group(svc: Services, tx: Transaction, vpc: Vpc) -> None:
    """In: everything from its own members. Out: everything.

    https://docs.aws.amazon.com/vpc/latest/userguide/default-security-group.html
    """
    group = SecurityGroup(
        id=SecurityGroupId(svc.ids.new("sg")),
        vpc_id=vpc.id,
        region=vpc.region,
        owner=vpc.owner,
        name="default",
        description="default VPC security group",
    )
    security_groups.add(tx, group)
    security_groups.add_rule(tx, everything(svc, group.id, source_group_id=group.id))
    security_groups.add_rule(tx, everything(svc, group.id, cidr_ipv4="0.0.0.0/0"))


def everything(
    svc: Services,
    group_id: SecurityGroupId,
    *,
    cidr_ipv4: str | None = None,
    source_group_id: SecurityGroupId | None = None,
) -> SecurityGroupRule:
    """The rule that allows all traffic: out to a range, or in from a group."""
    return SecurityGroupRule(
        id=SecurityGroupRuleId(svc.ids.new("sgr")),
        group_id=group_id,
        is_egress=source_group_id is None,
        protocol="-1",
        from_port=-1,
        to_port=-1,
        cidr_ipv4=cidr_ipv4,
        source_group_id=source_group_id,
    )


def default_network(svc: Services, caller: Caller) -> DefaultNetwork:
    """What DescribeVpcs, DescribeSubnets and their kin tell of."""
    with svc.catalog.read() as tx:
        known = vpcs.find(tx, caller.account, caller.region)
    if known is None:
        with svc.catalog.begin() as tx:
            ensure_default(svc, tx, caller)
    with svc.catalog.read() as tx:
        vpc = vpcs.find(tx, caller.account, caller.region)
        assert vpc is not None
        subnets = vpcs.subnets_of(tx, vpc.id)
        used = vpcs.addresses_in_use(tx, vpc.id)
        ids = [vpc.id, *(subnet.id for subnet in subnets)]
        return DefaultNetwork(
            vpc=vpc,
            subnets=tuple(subnets),
            free_addresses={
                subnet.id: usable_address_count(subnet) - used.get(subnet.id, 0)
                for subnet in subnets
            },
            default_group_id=security_groups.fetch_named(tx, vpc.id, "default").id,
            tags=tags.of_many(tx, caller.account, ids),
        )


def checked_vpc(network: DefaultNetwork, vpc_ids: Sequence[str]) -> None:
    """Raises VpcNotFound for an id that is not the caller's."""
    for vpc_id in vpc_ids:
        if vpc_id != network.vpc.id:
            raise VpcNotFound(vpc_id)


def checked_subnets(network: DefaultNetwork, subnet_ids: Sequence[str]) -> None:
    """Raises SubnetNotFound for an id that is not the caller's."""
    known = {subnet.id for subnet in network.subnets}
    for subnet_id in subnet_ids:
        if subnet_id not in known:
            raise SubnetNotFound(subnet_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """The network interface of an instance: its only one, and it lives as long as it."""

    instance: Instance
    group_names: Mapping[str, str]
    tags: Tags

    @property
    def id(self) -> NetworkInterfaceId:
        return self.instance.network_interface_id


def network_interfaces(
    svc: Services, caller: Caller, interface_ids: Sequence[NetworkInterfaceId]
) -> list[Interface]:
    """Those of the caller's instances. Raises InvalidNetworkInterfaceID.NotFound."""
    with svc.catalog.read() as tx:
        found = [
            instance
            for instance in instances.describe(tx, caller, (), _EXISTING, Page())
            if not interface_ids or instance.network_interface_id in interface_ids
        ]
        missing = set(interface_ids) - {instance.network_interface_id for instance in found}
        if missing:
            raise EC2Error.of(
                "InvalidNetworkInterfaceID.NotFound",
                f"The networkInterface ID '{min(missing)}' does not exist",
            )
        named = security_groups.names_of(
            tx, {group for instance in found for group in instance.security_group_ids}
        )
        given = tags.of_many(
            tx, caller.account, [instance.network_interface_id for instance in found]
        )
    return [
        Interface(
            instance=instance,
            group_names=named,
            tags=given.get(instance.network_interface_id, {}),
        )
        for instance in sorted(found, key=lambda each: each.network_interface_id)
    ]


_EXISTING = (
    Filter(
        name="instance-state-name",
        values=tuple(state for state in InstanceState if state is not InstanceState.TERMINATED),
    ),
)
