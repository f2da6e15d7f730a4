"""Organizations of accounts, and which of them count an account."""

from sqlalchemy import Column, String, Table, UniqueConstraint

from openami.catalog.schema.base import id_column, metadata
from openami.catalog.types import UtcDateTime

organizations = Table(
    "organization",
    metadata,
    id_column(key=True),
    Column("management_account", String(12), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
)

organizational_units = Table(
    "organizational_unit",
    metadata,
    Column("id", String(80), primary_key=True),
    id_column("organization_id", index=True),
    Column("parent_id", String(80), nullable=False),
    Column("name", String(128), nullable=False),
    UniqueConstraint("parent_id", "name"),
)

organization_members = Table(
    "organization_member",
    metadata,
    Column("account", String(12), primary_key=True),
    id_column("organization_id", index=True),
    Column("parent_id", String(80), nullable=False),
)

# The searchable shadow of the three above: every ARN that counts an account, so that who sees
# an image is one join. Written anew with each change of an organization.
organization_memberships = Table(
    "organization_membership",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("arn", String(160), primary_key=True),
)
