"""Reports of who uses an image, and what they found."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.image_use import Referrer, ReportState

image_usage_reports = Table(
    "image_usage_report",
    metadata,
    id_column(key=True),
    *place(),
    id_column("image_id"),
    Column("types", types.referrers(), nullable=False),
    Column("version_depth", BigInteger, nullable=False),
    Column("account_ids", types.texts(), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("state", EnumText(ReportState), nullable=False, index=True),
    Column("state_reason", Text),
)
Index(
    "ix_image_usage_report_owner",
    image_usage_reports.c.owner,
    image_usage_reports.c.region,
)

image_usage_entries = Table(
    "image_usage_entry",
    metadata,
    id_column("report_id", key=True),
    Column("account", String(12), primary_key=True),
    Column("type", EnumText(Referrer), primary_key=True),
    Column("usage_count", BigInteger, nullable=False),
)
