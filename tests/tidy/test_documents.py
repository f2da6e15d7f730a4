"""What users see is documented, and what is documented is there."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from openami.catalog import migrate
from openami.catalog.catalog import Catalog
from openami.server.pipeline import FRONT_DOORS
from openami.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "operations"
# EC2's and STS's pages lie in the folder itself, those of the other services in folders of it.
ANSWERED = sorted(
    name if service in ("ec2", "sts") else f"{service}/{name}"
    for service, operations in FRONT_DOORS.items()
    for name in operations
)


@pytest.mark.parametrize("name", ANSWERED)
def test_an_operation_that_is_answered_has_its_page(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text()
    assert text.startswith(f"# {name.rpartition('/')[2]}\n")
    assert "## Differences from AWS" in text


def test_a_page_is_of_an_operation_that_is_answered() -> None:
    pages = {str(page.relative_to(PAGES).with_suffix("")) for page in PAGES.rglob("*.md")}
    assert pages <= set(ANSWERED)


def test_the_readme_lists_the_operations_that_the_code_answers() -> None:
    path = ROOT / "scripts" / "write_tables.py"
    spec = importlib.util.spec_from_file_location("write_tables", path)
    assert spec is not None
    assert spec.loader is not None
    write_tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_tables)
    text = (ROOT / "README.md").read_text()
    assert write_tables.with_table(text) == text, "run make docs"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    missing = [field.name for field in fields(Settings) if f"`{field.name}`" not in text]
    assert not missing


def test_the_schemas_history_leads_to_the_schema(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path / "catalog.sqlite")
    with catalog.engine.begin() as connection:  # as an older openami left it
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(migrate.MIGRATIONS))
        command.upgrade(config, "0001")
    assert migrate.differences(catalog)
    migrate.upgrade(catalog)
    assert migrate.differences(catalog) == []
    migrate.upgrade(catalog)
    catalog.close()
