"""Checksums of uploads in parts; part 0 is the upload itself, which has an algorithm only."""

from sqlalchemy import Column, Integer, String, Table

from openami.catalog.schema.base import metadata

upload_checksums = Table(
    "upload_checksum",
    metadata,
    Column("bucket", String(63), primary_key=True),
    Column("upload_id", String(1024), primary_key=True),
    Column("part_number", Integer, primary_key=True, autoincrement=False),
    Column("algorithm", String(16), nullable=False),
    Column("value", String(88), nullable=False),
)
