"""The Recycle Bin: its rules, and what is in it."""

from sqlalchemy import Column, Index, Integer, String, Table

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.recycle_bin import ResourceType

retention_rules = Table(
    "retention_rule",
    metadata,
    Column("id", String(11), primary_key=True),
    *place(),
    Column("resource_type", EnumText(ResourceType), nullable=False),
    Column("retention_days", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("description", String(255), nullable=False),
    Column("resource_tags", types.tag_patterns(), nullable=False),
    Column("exclude_tags", types.tag_patterns(), nullable=False),
    Column("tags", types.pairs(), nullable=False),
    Column("unlock_delay_days", Integer),
    Column("unlocks_at", UtcDateTime),
)
Index("ix_retention_rule_owner", retention_rules.c.owner, retention_rules.c.region)

# The resource itself stays in its own table, in a state that nothing but its restoration knows.
binned = Table(
    "binned",
    metadata,
    id_column("resource_id", key=True),
    Column("resource_type", EnumText(ResourceType), nullable=False),
    *place(),
    Column("entered_at", UtcDateTime, nullable=False),
    Column("exits_at", UtcDateTime, nullable=False, index=True),
    Column("was", String(16), nullable=False),
)
Index("ix_binned_owner", binned.c.owner, binned.c.region)
