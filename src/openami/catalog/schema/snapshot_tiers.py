"""The last moves of snapshots between tiers. Where a snapshot is now is the snapshot's to say."""

from sqlalchemy import Column, Integer, Table, Text

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.snapshot import Move, Progress

tierings = Table(
    "tiering",
    metadata,
    id_column("snapshot_id", key=True),
    *place(),
    Column("move", EnumText(Move), nullable=False),
    Column("progress", EnumText(Progress), nullable=False, index=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("days", Integer),
    Column("detail", Text),
    Column("archived_at", UtcDateTime),
)
