"""What else is known of images: watermarks, instance types, and those gone that have heirs."""

from sqlalchemy import Boolean, Column, Integer, String, Table

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import UtcDateTime

image_watermarks = Table(
    "image_watermark",
    metadata,
    id_column("image_id", key=True),
    Column("key", String(141), primary_key=True, index=True),
    id_column("source_image_id"),
    Column("source_image_region", String(32), nullable=False),
    Column("source_image_created_at", UtcDateTime, nullable=False),
    Column("attached_at", UtcDateTime, nullable=False),
)

image_instance_types = Table(
    "image_instance_type",
    metadata,
    id_column("image_id", key=True),
    Column("entry", String(24), primary_key=True),
    Column("supported", Boolean, nullable=False),
    Column("position", Integer, nullable=False),
)

# What is kept of an image that was deregistered long ago while another descends from it.
past_images = Table(
    "past_image",
    metadata,
    id_column(key=True),
    *place(),
    Column("created_at", UtcDateTime, nullable=False),
    Column("source_image_id", String(32), index=True),
    Column("source_image_region", String(32)),
)
