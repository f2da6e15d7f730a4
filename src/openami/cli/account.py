"""openami account: create, list, and give keys to the accounts that this server answers."""

import argparse

from openami.actions import accounts
from openami.cli.command import open_catalog
from openami.cli.failed import CommandFailed
from openami.cli.init import print_environment
from openami.domain.errors import EC2Error
from openami.real import RealClock, RealIds
from openami.settings import Settings


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="a new account with a first key")
    create.add_argument("name")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="accounts and the ids of their keys")
    listing.set_defaults(run=run_list)
    key = actions.add_parser("key", help="a new key for an account, or --revoke one")
    key.add_argument("account", help="an account's name or id")
    key.add_argument("--revoke", metavar="ACCESS_KEY_ID", help="stop honouring this key")
    key.set_defaults(run=run_key)


def run_create(settings: Settings, arguments: argparse.Namespace) -> int:
    catalog, clock, ids = open_catalog(settings), RealClock(), RealIds()
    try:
        with catalog.begin() as tx:
            account = accounts.create_account(tx, clock, arguments.name)
            key = accounts.create_access_key(tx, clock, ids, account.id)
    except EC2Error as refused:
        raise CommandFailed(str(refused)) from refused
    print_environment(settings, key)
    return 0


def run_list(settings: Settings, arguments: argparse.Namespace) -> int:  # noqa: ARG001
    with open_catalog(settings).read() as tx:
        for account in accounts.list_accounts(tx):
            keys = accounts.list_keys(tx, account.id)
            shown = ", ".join(key.id + ("" if key.active else " (revoked)") for key in keys)
            print(f"{account.id}  {account.name}  {shown}")
    return 0


def run_key(settings: Settings, arguments: argparse.Namespace) -> int:
    catalog, clock, ids = open_catalog(settings), RealClock(), RealIds()
    try:
        with catalog.begin() as tx:
            account = accounts.find_account(tx, arguments.account)
            if arguments.revoke:
                mine = {key.id for key in accounts.list_keys(tx, account.id)}
                if arguments.revoke not in mine:
                    raise CommandFailed(f"{account.name} has no access key {arguments.revoke}")
                accounts.deactivate_key(tx, arguments.revoke)
                return 0
            key = accounts.create_access_key(tx, clock, ids, account.id)
    except EC2Error as refused:
        raise CommandFailed(str(refused)) from refused
    print_environment(settings, key)
    return 0
