"""Imports of disks, done and under way."""

import dataclasses

from sqlalchemy import Column, Index, Integer, String, Table, Text

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, JsonText, UtcDateTime
from openami.domain.transfers.import_task import ImportedDisk, ImportState

import_tasks = Table(
    "import_task",
    metadata,
    id_column(key=True),
    *place(),
    Column("state", EnumText(ImportState), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column(
        "disks",
        JsonText[tuple[ImportedDisk, ...]](
            "imported_disks",
            lambda disks: [dataclasses.asdict(disk) for disk in disks],
            lambda raw: tuple(ImportedDisk(**disk) for disk in raw),
        ),
        nullable=False,
    ),
    Column("description", Text),
    Column("status_message", Text),
    Column("progress_percent", Integer, nullable=False),
    Column("architecture", String(16)),
    Column("platform", String(16)),
    Column("boot_mode", String(16)),
    Column("image_id", String(32)),
    Column("ended_at", UtcDateTime),
)
Index("ix_import_task_owner", import_tasks.c.owner, import_tasks.c.region)
