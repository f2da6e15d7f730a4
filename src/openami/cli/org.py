"""openami org: declare organizations of accounts, with which images can be shared."""

import argparse
from collections.abc import Generator
from contextlib import contextmanager

from openami.actions import organizations
from openami.catalog.catalog import Transaction
from openami.cli.command import open_catalog
from openami.cli.failed import CommandFailed
from openami.domain.errors import EC2Error
from openami.domain.organization import OrganizationTree
from openami.real import RealClock, RealIds
from openami.settings import Settings


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="a new organization; prints its ARN")
    create.add_argument("account", help="its management account, by name or id")
    create.set_defaults(run=run_create)
    unit = actions.add_parser("ou", help="a new organizational unit; prints its ARN")
    unit.add_argument("place", help="the organization or the unit that it is in, by id or ARN")
    unit.add_argument("name")
    unit.set_defaults(run=run_unit)
    add = actions.add_parser("add", help="put an account into an organization or a unit")
    add.add_argument("account", help="an account's name or id")
    add.add_argument("place", help="an organization or a unit, by id or ARN")
    add.set_defaults(run=run_add)
    listing = actions.add_parser("list", help="organizations, their units and their accounts")
    listing.set_defaults(run=run_list)
    remove = actions.add_parser("remove", help="an account, an empty unit or organization")
    remove.add_argument("what", help="an account's name or id, or the id of a unit or organization")
    remove.set_defaults(run=run_remove)


@contextmanager
def _changing(settings: Settings) -> Generator[Transaction]:
    try:
        with open_catalog(settings).begin() as tx:
            yield tx
    except EC2Error as refused:
        raise CommandFailed(str(refused)) from refused


def run_create(settings: Settings, arguments: argparse.Namespace) -> int:
    with _changing(settings) as tx:
        clock, ids = RealClock(), RealIds()
        made = organizations.create_organization(tx, clock, ids, arguments.account)
    print(made.arn)
    return 0


def run_unit(settings: Settings, arguments: argparse.Namespace) -> int:
    with _changing(settings) as tx:
        arn = organizations.create_unit(tx, RealIds(), arguments.place, arguments.name)
    print(arn)
    return 0


def run_add(settings: Settings, arguments: argparse.Namespace) -> int:
    with _changing(settings) as tx:
        organizations.add_account(tx, arguments.account, arguments.place)
    return 0


def run_remove(settings: Settings, arguments: argparse.Namespace) -> int:
    with _changing(settings) as tx:
        organizations.remove(tx, arguments.what)
    return 0


def run_list(settings: Settings, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    with open_catalog(settings).read() as tx:
        for tree in organizations.list_organizations(tx):
            print(tree.organization.arn)
            _print_below(tree, tree.organization.root_id, "  ")
    return 0


def _print_below(tree: OrganizationTree, place: str, indent: str) -> None:
    for account, parent_id in tree.members.items():
        if parent_id == place:
            print(f"{indent}{account}")
    for unit in tree.units:
        if unit.parent_id == place:
            print(f"{indent}{unit.name}  {tree.arn_of(unit.id)}")
            _print_below(tree, unit.id, indent + "  ")
