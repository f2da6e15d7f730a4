"""Launch templates and their versions in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, delete, insert, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import launch_template_versions as versions
from openami.catalog.schema import launch_templates as templates
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.ids import LaunchTemplateId
from openami.domain.launch_template import LaunchTemplate, TemplateVersion, Which

FILTERS: Final[Mapping[str, Condition]] = {
    "create-time": filters.instant(templates.c.created_at),
    "launch-template-name": filters.column(templates.c.name),
}


def _row(template: LaunchTemplate) -> dict[str, Any]:
    return {column.name: getattr(template, column.name) for column in templates.columns}


def add(tx: Transaction, template: LaunchTemplate, first: TemplateVersion) -> None:
    tx.execute(insert(templates).values(_row(template)))
    add_version(tx, first)


def add_version(tx: Transaction, version: TemplateVersion) -> None:
    row = {column.name: getattr(version, column.name) for column in versions.columns}
    tx.execute(insert(versions).values(row))


def save(tx: Transaction, template: LaunchTemplate) -> None:
    tx.execute(sql_update(templates).where(templates.c.id == template.id).values(_row(template)))


def remove(tx: Transaction, template_id: LaunchTemplateId) -> None:
    tx.execute(delete(versions).where(versions.c.template_id == template_id))
    tx.execute(delete(templates).where(templates.c.id == template_id))


def remove_version(tx: Transaction, template_id: LaunchTemplateId, number: int) -> bool:
    """False if there is no such version."""
    which = (versions.c.template_id == template_id) & (versions.c.number == number)
    return tx.execute(delete(versions).where(which)).rowcount > 0


def find_owned(tx: Transaction, caller: Caller, which: Which) -> LaunchTemplate | None:
    column = templates.c.id if which.id is not None else templates.c.name
    query = _owned(caller).where(column == (which.id or which.name))
    row = tx.execute(query).mappings().first()
    return None if row is None else LaunchTemplate(**row)


def fetch_owned(tx: Transaction, caller: Caller, which: Which) -> LaunchTemplate:
    """Raises InvalidLaunchTemplateId.NotFound, InvalidLaunchTemplateName.NotFoundException."""
    found = find_owned(tx, caller, which)
    if found is None:
        raise which.not_found()
    return found


def describe(
    tx: Transaction,
    caller: Caller,
    which: Sequence[Which],
    conditions: Sequence[Filter],
    page: Page,
) -> list[LaunchTemplate]:
    """The caller's templates, by id; those of `which` if it names any. Raises as `fetch_owned`."""
    query = _owned(caller).where(filters.where(conditions, FILTERS, templates.c.id, caller.account))
    if which:
        named = [fetch_owned(tx, caller, each).id for each in which]
        query = query.where(templates.c.id.in_(named))
    if page.after is not None:
        query = query.where(templates.c.id > page.after)
    rows = tx.execute(query.order_by(templates.c.id).limit(page.limit)).mappings()
    return [LaunchTemplate(**row) for row in rows]


def numbers(tx: Transaction, template_id: LaunchTemplateId) -> list[int]:
    """Of the versions that there are."""
    query = select(versions.c.number).where(versions.c.template_id == template_id)
    return list(tx.scalars(query.order_by(versions.c.number)))


def fetch_versions(
    tx: Transaction, template_id: LaunchTemplateId, wanted: Sequence[int]
) -> list[TemplateVersion]:
    """The versions of these numbers, as far as they are there, from the newest down."""
    found: list[TemplateVersion] = []
    for start in range(0, len(wanted), 500):  # SQL engines limit the values of one IN
        part = wanted[start : start + 500]
        query = select(versions).where(
            versions.c.template_id == template_id, versions.c.number.in_(part)
        )
        found += [TemplateVersion(**row) for row in tx.execute(query).mappings()]
    return sorted(found, key=lambda each: -each.number)


def _owned(caller: Caller) -> Select[Any]:
    return select(templates).where(
        templates.c.owner == caller.account, templates.c.region == caller.region
    )
