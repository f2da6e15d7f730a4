"""Leases of those who write chunks."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import id_column, metadata
from openami.catalog.types import UtcDateTime

# Who is writing chunks that no manifest in the catalog names yet (DESIGN section 4).
ingest_leases = Table(
    "ingest_lease",
    metadata,
    id_column("resource_id", key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("region", String(32)),
    # What it relies on and never asks the store for: the disk that a volume lies on.
    Column("root", String(96)),
    # And the disk that it has only the changes to: an earlier snapshot of the volume.
    Column("since_root", String(96)),
)
