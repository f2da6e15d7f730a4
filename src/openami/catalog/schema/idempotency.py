"""What a client token was used for."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import id_column, metadata
from openami.catalog.types import UtcDateTime

idempotency_tokens = Table(
    "idempotency_token",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("operation", String(64), primary_key=True),
    Column("token", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    id_column("resource_id"),
    Column("created_at", UtcDateTime, nullable=False),
)
