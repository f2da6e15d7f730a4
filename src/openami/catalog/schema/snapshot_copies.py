"""Snapshots that are being copied, and what of."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import id_column, metadata

# There while its snapshot is pending: the root is one that the source region has to keep.
snapshot_copies = Table(
    "snapshot_copy",
    metadata,
    id_column("snapshot_id", key=True),
    id_column("source_snapshot_id"),
    Column("source_region", String(32), nullable=False, index=True),
    Column("root", String(96), nullable=False),
    Column("image_id", String(32), index=True),
)
