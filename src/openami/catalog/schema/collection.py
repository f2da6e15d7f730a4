"""Rounds of collection, and what they are about to delete."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table, Text

from openami.catalog.schema.base import id_column, metadata
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.collection import Phase

collection_rounds = Table(
    "collection_round",
    metadata,
    Column("region", String(32), primary_key=True),
    Column("began_at", UtcDateTime, nullable=False),
    Column("phase", EnumText(Phase), nullable=False),
    Column("freed_objects", BigInteger, nullable=False),
    Column("freed_bytes", BigInteger, nullable=False),
    Column("steps", BigInteger, nullable=False, server_default="0"),  # of all rounds so far
    Column("failures", Integer, nullable=False, server_default="0"),  # since it last got on
    Column("failed_at", UtcDateTime),
    Column("failure", Text),
)

# An ingest that needs one takes the row away, unless it is doomed: then it waits for its end.
condemned = Table(
    "condemned",
    metadata,
    Column("region", String(32), primary_key=True),
    Column("kind", String(1), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("doomed", Boolean, nullable=False),
)

# The ingests that a round waits for: those which may not know what is condemned.
collection_awaited = Table(
    "collection_awaited",
    metadata,
    Column("region", String(32), primary_key=True),
    id_column("resource_id", key=True),
)
