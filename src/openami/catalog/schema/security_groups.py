"""Security groups and their rules."""

from sqlalchemy import Boolean, Column, Integer, String, Table, UniqueConstraint

from openami.catalog.schema.base import id_column, metadata, place

security_groups = Table(
    "security_group",
    metadata,
    id_column(key=True),
    id_column("vpc_id"),
    *place(),
    Column("name", String(255), nullable=False),
    Column("description", String(255), nullable=False),
    UniqueConstraint("vpc_id", "name"),
)

security_group_rules = Table(
    "security_group_rule",
    metadata,
    id_column(key=True),
    id_column("group_id", index=True),
    Column("is_egress", Boolean, nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("from_port", Integer, nullable=False),
    Column("to_port", Integer, nullable=False),
    Column("cidr_ipv4", String(18)),
    Column("cidr_ipv6", String(43)),
    Column("source_group_id", String(32), index=True),
    Column("description", String(255)),
)
