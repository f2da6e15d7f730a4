"""Key pairs."""

from sqlalchemy import Column, String, Table, Text, UniqueConstraint

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import UtcDateTime

key_pairs = Table(
    "key_pair",
    metadata,
    id_column(key=True),
    *place(),
    Column("name", String(255), nullable=False),
    Column("key_type", String(8), nullable=False),
    Column("fingerprint", String(128), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner", "region", "name"),
)
