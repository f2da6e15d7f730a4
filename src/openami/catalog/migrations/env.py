"""Alembic's entry: run the steps on the connection that openami.catalog.migrate hands over."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import TypeDecorator

from openami.catalog.schema import metadata


def _plain(kind: str, item: object, _autogen: AutogenContext) -> str | Literal[False]:
    """A step of the past must not depend on today's code: our own types by what they store."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter a column in place
    render_item=_plain,
)
with context.begin_transaction():
    context.run_migrations()
