"""The default VPC of each account and region, and its subnets, in SQL."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, func, insert, select

from openami.catalog import prepared
from openami.catalog.catalog import Transaction
from openami.catalog.schema import instances, subnets, vpcs
from openami.domain.ids import AccountId, Region, SubnetId, VpcId
from openami.domain.instance import InstanceState
from openami.domain.network import Subnet, Vpc

_OF_ACCOUNT: Final = prepared.Prepared(
    select(vpcs).where(vpcs.c.owner == bindparam("account"), vpcs.c.region == bindparam("region"))
)
_BY_ID: Final = prepared.Prepared(select(vpcs).where(vpcs.c.id == bindparam("vpc_id")))
_SUBNET: Final = prepared.Prepared(select(subnets).where(subnets.c.id == bindparam("subnet_id")))
_SUBNETS: Final = prepared.Prepared(
    select(subnets)
    .where(subnets.c.vpc_id == bindparam("of_vpc"))
    .order_by(subnets.c.availability_zone)
)


def find(tx: Transaction, account: AccountId, region: Region) -> Vpc | None:
    """The account's VPC in the region, if something has asked for it before."""
    found = _OF_ACCOUNT.rows(tx, account=account, region=region)
    return Vpc(**prepared.fields(found[0])) if found else None


def fetch_any(tx: Transaction, vpc_id: VpcId) -> Vpc:
    """For workflows: the VPC of a machine, whoever owns it."""
    (row,) = _BY_ID.rows(tx, vpc_id=vpc_id)
    return Vpc(**prepared.fields(row))


def fetch_any_subnet(tx: Transaction, subnet_id: SubnetId) -> Subnet:
    (row,) = _SUBNET.rows(tx, subnet_id=subnet_id)
    return Subnet(**prepared.fields(row))


def subnets_of(tx: Transaction, vpc_id: VpcId) -> list[Subnet]:
    return [Subnet(**prepared.fields(row)) for row in _SUBNETS.rows(tx, of_vpc=vpc_id)]


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
