"""The secret that block tokens are signed with: made once and kept, as tokens live for days."""

from sqlalchemy import insert, select

from openami.catalog.catalog import Catalog
from openami.catalog.schema import block_token_key
from openami.domain.ids import Ids


def of(catalog: Catalog, ids: Ids) -> bytes:
    """The secret, which is made where there is none."""
    with catalog.read() as tx:
        found = tx.scalar(select(block_token_key.c.secret))
    if found is not None:
        return str(found).encode()
    with catalog.begin() as tx:
        if tx.scalar(select(block_token_key.c.secret)) is None:
            tx.execute(insert(block_token_key).values(secret=ids.token(32)))
    return of(catalog, ids)
