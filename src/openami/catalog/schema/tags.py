"""Tags of every kind of resource."""

from sqlalchemy import Column, Index, String, Table

from openami.catalog.schema.base import id_column, metadata

# Tags are an account's own: two accounts may tag one image differently.
tags = Table(
    "tag",
    metadata,
    Column("account", String(12), primary_key=True),
    id_column("resource_id", key=True, index=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("region", String(32), nullable=False),
)
Index("ix_tag_key", tags.c.key, tags.c.value)
