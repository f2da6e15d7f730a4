"""What machines read first of a disk, so that it comes first to a host that does not have it."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import metadata

boot_profiles = Table(
    "boot_profile",
    metadata,
    Column("disk", String, primary_key=True),  # a hint: it keeps nothing from being collected
    Column("blocks", String, nullable=False),  # JSON
)
