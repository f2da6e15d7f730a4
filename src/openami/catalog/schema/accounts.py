"""Accounts and their access keys."""

from sqlalchemy import Boolean, Column, String, Table

from openami.catalog.schema.base import metadata
from openami.catalog.types import UtcDateTime

accounts = Table(
    "account",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    # Of an account whose images are the public catalogue: "amazon" and the like.
    Column("alias", String(32), unique=True),
)

access_keys = Table(
    "access_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", String(12), nullable=False, index=True),
    Column("secret", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("active", Boolean, nullable=False),
)
