"""VPCs and their subnets."""

from sqlalchemy import Column, String, Table, UniqueConstraint

from openami.catalog.schema.base import id_column, metadata, place

vpcs = Table(
    "vpc",
    metadata,
    id_column(key=True),
    *place(),
    Column("cidr", String(18), nullable=False, unique=True),
    UniqueConstraint("owner", "region"),
)

subnets = Table(
    "subnet",
    metadata,
    id_column(key=True),
    id_column("vpc_id", index=True),
    *place(),
    Column("availability_zone", String(32), nullable=False),
    Column("cidr", String(18), nullable=False),
)
