"""The EBS direct APIs: what block tokens are signed with."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import metadata

# One row, made when the first token is.
block_token_key = Table(
    "block_token_key",
    metadata,
    Column("secret", String(64), primary_key=True),
)
