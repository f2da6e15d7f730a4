"""Snapshots, and who may make volumes of them."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, false, text

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.snapshot import SnapshotState, StorageTier

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
    Column("set_id", String(32), index=True),
    Column("public", Boolean, nullable=False, server_default=false()),
    Column("transfer_type", String(16)),
    Column(
        "storage_tier",
        EnumText(StorageTier),
        nullable=False,
        server_default=StorageTier.STANDARD.value,
    ),
    Column("restore_expires_at", UtcDateTime),
    Column("lineage", String(32)),
)
Index("ix_snapshot_owner", snapshots.c.owner, snapshots.c.region)
Index(
    "ix_snapshot_public",
    snapshots.c.region,
    sqlite_where=text("public"),
    postgresql_where=text("public"),
)

snapshot_volume_permissions = Table(
    "snapshot_volume_permission",
    metadata,
    id_column("snapshot_id", key=True),
    Column("account", String(12), primary_key=True, index=True),
)
