"""Which images are in use: by the caller's resources, and by other accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from openami.catalog import (
    allowed_images,
    idempotency,
    image_references,
    image_usage_reports,
    image_use,
    images,
    tags,
)
from openami.domain.caller import Caller
from openami.domain.filter import Filter, Page
from openami.domain.idempotency import ClientToken
from openami.domain.ids import AccountId, ImageId, ImageUsageReportId, InstanceId
from openami.domain.image import Image
from openami.domain.image_use import (
    REPORT_KEPT,
    ImageReference,
    ImageUsageReport,
    Sought,
    UsageEntry,
)
from openami.domain.instance import Instance
from openami.services import Services
from openami.workflows import image_usage_report as workflow

REPORT_TYPE: Final = "image-usage-report"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceImage:
    """An instance, its tags and its image; None if the image was gone before openami kept it.

    `allowed` says whether the account's Allowed AMIs criteria allow the image, where it has some.
    """

    instance: Instance
    image: Image | None
    allowed: bool | None
    tags: Mapping[str, str]

    @property
    def id(self) -> InstanceId:
        return self.instance.id


def describe_instance_image_metadata(
    svc: Services,
    caller: Caller,
    instance_ids: Sequence[InstanceId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[InstanceImage]:
    """The caller's instances with their images, also those deregistered or no longer shared.

    Raises InstanceNotFound.
    """
    now = svc.clock.now()
    with svc.catalog.read() as tx:
        found = image_use.describe_instances(tx, caller, instance_ids, conditions, page, now)
        used = image_use.images_of(tx, found)
        settings = allowed_images.settings_of(tx, caller.account, caller.region)
        allowed = allowed_images.allowed(tx, caller.account, settings, list(used), now)
        tagged = tags.of_many(tx, caller.account, [each.id for each in found])
    return [
        InstanceImage(
            instance=each,
            image=used.get(each.image_id),
            allowed=allowed.get(each.image_id),
            tags=tagged.get(each.id, {}),
        )
        for each in found
    ]


def describe_image_references(
    svc: Services, caller: Caller, image_ids: Sequence[ImageId], sought: Sought, page: Page
) -> list[ImageReference]:
    """The caller's resources that name one of the images, each of which it must see.

    Raises ImageNotFound.
    """
    with svc.catalog.read() as tx:
        images.check_visible(tx, caller, image_ids)
        return image_references.describe(tx, caller, image_ids, sought, page)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOrder:
    """What CreateImageUsageReport is told. Without accounts it asks for all but the caller's."""

    image_id: ImageId
    sought: Sought
    account_ids: Sequence[AccountId]
    tags: Mapping[str, str]
    token: ClientToken | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedReport:
    report: ImageUsageReport
    tags: Mapping[str, str]

    @property
    def id(self) -> ImageUsageReportId:
        return self.report.id


def create_image_usage_report(
    svc: Services, caller: Caller, asked: ReportOrder
) -> ImageUsageReportId:
    """A pending report on an image of the caller's own.

    Raises ImageNotFound, ImageUnavailable, AuthFailure for an image that is only visible.
    """
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, asked.token)
        if earlier is not None:
            return ImageUsageReportId(earlier)
        images.fetch_owned(tx, asked.image_id, caller.account, caller.region)
        now = svc.clock.now()
        report = ImageUsageReport(
            id=ImageUsageReportId(svc.ids.new("amiur")),
            region=caller.region,
            owner=caller.account,
            image_id=asked.image_id,
            types=tuple(sorted(asked.sought.types)),
            version_depth=asked.sought.version_depth,
            account_ids=tuple(dict.fromkeys(asked.account_ids)),
            created_at=now,
            expires_at=now + REPORT_KEPT,
        )
        image_usage_reports.add(tx, report)
        its_kind = (REPORT_TYPE, report.id)
        tags.put(tx, caller.account, caller.region, its_kind, asked.tags)
        idempotency.remember(tx, caller, asked.token, report.id, now)
    svc.jobs.wait(workflow.start(svc, report.id), svc.settings.settle_timeout_s)
    return report.id


def describe_image_usage_reports(
    svc: Services,
    caller: Caller,
    report_ids: Sequence[ImageUsageReportId],
    image_ids: Sequence[ImageId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[TaggedReport]:
    """The caller's reports, by id. Raises InvalidImageUsageReportId.NotFound."""
    with svc.catalog.read() as tx:
        found = image_usage_reports.describe(tx, caller, report_ids, image_ids, conditions, page)
        tagged = tags.of_many(tx, caller.account, [each.id for each in found])
    return [TaggedReport(report=each, tags=tagged.get(each.id, {})) for each in found]


def describe_image_usage_report_entries(
    svc: Services,
    caller: Caller,
    report_ids: Sequence[ImageUsageReportId],
    image_ids: Sequence[ImageId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[UsageEntry]:
    """What the caller's reports found. Raises InvalidImageUsageReportId.NotFound."""
    with svc.catalog.read() as tx:
        return image_usage_reports.describe_entries(
            tx, caller, report_ids, image_ids, conditions, page
        )


def delete_image_usage_report(svc: Services, caller: Caller, report_id: ImageUsageReportId) -> None:
    """With its entries. Raises InvalidImageUsageReportId.NotFound."""
    with svc.catalog.begin() as tx:
        image_usage_reports.check_owned(tx, caller, [report_id])
        image_usage_reports.remove(tx, report_id)
        tags.remove_all(tx, report_id)
