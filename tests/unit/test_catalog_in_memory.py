"""Catalogs in memory: copies of one empty catalog, that have nothing else in common."""

from sqlalchemy import Connection, insert, select, text

from openami.catalog.catalog import Catalog
from openami.catalog.schema import accounts
from support.builders import EPOCH

ROW = {"id": "111111111111", "name": "somebody", "created_at": EPOCH}


def test_what_is_written_into_one_is_not_in_another() -> None:
    one, other = Catalog.in_memory(), Catalog.in_memory()
    with one.begin() as tx:
        tx.execute(insert(accounts).values(ROW))
        assert ids(tx) == ["111111111111"]
    for each, expected in ((one, ["111111111111"]), (other, []), (Catalog.in_memory(), [])):
        with each.read() as tx:
            assert ids(tx) == expected


def test_each_heeds_foreign_keys_and_case_as_the_one_on_disk_does() -> None:
    Catalog.in_memory()
    with Catalog.in_memory().read() as tx:
        assert tx.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
        assert tx.execute(text("SELECT 'a' LIKE 'A'")).scalar_one() == 0


def ids(tx: Connection) -> list[str]:
    return list(tx.execute(select(accounts.c.id)).scalars())
