"""Accounts and access keys: made by the operator, not over the API."""

from collections.abc import Sequence

from openami.catalog import accounts
from openami.catalog.catalog import Transaction
from openami.domain.account import AccessKey, Account
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, Clock, Ids

FIRST_ACCOUNT = 100_000_000_001


def create_account(
    tx: Transaction, clock: Clock, name: str, *, alias: str | None = None
) -> Account:
    """A new account under a fresh twelve-digit id.

    Raises InvalidParameterValue if the name is taken, empty or looks like an id.
    """
    if not name or name.isdigit() or len(name) > 128:
        raise EC2Error.of("InvalidParameterValue", f"'{name}' cannot be an account's name")
    if accounts.find(tx, name) is not None:
        raise EC2Error.of("InvalidParameterValue", f"there is an account '{name}' already")
    taken = {int(each.id) for each in accounts.everyone(tx)}
    number = next(n for n in range(FIRST_ACCOUNT, 10**12) if n not in taken)
    account = Account(
        id=AccountId(f"{number:012d}"), name=name, created_at=clock.now(), alias=alias
    )
    accounts.add(tx, account)
    return account


def create_access_key(tx: Transaction, clock: Clock, ids: Ids, account: AccountId) -> AccessKey:
    """A new key of the account: an id of AWS's form and a secret of 240 random bits."""
    key = AccessKey(
        id="AKIA" + ids.token(15)[:16].upper().translate(_TO_BASE32),
        account=account,
        secret=ids.token(30),
        created_at=clock.now(),
    )
    accounts.add_key(tx, key)
    return key


# Key ids are 16 of A-Z and 2-7; what else base64 uses is folded into that.
_TO_BASE32 = str.maketrans("0189-_", "ABCDEF")


def list_accounts(tx: Transaction) -> Sequence[Account]:
    return accounts.everyone(tx)


def find_account(tx: Transaction, name_or_id: str) -> Account:
    """Raises InvalidUserID.NotFound-like refusal if there is none."""
    account = accounts.find(tx, name_or_id)
    if account is None:
        raise EC2Error.of("InvalidParameterValue", f"there is no account '{name_or_id}'")
    return account


def list_keys(tx: Transaction, account: AccountId) -> Sequence[AccessKey]:
    return accounts.keys_of(tx, account)


def deactivate_key(tx: Transaction, access_key_id: str) -> None:
    if not accounts.deactivate_key(tx, access_key_id):
        raise EC2Error.of("InvalidParameterValue", f"there is no access key '{access_key_id}'")
