"""Snapshots."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.snapshot import SnapshotState

snapshots = Table(
    "snapshot",
    metadata,
    id_column(key=True),
    *place(),
    id_column("volume_id", index=True),
    Column("volume_size_gib", Integer, nullable=False),
    Column("state", EnumText(SnapshotState), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("description", Text, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("progress_percent", Integer, nullable=False),
    Column("state_message", Text),
    Column("root", String(96)),
)
Index("ix_snapshot_owner", snapshots.c.owner, snapshots.c.region)
