"""The EBS direct APIs: what block tokens are signed with, and snapshots written by blocks."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String, Table

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import UtcDateTime

# One row, made when the first token is.
block_token_key = Table(
    "block_token_key",
    metadata,
    Column("secret", String(64), primary_key=True),
)

# What StartSnapshot began, beside the snapshot. There while the snapshot is.
direct_snapshots = Table(
    "direct_snapshot",
    metadata,
    id_column("snapshot_id", key=True),
    *place(),
    Column("timeout_minutes", Integer, nullable=False),
    Column("written_at", UtcDateTime, nullable=False),
    Column("writes", BigInteger, nullable=False),
    Column("changed_blocks", BigInteger),  # as CompleteSnapshot told; null before
    Column("attempts", Integer, nullable=False, server_default="0"),  # to put it together
    Column("at_work", Boolean, nullable=False, server_default="0"),  # on the last of them
)

# What was written. The rows of pending snapshots keep the chunks. A digest of zeros is a hole.
direct_blocks = Table(
    "direct_block",
    metadata,
    id_column("snapshot_id", key=True),
    Column("block_index", BigInteger, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("checksum", LargeBinary(32), nullable=False),  # SHA256
)
