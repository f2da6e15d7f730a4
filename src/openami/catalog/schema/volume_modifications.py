"""What was changed of volumes, and when."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.volume_modification import ModificationState

volume_modifications = Table(
    "volume_modification",
    metadata,
    id_column(key=True),
    id_column("volume_id", index=True),
    *place(),
    Column("state", EnumText(ModificationState), nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("latest", Boolean, nullable=False),
    Column("original_size_gib", Integer, nullable=False),
    Column("original_volume_type", String(16), nullable=False),
    Column("original_iops", Integer),
    Column("original_throughput", Integer),
    Column("target_size_gib", Integer, nullable=False),
    Column("target_volume_type", String(16), nullable=False),
    Column("target_iops", Integer),
    Column("target_throughput", Integer),
    Column("message", Text),
    Column("ended_at", UtcDateTime),
)
Index("ix_volume_modification_owner", volume_modifications.c.owner, volume_modifications.c.region)
