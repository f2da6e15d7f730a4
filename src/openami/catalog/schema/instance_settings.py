"""What accounts settle for all their instances in a region."""

from sqlalchemy import Boolean, Column, Integer, String, Table

from openami.catalog import types
from openami.catalog.schema.base import metadata

instance_settings = Table(
    "instance_setting",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("http_tokens", String(16)),
    Column("http_endpoint", String(16)),
    Column("http_put_response_hop_limit", Integer),
    Column("instance_metadata_tags", String(16)),
    Column("http_tokens_enforced", String(16)),
    Column("serial_console_access", Boolean, nullable=False),
    Column("notifies_all_tags", Boolean, nullable=False),
    Column("notified_tag_keys", types.texts(), nullable=False),
)
