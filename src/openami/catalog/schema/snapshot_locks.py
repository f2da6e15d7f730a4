"""Locks on snapshots."""

from sqlalchemy import Column, Integer, Table

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.snapshot_lock import LockMode

snapshot_locks = Table(
    "snapshot_lock",
    metadata,
    id_column("snapshot_id", key=True),
    *place(),
    Column("mode", EnumText(LockMode), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("days", Integer, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("cool_off_hours", Integer),
    Column("cool_off_ends_at", UtcDateTime),
)
