"""Event windows. An account has few in a region, so that their targets are not searched in SQL."""

from sqlalchemy import Column, Index, String, Table

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place

event_windows = Table(
    "event_window",
    metadata,
    id_column(key=True),
    *place(),
    Column("name", String(255)),
    Column("time_ranges", types.time_ranges(), nullable=False),
    Column("cron_expression", String(256)),
    Column("instance_ids", types.texts(), nullable=False),
    Column("instance_tags", types.text_pairs(), nullable=False),
)
Index("ix_event_window_owner", event_windows.c.owner, event_windows.c.region)
