"""Objects of the stores that are known to be lost."""

from sqlalchemy import Column, LargeBinary, String, Table

from openami.catalog.schema.base import metadata

# Only some, where much is lost: they say that something is, a verification says what.
known_losses = Table(
    "known_loss",
    metadata,
    Column("region", String(32), primary_key=True),
    Column("kind", String(1), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
)
