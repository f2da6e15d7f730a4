"""Tasks that replace the root volume of an instance."""

from sqlalchemy import Boolean, Column, Index, String, Table

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.root_replacement import TaskState

replace_root_volume_tasks = Table(
    "replace_root_volume_task",
    metadata,
    id_column(key=True),
    *place(),
    id_column("instance_id", index=True),
    Column("state", EnumText(TaskState), nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    id_column("old_volume_id"),
    id_column("new_volume_id"),
    Column("made_volume", Boolean, nullable=False),
    Column("before", types.from_image(), nullable=False),
    Column("later", types.from_image(), nullable=False),
    Column("image_id", String(32)),
    Column("snapshot_id", String(32)),
    Column("delete_replaced", Boolean, nullable=False),
    Column("completed_at", UtcDateTime),
)
Index(
    "ix_replace_root_volume_task_owner",
    replace_root_volume_tasks.c.owner,
    replace_root_volume_tasks.c.region,
)
