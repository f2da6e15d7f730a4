"""Volumes and what they are attached to."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, UniqueConstraint, false

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.volume import AttachmentState, VolumeState

volumes = Table(
    "volume",
    metadata,
    id_column(key=True),
    *place(),
    Column("availability_zone", String(32), nullable=False),
    Column("size_gib", Integer, nullable=False),
    Column("state", EnumText(VolumeState), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("volume_type", String(16), nullable=False),
    Column("iops", Integer),
    Column("throughput", Integer),
    Column("snapshot_id", String(32), index=True),
    Column("root", String(96)),
    Column("source_volume_id", String(32), index=True),
    Column("fast_restored", Boolean, nullable=False, server_default=false()),
)
Index("ix_volume_owner", volumes.c.owner, volumes.c.region)

attachments = Table(
    "attachment",
    metadata,
    id_column("volume_id", key=True),
    id_column("instance_id"),
    Column("device_name", String(32), nullable=False),
    Column("state", EnumText(AttachmentState), nullable=False),
    Column("attached_at", UtcDateTime, nullable=False),
    Column("delete_on_termination", Boolean, nullable=False),
    UniqueConstraint("instance_id", "device_name"),
)
