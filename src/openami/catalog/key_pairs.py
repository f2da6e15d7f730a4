"""Key pairs in SQL: public keys under names that are unique in an account and region."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.schema import key_pairs
from openami.domain.caller import Caller
from openami.domain.errors import KeyPairNotFound
from openami.domain.filter import Filter
from openami.domain.ids import AccountId, Region
from openami.domain.key_pair import KeyPair

FILTERS = {
    "key-pair-id": filters.column(key_pairs.c.id),
    "key-name": filters.column(key_pairs.c.name),
    "fingerprint": filters.column(key_pairs.c.fingerprint),
}


def find(tx: Transaction, account: AccountId, region: Region, name: str) -> KeyPair | None:
    query = select(key_pairs).where(
        key_pairs.c.owner == account, key_pairs.c.region == region, key_pairs.c.name == name
    )
    row = tx.execute(query).mappings().first()
    return None if row is None else KeyPair(**row)


def fetch_owned(tx: Transaction, account: AccountId, region: Region, name: str) -> KeyPair:
    """Raises KeyPairNotFound."""
    found = find(tx, account, region, name)
    if found is None:
        raise KeyPairNotFound(name)
    return found


def add(tx: Transaction, pair: KeyPair) -> None:
    tx.execute(
        insert(key_pairs).values(
            id=pair.id,
            region=pair.region,
            owner=pair.owner,
            name=pair.name,
            key_type=pair.key_type,
            fingerprint=pair.fingerprint,
            public_key=pair.public_key,
            created_at=pair.created_at,
        )
    )


def remove(tx: Transaction, pair: KeyPair) -> None:
    tx.execute(delete(key_pairs).where(key_pairs.c.id == pair.id))


def describe(tx: Transaction, caller: Caller, conditions: Sequence[Filter]) -> list[KeyPair]:
    """The caller's key pairs in the region, by name."""
    query = select(key_pairs).where(
        key_pairs.c.owner == caller.account,
        key_pairs.c.region == caller.region,
        filters.where(conditions, FILTERS, key_pairs.c.id, caller.account),
    )
    rows = tx.execute(query.order_by(key_pairs.c.name)).mappings()
    return [KeyPair(**row) for row in rows]
