"""Who owns which bucket."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import metadata, place
from openami.catalog.types import UtcDateTime

buckets = Table(
    "bucket",
    metadata,
    Column("name", String(63), primary_key=True),
    *place(),
    Column("created_at", UtcDateTime, nullable=False),
)
