"""Images on their way into buckets and out of them."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.transfers.store_image_task import StoreTaskState

store_image_tasks = Table(
    "store_image_task",
    metadata,
    id_column(key=True),
    *place(),
    id_column("image_id", index=True),
    Column("bucket", String(63), nullable=False),
    Column("key", String(1024), nullable=False),
    Column("object_tags", types.pairs(), nullable=False),
    Column("head", Text, nullable=False),
    Column("size_gib", Integer, nullable=False),
    Column("state", EnumText(StoreTaskState), nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("failure_reason", Text),
)
Index("ix_store_image_task_owner", store_image_tasks.c.owner, store_image_tasks.c.region)

image_restores = Table(
    "image_restore",
    metadata,
    id_column("image_id", key=True),
    *place(),
    Column("bucket", String(63), nullable=False),
    Column("key", String(1024), nullable=False),
    Column("etag", String(128), nullable=False),
    Column("size_gib", Integer, nullable=False),
)
Index("ix_image_restore_owner", image_restores.c.owner, image_restores.c.region)
