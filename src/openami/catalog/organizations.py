"""Organizations in SQL, and the shadow table by which images are shared with them."""

from sqlalchemy import delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import (
    organization_members,
    organization_memberships,
    organizational_units,
    organizations,
)
from openami.domain.ids import AccountId, OrganizationArn, OrganizationId
from openami.domain.organization import Organization, OrganizationTree, Unit


def save(tx: Transaction, tree: OrganizationTree) -> None:
    """Write the organization as it is now, with whom it counts."""
    remove(tx, tree.organization.id)
    top = tree.organization
    tx.execute(
        insert(organizations).values(
            id=top.id, management_account=top.management_account, created_at=top.created_at
        )
    )
    for unit in tree.units:
        tx.execute(
            insert(organizational_units).values(
                id=unit.id,
                organization_id=unit.organization_id,
                parent_id=unit.parent_id,
                name=unit.name,
            )
        )
    for account, parent_id in tree.members.items():
        tx.execute(
            insert(organization_members).values(
                account=account, organization_id=top.id, parent_id=parent_id
            )
        )
        for arn in sorted(tree.memberships(account)):
            tx.execute(insert(organization_memberships).values(account=account, arn=arn))


def remove(tx: Transaction, organization_id: OrganizationId) -> None:
    members = organization_members.c
    accounts = select(members.account).where(members.organization_id == organization_id)
    shadow = organization_memberships
    tx.execute(delete(shadow).where(shadow.c.account.in_(accounts)))
    for table in (organization_members, organizational_units):
        tx.execute(delete(table).where(table.c.organization_id == organization_id))
    tx.execute(delete(organizations).where(organizations.c.id == organization_id))


def everything(tx: Transaction) -> list[OrganizationTree]:
    """All organizations, by id, whole."""
    found: list[OrganizationTree] = []
    for row in tx.execute(select(organizations).order_by(organizations.c.id)).mappings():
        top = Organization(**row)
        found.append(
            OrganizationTree(organization=top, units=_units(tx, top.id), members=_members(tx, top))
        )
    return found


def _units(tx: Transaction, organization_id: OrganizationId) -> tuple[Unit, ...]:
    table = organizational_units
    query = select(table).where(table.c.organization_id == organization_id)
    rows = tx.execute(query.order_by(table.c.name, table.c.id)).mappings()
    return tuple(Unit(**row) for row in rows)


def _members(tx: Transaction, top: Organization) -> dict[AccountId, str]:
    table = organization_members
    query = select(table).where(table.c.organization_id == top.id).order_by(table.c.account)
    return {row.account: row.parent_id for row in tx.execute(query)}


def exists(tx: Transaction, arn: OrganizationArn) -> bool:
    """Whether an organization or a unit has this ARN."""
    return any(
        arn == tree.organization.arn or arn in {tree.arn_of(unit.id) for unit in tree.units}
        for tree in everything(tx)
    )
