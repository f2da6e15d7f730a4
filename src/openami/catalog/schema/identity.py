"""Which catalog this is, for the stores that it collects."""

from sqlalchemy import Table

from openami.catalog.schema.base import id_column, metadata

# One row, made once: a catalog that is restored from a backup keeps it, a new one has its own.
catalog_identity = Table("catalog_identity", metadata, id_column(key=True))
