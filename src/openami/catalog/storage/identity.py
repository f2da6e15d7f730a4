"""The catalog's own id: made once, and named by the stores that belong to it."""

from sqlalchemy import insert, select

from openami.catalog.catalog import Catalog
from openami.catalog.schema import catalog_identity
from openami.domain.ids import Ids


def of(catalog: Catalog, ids: Ids) -> str:
    """The id, which is made where there is none."""
    found = find(catalog)
    if found is not None:
        return found
    with catalog.begin() as tx:
        if tx.scalar(select(catalog_identity.c.id)) is None:
            tx.execute(insert(catalog_identity).values(id=ids.new("catalog")))
    return of(catalog, ids)


def find(catalog: Catalog) -> str | None:
    """None if no server has begun to work on it."""
    with catalog.read() as tx:
        return tx.scalar(select(catalog_identity.c.id))
