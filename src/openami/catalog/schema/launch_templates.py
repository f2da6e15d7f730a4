"""Launch templates and their versions."""

from sqlalchemy import BigInteger, Column, Index, String, Table

from openami.catalog import types
from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import UtcDateTime

launch_templates = Table(
    "launch_template",
    metadata,
    id_column(key=True),
    *place(),
    Column("name", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("default_version", BigInteger, nullable=False),
    Column("latest_version", BigInteger, nullable=False),
    Column("versions_made", BigInteger, nullable=False),
)
Index(
    "uq_launch_template_name",
    launch_templates.c.owner,
    launch_templates.c.region,
    launch_templates.c.name,
    unique=True,
)

launch_template_versions = Table(
    "launch_template_version",
    metadata,
    id_column("template_id", key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("description", String(255)),
    Column("data", types.document(), nullable=False),
    # What the document says of its image: an id, or resolve:ssm:…
    Column("image", String(2200), index=True),
)
