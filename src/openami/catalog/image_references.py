"""Which resources name which images, in SQL."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    func,
    literal,
    select,
    union_all,
)

from openami.catalog.catalog import Transaction
from openami.catalog.schema import (
    instances,
    launch_template_versions,
    launch_templates,
    parameter_versions,
    parameters,
)
from openami.domain.caller import Caller
from openami.domain.filter import Page
from openami.domain.ids import ImageId
from openami.domain.image_use import ImageReference, ImageUsageReport, Referrer, Sought, UsageEntry

Whose: TypeAlias = Callable[[Table], ColumnElement[bool]]
"""Which rows of a table with an owner and a region are looked at."""


def _row(
    table: Table, referrer: Referrer, image_id: ColumnElement[Any], name: str = "id"
) -> Select[Any]:
    columns: tuple[Any, ...] = (
        image_id.label("image_id"),
        literal(str(referrer)).label("type"),
        table.c[name].label("resource"),
        table.c.owner.label("owner"),
        table.c.region.label("region"),
    )
    return cast("Select[Any]", select(*columns))


def _instances(image_ids: Sequence[ImageId], sought: Sought, whose: Whose) -> Select[Any]:
    column = instances.c
    return _row(instances, Referrer.INSTANCE, column.image_id).where(
        column.image_id.in_(image_ids),
        column.state.in_(sorted(sought.states)),
        whose(instances),
    )


def _templates(image_ids: Sequence[ImageId], sought: Sought, whose: Whose) -> Select[Any]:
    """Each template once, however many of its versions name the image."""
    versions, newer = launch_template_versions.c, launch_template_versions.alias("newer").c
    oldest = (
        select(newer.number)
        .where(newer.template_id == launch_templates.c.id)
        .order_by(newer.number.desc())
        .offset(sought.version_depth - 1)
        .limit(1)
        .scalar_subquery()
    )
    return (
        _row(launch_templates, Referrer.TEMPLATE, versions.image)
        .distinct()
        .join(launch_template_versions, versions.template_id == launch_templates.c.id)
        .where(
            versions.image.in_(image_ids),
            versions.number >= func.coalesce(oldest, 0),
            whose(launch_templates),
        )
    )


def _parameters(image_ids: Sequence[ImageId], _: Sought, whose: Whose) -> Select[Any]:
    """By what they hold now. Only those whose data type says that it is an image."""
    versions = parameter_versions.c
    newest = and_(
        versions.parameter_id == parameters.c.id, versions.version == parameters.c.version
    )
    return (
        _row(parameters, Referrer.PARAMETER, versions.image_id, name="name")
        .join(parameter_versions, newest)
        .where(versions.image_id.in_(image_ids), whose(parameters))
    )


_SEARCHES: Final[Mapping[Referrer, Callable[[Sequence[ImageId], Sought, Whose], Select[Any]]]] = {
    Referrer.INSTANCE: _instances,
    Referrer.TEMPLATE: _templates,
    Referrer.PARAMETER: _parameters,
}


def _found(image_ids: Sequence[ImageId], sought: Sought, whose: Whose) -> Subquery | None:
    wanted = [search for kind, search in _SEARCHES.items() if kind in sought.types]
    if not wanted:
        return None
    return union_all(*(search(image_ids, sought, whose) for search in wanted)).subquery()


def describe(
    tx: Transaction, caller: Caller, image_ids: Sequence[ImageId], sought: Sought, page: Page
) -> list[ImageReference]:
    """The caller's resources in the region that name one of the images, by `place`."""
    found = _found(
        image_ids,
        sought,
        lambda table: and_(table.c.owner == caller.account, table.c.region == caller.region),
    )
    if found is None:
        return []
    space = literal(" ")
    place = found.c.image_id + space + found.c.type + space + found.c.resource
    query = select(found)
    if page.after is not None:
        query = query.where(place > page.after)
    rows = tx.execute(query.order_by(place).limit(page.limit)).mappings()
    return [_reference({str(name): value for name, value in row.items()}) for row in rows]


def _reference(row: dict[str, Any]) -> ImageReference:
    kind = Referrer(row.pop("type"))
    return ImageReference(type=kind, **row)


def usage(tx: Transaction, report: ImageUsageReport) -> list[UsageEntry]:
    """What the report is of, counted now: the entries of the accounts that have any."""

    def asked(table: Table) -> ColumnElement[bool]:
        owner = table.c.owner
        others = owner.in_(report.account_ids) if report.account_ids else owner != report.owner
        return and_(others, table.c.region == report.region)

    found = _found([report.image_id], report.sought, asked)
    if found is None:
        return []
    counted = select(found.c.owner, found.c.type, func.count().label("usage_count"))
    return [
        UsageEntry(
            report_id=report.id,
            account=row.owner,
            type=Referrer(row.type),
            usage_count=row.usage_count,
            image_id=report.image_id,
            reported_at=report.created_at,
        )
        for row in tx.execute(counted.group_by(found.c.owner, found.c.type))
    ]
