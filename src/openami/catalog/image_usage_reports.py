"""Usage reports of images and their entries, in SQL."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Select, delete, insert, literal, select
from sqlalchemy import update as sql_update

from openami.catalog import filters
from openami.catalog.catalog import Transaction
from openami.catalog.filters import Condition
from openami.catalog.schema import image_usage_entries as entries
from openami.catalog.schema import image_usage_reports as reports
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.filter import Filter, Page, unknown_filter
from openami.domain.ids import ImageId, ImageUsageReportId
from openami.domain.image_use import ImageUsageReport, ReportState, UsageEntry

R, N = reports.c, entries.c

FILTERS: Final[Mapping[str, Condition]] = {
    "creation-time": filters.instant(R.created_at),
    "state": filters.column(R.state),
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageUsageReports.html"""

ENTRY_FILTERS: Final[Mapping[str, Condition]] = {
    "account-id": filters.column(N.account),
    "creation-time": filters.instant(R.created_at),
    "resource-type": filters.column(N.type),
}
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageUsageReportEntries.html"""


def _row(report: ImageUsageReport) -> dict[str, Any]:
    return {column.name: getattr(report, column.name) for column in reports.columns}


def _found(tx: Transaction, query: Select[Any]) -> list[ImageUsageReport]:
    rows = tx.execute(query).mappings()
    return [ImageUsageReport(**{str(name): value for name, value in row.items()}) for row in rows]


def _of(caller: Caller) -> ColumnElement[bool]:
    return (R.owner == caller.account) & (R.region == caller.region)


def add(tx: Transaction, report: ImageUsageReport) -> None:
    tx.execute(insert(reports).values(_row(report)))


def save(tx: Transaction, report: ImageUsageReport, counted: Iterable[UsageEntry] = ()) -> None:
    """Write a changed report, with the entries that it has from now on."""
    tx.execute(sql_update(reports).where(R.id == report.id).values(_row(report)))
    for entry in counted:
        row = {column.name: getattr(entry, column.name) for column in entries.columns}
        tx.execute(insert(entries).values(row))


def remove(tx: Transaction, report_id: ImageUsageReportId) -> None:
    tx.execute(delete(entries).where(N.report_id == report_id))
    tx.execute(delete(reports).where(R.id == report_id))


def fetch_any(tx: Transaction, report_id: ImageUsageReportId) -> ImageUsageReport | None:
    """For workflows: whoever owns it; None if it is gone."""
    found = _found(tx, select(reports).where(R.id == report_id))
    return found[0] if found else None


def pending(tx: Transaction) -> list[ImageUsageReportId]:
    return list(tx.scalars(select(R.id).where(R.state == ReportState.PENDING).order_by(R.id)))


def expired(tx: Transaction, now: datetime) -> list[ImageUsageReportId]:
    return list(tx.scalars(select(R.id).where(R.expires_at <= now)))


def check_owned(tx: Transaction, caller: Caller, report_ids: Sequence[ImageUsageReportId]) -> None:
    """Raises InvalidImageUsageReportId.NotFound that names all that are not the caller's."""
    found = set(tx.scalars(select(R.id).where(_of(caller), R.id.in_(report_ids))))
    missing = [each for each in dict.fromkeys(report_ids) if each not in found]
    if missing:
        raise EC2Error.of(
            "InvalidImageUsageReportId.NotFound",
            f"The image usage report '{', '.join(missing)}' does not exist",
        )


def describe(
    tx: Transaction,
    caller: Caller,
    report_ids: Sequence[ImageUsageReportId],
    image_ids: Sequence[ImageId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[ImageUsageReport]:
    """The caller's reports in the region, by id. Raises NotFound for ids not theirs."""
    query = select(reports).where(filters.where(conditions, FILTERS, R.id, caller.account))
    query = _scoped(tx, query, caller, report_ids, image_ids)
    if page.after is not None:
        query = query.where(R.id > page.after)
    return _found(tx, query.order_by(R.id).limit(page.limit))


def describe_entries(
    tx: Transaction,
    caller: Caller,
    report_ids: Sequence[ImageUsageReportId],
    image_ids: Sequence[ImageId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[UsageEntry]:
    """What the caller's reports have found, by `place`. Raises NotFound for ids not theirs."""
    for each in conditions:
        if each.name not in ENTRY_FILTERS:  # an entry has no tags
            raise unknown_filter(each.name)
    columns: tuple[Any, ...] = (*entries.columns, R.image_id, R.created_at.label("reported_at"))
    query = cast("Select[Any]", select(*columns)).join(reports, R.id == N.report_id)
    query = query.where(filters.where(conditions, ENTRY_FILTERS, R.id, caller.account))
    query = _scoped(tx, query, caller, report_ids, image_ids)
    place = N.report_id + literal(" ") + N.account + literal(" ") + N.type
    if page.after is not None:
        query = query.where(place > page.after)
    rows = tx.execute(query.order_by(place).limit(page.limit)).mappings()
    return [UsageEntry(**{str(name): value for name, value in row.items()}) for row in rows]


def _scoped(
    tx: Transaction,
    query: Select[Any],
    caller: Caller,
    report_ids: Sequence[ImageUsageReportId],
    image_ids: Sequence[ImageId],
) -> Select[Any]:
    query = query.where(_of(caller))
    if report_ids:
        check_owned(tx, caller, report_ids)
        query = query.where(R.id.in_(report_ids))
    return query.where(R.image_id.in_(image_ids)) if image_ids else query
