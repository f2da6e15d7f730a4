"""openami init: make the state directory, a first account and its key, and say how to use them."""

import argparse
import os

from openami.actions import accounts
from openami.catalog import migrate
from openami.catalog.catalog import Catalog
from openami.cli.failed import CommandFailed
from openami.domain.account import AccessKey
from openami.real import RealClock, RealIds
from openami.settings import Settings

SUB_DIRECTORIES = ("chunks", "cache", "volumes", "instances", "ephemeral", "scratch")


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account-name", default="default", help="the first account's name")
    parser.set_defaults(run=run)


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the lines that point a client here. Refused where an account exists already."""
    catalog = make_state_directory(settings)
    with catalog.read() as tx:
        if accounts.list_accounts(tx):
            raise CommandFailed(
                f"{settings.state_dir} has been initialised before;"
                " 'openami account list' shows its accounts and keys"
            )
    clock, ids = RealClock(), RealIds()
    with catalog.begin() as tx:
        account = accounts.create_account(tx, clock, arguments.account_name)
        key = accounts.create_access_key(tx, clock, ids, account.id)
    catalog.close()
    print_environment(settings, key)
    return 0


def make_state_directory(settings: Settings) -> Catalog:
    """The directories and the catalog, readable by their owner only. Existing ones stay."""
    os.umask(0o077)
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        for name in SUB_DIRECTORIES:
            (settings.state_dir / name).mkdir(exist_ok=True)
    except OSError as failed:
        raise CommandFailed(f"cannot make {settings.state_dir}: {failed.strerror}") from failed
    catalog = Catalog.open(settings.state_dir / "catalog.sqlite")
    migrate.upgrade(catalog)
    return catalog


def print_environment(settings: Settings, key: AccessKey) -> None:
    print(f"# Account {key.account}. Start the server with 'openami serve', then paste:")
    print(f"export AWS_ENDPOINT_URL=http://{settings.host}:{settings.port}")
    print(f"export AWS_ACCESS_KEY_ID={key.id}")
    print(f"export AWS_SECRET_ACCESS_KEY={key.secret}")
    print(f"export AWS_DEFAULT_REGION={settings.regions[0]}")
