"""Accounts and access keys in SQL."""

from typing import Final

from sqlalchemy import bindparam, insert, select, update

from openami.catalog.catalog import Transaction
from openami.catalog.schema import access_keys, accounts
from openami.domain.account import AccessKey, Account
from openami.domain.ids import AccountId

# Built once: every request asks for its key.
_ACTIVE_KEY: Final = select(access_keys).where(
    access_keys.c.id == bindparam("access_key_id"), access_keys.c.active
)


def add(tx: Transaction, account: Account) -> None:
    tx.execute(
        insert(accounts).values(
            id=account.id, name=account.name, created_at=account.created_at, alias=account.alias
        )
    )


def find(tx: Transaction, name_or_id: str) -> Account | None:
    row = (
        tx.execute(
            select(accounts).where((accounts.c.id == name_or_id) | (accounts.c.name == name_or_id))
        )
        .mappings()
        .first()
    )
    return None if row is None else Account(**row)


def everyone(tx: Transaction) -> list[Account]:
    rows = tx.execute(select(accounts).order_by(accounts.c.id)).mappings()
    return [Account(**row) for row in rows]


def add_key(tx: Transaction, key: AccessKey) -> None:
    tx.execute(
        insert(access_keys).values(
            id=key.id,
            account=key.account,
            secret=key.secret,
            created_at=key.created_at,
            active=key.active,
        )
    )


def find_key(tx: Transaction, access_key_id: str) -> AccessKey | None:
    """The key, if it exists and may be used."""
    row = tx.execute(_ACTIVE_KEY, {"access_key_id": access_key_id}).mappings().first()
    return None if row is None else AccessKey(**row)


def keys_of(tx: Transaction, account: AccountId) -> list[AccessKey]:
    query = select(access_keys).where(access_keys.c.account == account)
    rows = tx.execute(query.order_by(access_keys.c.created_at)).mappings()
    return [AccessKey(**row) for row in rows]


def deactivate_key(tx: Transaction, access_key_id: str) -> bool:
    """Stop honouring a key; False if there is none by that id."""
    done = tx.execute(
        update(access_keys).where(access_keys.c.id == access_key_id).values(active=False)
    )
    return done.rowcount > 0
