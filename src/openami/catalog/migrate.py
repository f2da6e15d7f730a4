"""Bring a catalog's schema to the newest step, or say how it differs.

Alembic is imported where it works: loading it is a tenth of a start, and few starts need it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from openami.catalog.catalog import Catalog
from openami.catalog.schema import metadata

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(catalog: Catalog) -> None:
    """Run every step that the catalog has not seen. Running it again changes nothing."""
    with catalog.engine.connect() as connection:
        if _step(connection) == _id(_steps()):
            return
    from alembic import command

    with catalog.engine.execution_options(openami_writes=True).begin() as connection:
        command.upgrade(_config(connection), "head")


def write_next_step(catalog: Catalog, message: str) -> None:
    """For developers: a new step from what the schema has and the catalog lacks."""
    from alembic import command

    with catalog.engine.begin() as connection:
        command.revision(_config(connection), message, autogenerate=True, rev_id=_id(_steps() + 1))


def differences(catalog: Catalog) -> list[object]:
    """What the schema says and the catalog does not, or the other way round; empty if equal."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with catalog.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        return list(compare_metadata(context, metadata))


def _step(connection: Connection) -> str | None:
    """The step that the catalog is at, where Alembic notes it; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _steps() -> int:
    return len(list((MIGRATIONS / "versions").glob("[0-9]*.py")))


def _id(step: int) -> str:
    return f"{step:04d}"


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
