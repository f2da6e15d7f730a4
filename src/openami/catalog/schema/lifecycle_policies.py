"""Lifecycle policies, and what they made or are about to make."""

from sqlalchemy import Boolean, Column, Index, String, Table, Text

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.lifecycle_policy import PolicyState
from openami.domain.lifecycle_run import RunStage

lifecycle_policies = Table(
    "lifecycle_policy",
    metadata,
    id_column(key=True),
    *place(),
    Column("description", Text, nullable=False),
    Column("state", EnumText(PolicyState), nullable=False),
    Column("status_message", Text),
    Column("execution_role_arn", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("modified_at", UtcDateTime, nullable=False),
    Column("plan", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("ran_through", Text, nullable=False),
    Column("deleted_at", UtcDateTime),
)
Index("ix_lifecycle_policy_owner", lifecycle_policies.c.owner, lifecycle_policies.c.region)

# The key is what makes a run happen at most once: a row is an intent until it is `made`.
lifecycle_runs = Table(
    "lifecycle_run",
    metadata,
    id_column("policy_id", key=True),
    Column("schedule", String(120), primary_key=True),
    id_column("target", key=True),
    Column("tick", UtcDateTime, primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("stage", EnumText(RunStage), nullable=False, index=True),
    Column("planned_at", UtcDateTime, nullable=False),
    Column("image_id", String(32), index=True),
    Column("snapshot_ids", types.texts(), nullable=False),
    Column("expires_at", UtcDateTime, index=True),
    Column("deprecates_at", UtcDateTime, index=True),
    Column("deprecated", Boolean, nullable=False),
    Column("shared_with", types.texts(), nullable=False),
    Column("unshares_at", UtcDateTime, index=True),
    Column("fast_zones", types.texts(), nullable=False),
    Column("fast_until", UtcDateTime, index=True),
)
