"""Accounts that block public access to their images or snapshots in a region."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import metadata
from openami.catalog.types import EnumText
from openami.domain.public_access import PublicAccess, Shareable

public_access_blocks = Table(
    "public_access_block",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("kind", EnumText(Shareable), primary_key=True),
    Column("access", EnumText(PublicAccess), nullable=False),
)
