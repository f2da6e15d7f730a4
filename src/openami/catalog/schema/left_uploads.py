"""What transfers could not take back out of the S3 store, because it was away."""

from sqlalchemy import Boolean, Column, String, Table

from openami.catalog.schema.base import metadata

left_uploads = Table(
    "left_upload",
    metadata,
    Column("bucket", String(63), primary_key=True),
    Column("key", String(1024), primary_key=True),
    Column("owner", String(12), nullable=False),
    Column("is_object", Boolean, nullable=False),
)
