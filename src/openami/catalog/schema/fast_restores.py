"""Who wants which snapshot at hand in which zone."""

from sqlalchemy import Column, Integer, String, Table, Text

from openami.catalog.schema.base import id_column, metadata
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.fast_restore import FastRestoreState

fast_restores = Table(
    "fast_restore",
    metadata,
    id_column("snapshot_id", key=True),
    Column("zone", String(32), primary_key=True),
    Column("owner", String(12), primary_key=True),
    Column("region", String(32), nullable=False),
    Column("state", EnumText(FastRestoreState), nullable=False, index=True),
    Column("enabling_at", UtcDateTime, nullable=False),
    Column("optimizing_at", UtcDateTime),
    Column("enabled_at", UtcDateTime),
    Column("disabling_at", UtcDateTime),
    Column("disabled_at", UtcDateTime),
    Column("root", String(96), index=True),
    Column("turns", Integer, nullable=False),
    Column("failure", Text),
)
