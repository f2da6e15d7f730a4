"""Organizations of accounts: declared by the operator, so that images can be shared with them."""

from collections.abc import Sequence
from dataclasses import replace

from openami.actions.accounts import find_account
from openami.catalog import organizations
from openami.catalog.catalog import Transaction
from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import AccountId, Clock, Ids, OrganizationId
from openami.domain.organization import (
    UNIT_NAME_CHARACTERS_MAX,
    Organization,
    OrganizationTree,
    Unit,
)


def list_organizations(tx: Transaction) -> Sequence[OrganizationTree]:
    return organizations.everything(tx)


def create_organization(tx: Transaction, clock: Clock, ids: Ids, account: str) -> Organization:
    """A new organization whose management account and first member is `account`.

    Raises InvalidParameterValue if there is no such account or it is in an organization.
    """
    management = find_account(tx, account).id
    _check_free(tx, management)
    top = Organization(
        id=OrganizationId(ids.new("o")), management_account=management, created_at=clock.now()
    )
    organizations.save(tx, OrganizationTree(organization=top, members={management: top.root_id}))
    return top


def create_unit(tx: Transaction, ids: Ids, place: str, name: str) -> str:
    """The ARN of a new unit in the organization or unit `place`.

    Raises InvalidParameterValue if there is no such place, for a name that is taken there.
    """
    tree, parent_id = _place(tx, place)
    if not 1 <= len(name) <= UNIT_NAME_CHARACTERS_MAX:
        raise InvalidParameterValue(f"'{name}' cannot be a unit's name")
    if any(unit.name == name and unit.parent_id == parent_id for unit in tree.units):
        raise InvalidParameterValue(f"there is a unit '{name}' in {place} already")
    top = tree.organization
    digits = ids.new("ou").removeprefix("ou-")
    unit = Unit(
        id=f"ou-{top.root_id.removeprefix('r-')}-{digits}",
        organization_id=top.id,
        parent_id=parent_id,
        name=name,
    )
    organizations.save(tx, replace(tree, units=(*tree.units, unit)))
    return tree.arn_of(unit.id)


def add_account(tx: Transaction, account: str, place: str) -> None:
    """Put an account into the organization or unit `place`, or move it there within it.

    Raises InvalidParameterValue if there is no such account or place, and for an account of
    another organization.
    """
    tree, parent_id = _place(tx, place)
    member = find_account(tx, account).id
    if member not in tree.members:
        _check_free(tx, member)
    organizations.save(tx, replace(tree, members={**tree.members, member: parent_id}))


def remove(tx: Transaction, what: str) -> None:
    """Take an account out of its organization, or away an empty unit or organization.

    Raises InvalidParameterValue for what is none of these or is not empty.
    """
    for tree in organizations.everything(tx):
        if what == tree.organization.id:
            return _remove_organization(tx, tree)
        if any(unit.id == what for unit in tree.units):
            return _remove_unit(tx, tree, what)
    return _remove_account(tx, find_account(tx, what).id)


def _remove_organization(tx: Transaction, tree: OrganizationTree) -> None:
    if tree.units or set(tree.members) != {tree.organization.management_account}:
        raise InvalidParameterValue(f"{tree.organization.id} has units or members still")
    organizations.remove(tx, tree.organization.id)


def _remove_unit(tx: Transaction, tree: OrganizationTree, unit_id: str) -> None:
    if unit_id in tree.members.values() or any(unit.parent_id == unit_id for unit in tree.units):
        raise InvalidParameterValue(f"{unit_id} has units or members still")
    kept = tuple(unit for unit in tree.units if unit.id != unit_id)
    organizations.save(tx, replace(tree, units=kept))


def _remove_account(tx: Transaction, account: AccountId) -> None:
    for tree in organizations.everything(tx):
        if account not in tree.members:
            continue
        if account == tree.organization.management_account:
            raise InvalidParameterValue(f"{account} manages {tree.organization.id}")
        kept = {each: place for each, place in tree.members.items() if each != account}
        return organizations.save(tx, replace(tree, members=kept))
    raise InvalidParameterValue(f"{account} is in no organization")


def _place(tx: Transaction, place: str) -> tuple[OrganizationTree, str]:
    """The organization that `place` is or is in, and the id of the root or unit that is meant."""
    for tree in organizations.everything(tx):
        top = tree.organization
        if place in (top.id, top.root_id, top.arn):
            return tree, top.root_id
        for unit in tree.units:
            if place in (unit.id, tree.arn_of(unit.id)):
                return tree, unit.id
    raise InvalidParameterValue(f"there is no organization or unit '{place}'")


def _check_free(tx: Transaction, account: AccountId) -> None:
    for tree in organizations.everything(tx):
        if account in tree.members:
            raise InvalidParameterValue(f"{account} is in {tree.organization.id} already")
