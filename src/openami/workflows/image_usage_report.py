"""A usage report of an image: counted once, and forgotten after its time."""

from typing import Final

from openami.catalog import image_references, tags
from openami.catalog import image_usage_reports as reports
from openami.domain.ids import ImageUsageReportId
from openami.domain.image_use import ReportEvent, ReportState
from openami.jobs.engine import Args, Job
from openami.services import Services

NAME: Final = "image_usage_report"


def start(svc: Services, report_id: ImageUsageReportId) -> str:
    """Begin to count for a pending report, once. The id of the job."""
    job_id = f"{NAME}:{report_id}"
    svc.jobs.start(NAME, job_id, {"report_id": report_id})
    return job_id


def resume(svc: Services) -> None:
    """Start what is pending and has no job, and forget the reports whose time is over."""
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        waiting, over = reports.pending(tx), reports.expired(tx, now)
    for report_id in waiting:
        start(svc, report_id)
    if not over:
        return
    with svc.catalog.begin() as tx:
        for report_id in reports.expired(tx, now):
            reports.remove(tx, report_id)
            tags.remove_all(tx, report_id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("count", lambda args: _count(svc, _id(args))),),
        give_up=lambda args, reason: _fail(svc, _id(args), reason),
    )


def _id(args: Args) -> ImageUsageReportId:
    return ImageUsageReportId(str(args["report_id"]))


def _count(svc: Services, report_id: ImageUsageReportId) -> None:
    """In one transaction: a report that is available has all its entries, each once."""
    with svc.catalog.begin() as tx:
        report = reports.fetch_any(tx, report_id)
        if report is not None and report.state is ReportState.PENDING:
            counted = image_references.usage(tx, report)
            reports.save(tx, report.after(ReportEvent.COUNTED), counted)


def _fail(svc: Services, report_id: ImageUsageReportId, reason: str) -> None:
    with svc.catalog.begin() as tx:
        report = reports.fetch_any(tx, report_id)
        if report is not None and report.state is ReportState.PENDING:
            reports.save(tx, report.after(ReportEvent.FAILED, reason))
