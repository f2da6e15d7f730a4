"""Disks that are exported into buckets."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.transfers.export_task import DiskImageFormat, ExportState

export_tasks = Table(
    "export_task",
    metadata,
    id_column(key=True),
    *place(),
    Column("image_id", String(32)),
    Column("instance_id", String(32)),
    Column("volume_id", String(32)),
    Column("disk_format", EnumText(DiskImageFormat), nullable=False),
    Column("as_ova", Boolean, nullable=False),
    Column("target_environment", String(16)),
    Column("bucket", String(63), nullable=False),
    Column("prefix", String(1024), nullable=False),
    Column("role_name", String(64)),
    Column("description", Text),
    Column("size_gib", Integer, nullable=False),
    Column("root", String(96)),
    Column("state", EnumText(ExportState), nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("status_message", Text),
)
Index("ix_export_task_owner", export_tasks.c.owner, export_tasks.c.region)
