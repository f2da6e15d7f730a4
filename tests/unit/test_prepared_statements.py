"""Statements that are compiled once say what SQLAlchemy says of them, whatever is bound in them."""

from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import bindparam, exists, select

from openami.catalog import images as catalog_images
from openami.catalog import prepared
from openami.catalog.allowed_images import put as put_settings
from openami.catalog.catalog import Catalog, Transaction
from openami.catalog.schema import allowed_images_settings, images
from openami.domain.allowed_images import (
    AllowedImagesSettings,
    AllowedImagesState,
    ImageCriterion,
)
from openami.domain.image import ImageState
from openami.domain.state_reason import StateReason
from support.builders import ALICE, BOB, EPOCH, HERE, an_image

IDS = [f"ami-{number:017x}" for number in range(1201)]
REASON = StateReason(code="Client.X", message="no")


@pytest.fixture(scope="module")
def tx() -> Generator[Transaction]:
    catalog = Catalog.in_memory()
    with catalog.begin() as tx:
        for number, image_id in enumerate(IDS):
            states = (ImageState.AVAILABLE, ImageState.DISABLED, ImageState.FAILED)
            image = an_image(
                id=image_id,
                name=f"it's {number}",
                state=states[number % 3],
                public=number % 5 == 0,
                state_reason=REASON if number % 7 == 0 else None,
                last_launched_at=EPOCH if number % 2 else None,
                created_at=datetime(2026, 1, 2, 3, 4, 5, number, tzinfo=UTC),
            )
            catalog_images.add(tx, image)
        criteria = (ImageCriterion(providers=("amazon",)),)
        settings = AllowedImagesSettings(state=AllowedImagesState.AUDIT_MODE, criteria=criteria)
        put_settings(tx, ALICE, HERE, settings)
    with catalog.read() as tx:
        yield tx
    catalog.close()


def by_sqlalchemy(tx: Transaction, query: Any, **values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(query, values).mappings()]


@pytest.mark.parametrize("count", [1, 2, 3, 499, 500])
def test_columns_of_all_types_come_as_sqlalchemy_gives_them(tx: Transaction, count: int) -> None:
    # A state and a boolean bound in the statement itself, a label, a word that stands twice.
    public = exists(select(1).where(images.c.public)).label("any_public")
    query = select(images, public).where(
        images.c.id.in_(prepared.IDS),
        images.c.state != ImageState.FAILED,
        images.c.created_at >= datetime(2026, 1, 1, tzinfo=UTC),
        (images.c.region == bindparam("region")) | (images.c.location == bindparam("region")),
    )
    rows = prepared.Prepared(query).rows_of(tx, IDS[:count], region=HERE)
    found = [prepared.fields(row) for row in rows]
    assert found == by_sqlalchemy(tx, query, ids=IDS[:count], region=HERE)
    assert len(found) == count - count // 3


def test_a_row_has_attributes_in_the_order_of_the_columns(tx: Transaction) -> None:
    query = prepared.Prepared(
        select(images.c.id, images.c.name, images.c.state).where(images.c.id.in_(prepared.IDS))
    )
    (row,) = query.rows_of(tx, [IDS[1]])
    image_id, name, state = row
    assert (image_id, name) == (row.id, row.name) == (IDS[1], "it's 1")
    assert state is row.state is ImageState.DISABLED


def test_more_ids_than_one_statement_may_have_are_all_found(tx: Transaction) -> None:
    query = prepared.Prepared(select(images.c.id).where(images.c.id.in_(prepared.IDS)))
    assert [row.id for row in query.rows_of(tx, IDS)] == IDS
    assert [row.id for row in query.rows_of(tx, iter(IDS[:501]))] == IDS[:501]


def test_whoever_asks_for_other_numbers_of_ids_makes_few_forms(tx: Transaction) -> None:
    query = prepared.Prepared(select(images.c.id).where(images.c.id.in_(prepared.IDS)))
    for count in range(1, 40):
        assert [row.id for row in query.rows_of(tx, IDS[:count])] == IDS[:count]
    assert len(query._forms) == 7


def test_no_ids_find_nothing(tx: Transaction) -> None:
    query = prepared.Prepared(select(images.c.id).where(images.c.id.in_(prepared.IDS)))
    assert list(query.rows_of(tx, [])) == []


def test_a_statement_without_ids_takes_its_values(tx: Transaction) -> None:
    table = allowed_images_settings
    query = prepared.Prepared(
        select(table.c.state, table.c.criteria).where(table.c.account == bindparam("account"))
    )
    (row,) = query.rows(tx, account=ALICE)
    assert row.state is AllowedImagesState.AUDIT_MODE
    assert row.criteria == (ImageCriterion(providers=("amazon",)),)
    assert query.rows(tx, account=BOB) == []


def test_what_is_bound_is_text_and_never_sql(tx: Transaction) -> None:
    query = prepared.Prepared(select(images.c.id).where(images.c.id.in_(prepared.IDS)))
    assert list(query.rows_of(tx, ["' OR 1=1 --", IDS[3]])) == [(IDS[3],)]


def test_it_sees_what_its_transaction_wrote_and_goes_with_it() -> None:
    catalog = Catalog.in_memory()
    query = prepared.Prepared(select(images.c.name).where(images.c.id.in_(prepared.IDS)))
    image = an_image()
    with pytest.raises(ZeroDivisionError), catalog.begin() as tx:
        catalog_images.add(tx, image)
        assert list(query.rows_of(tx, [image.id])) == [(image.name,)]
        raise ZeroDivisionError
    with catalog.read() as tx:
        assert list(query.rows_of(tx, [image.id])) == []
    catalog.close()
