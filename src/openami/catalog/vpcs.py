"""The default VPC of each account and region, and its subnets, in SQL."""

from collections.abc import Sequence

from sqlalchemy import func, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import instances, subnets, vpcs
from openami.domain.ids import AccountId, Region, SubnetId, VpcId
from openami.domain.instance import InstanceState
from openami.domain.network import Subnet, Vpc


def find(tx: Transaction, account: AccountId, region: Region) -> Vpc | None:
    """The account's VPC in the region, if something has asked for it before."""
    query = select(vpcs).where(vpcs.c.owner == account, vpcs.c.region == region)
    row = tx.execute(query).mappings().first()
    return None if row is None else Vpc(**row)


def fetch_any(tx: Transaction, vpc_id: VpcId) -> Vpc:
    """For workflows: the VPC of a machine, whoever owns it."""
    return Vpc(**tx.execute(select(vpcs).where(vpcs.c.id == vpc_id)).mappings().one())


def fetch_any_subnet(tx: Transaction, subnet_id: SubnetId) -> Subnet:
    query = select(subnets).where(subnets.c.id == subnet_id)
    return Subnet(**tx.execute(query).mappings().one())


def subnets_of(tx: Transaction, vpc_id: VpcId) -> list[Subnet]:
    query = select(subnets).where(subnets.c.vpc_id == vpc_id)
    rows = tx.execute(query.order_by(subnets.c.availability_zone)).mappings()
    return [Subnet(**row) for row in rows]


def cidrs(tx: Transaction) -> set[str]:
    """The ranges of all VPCs of the host: they must not overlap."""
    return set(tx.scalars(select(vpcs.c.cidr)))


def every(tx: Transaction) -> list[Vpc]:
    """For the operator: all VPCs of the host."""
    return [Vpc(**row) for row in tx.execute(select(vpcs)).mappings()]


def add(tx: Transaction, vpc: Vpc, parts: Sequence[Subnet]) -> None:
    tx.execute(insert(vpcs).values(id=vpc.id, region=vpc.region, owner=vpc.owner, cidr=vpc.cidr))
    for subnet in parts:
        tx.execute(
            insert(subnets).values(
                id=subnet.id,
                vpc_id=subnet.vpc_id,
                region=subnet.region,
                owner=subnet.owner,
                availability_zone=subnet.availability_zone,
                cidr=subnet.cidr,
            )
        )


def addresses_in_use(tx: Transaction, vpc_id: VpcId) -> dict[SubnetId, int]:
    """How many private addresses of each subnet instances hold."""
    query = (
        select(instances.c.subnet_id, func.count())
        .where(instances.c.vpc_id == vpc_id, instances.c.state != InstanceState.TERMINATED)
        .group_by(instances.c.subnet_id)
    )
    return {SubnetId(subnet_id): count for subnet_id, count in tx.execute(query)}
