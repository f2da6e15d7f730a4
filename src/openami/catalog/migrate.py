"""Bring a catalog's schema to the newest step, or say how it differs."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from openami.catalog.catalog import Catalog
from openami.catalog.schema import metadata

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(catalog: Catalog) -> None:
    """Run every step that the catalog has not seen. Running it again changes nothing."""
    with catalog.engine.execution_options(openami_writes=True).begin() as connection:
        command.upgrade(_config(connection), "head")


def write_next_step(catalog: Catalog, message: str) -> None:
    """For developers: a new step from what the schema has and the catalog lacks."""
    with catalog.engine.begin() as connection:
        command.revision(_config(connection), message, autogenerate=True, rev_id=_next_id())


def differences(catalog: Catalog) -> list[object]:
    """What the schema says and the catalog does not, or the other way round; empty if equal."""
    with catalog.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        return list(compare_metadata(context, metadata))


def _next_id() -> str:
    steps = list((MIGRATIONS / "versions").glob("[0-9]*.py"))
    return f"{len(steps) + 1:04d}"


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
