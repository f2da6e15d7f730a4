"""Since when, and by which word in its store, this catalog alone has collected a region."""

from sqlalchemy import Boolean, Column, String, Table

from openami.catalog.schema.base import metadata
from openami.catalog.types import UtcDateTime

tenures = Table(
    "store_tenure",
    metadata,
    Column("region", String(32), primary_key=True),
    Column("epoch", String(64)),
    Column("next_epoch", String(64)),
    Column("is_disputed", Boolean, nullable=False),
    Column("since", UtcDateTime, nullable=False),
)
