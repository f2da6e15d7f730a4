"""Usage reports of images: made, described with their entries, deleted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.actions import image_use as actions
from openami.domain.caller import Caller
from openami.domain.errors import InvalidParameterValue, MissingParameter
from openami.domain.ids import (
    ImageId,
    ImageUsageReportId,
    parse_account_id,
    parse_image_id,
    parse_image_usage_report_id,
)
from openami.domain.image_use import (
    ACCOUNTS_MAX,
    VERSION_DEPTH,
    ImageUsageReport,
    Referrer,
    UsageEntry,
)
from openami.ec2.image_references import sought
from openami.ec2.instance_shapes import tag_list
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import client_token, filters, one_more, page, paged, tag_specifications
from openami.services import Services

IDS_MAX: Final = 200
DEPTH: Final = 20
"""How many versions of a launch template are looked at if nothing else is asked."""

_TYPES: Final = tuple(each for each in Referrer if each is not Referrer.PARAMETER)


def create_image_usage_report(svc: Services, caller: Caller, request: Request) -> Result:
    if not request["ResourceTypes"]:
        raise MissingParameter("ResourceTypes")
    options_of = {Referrer.TEMPLATE: VERSION_DEPTH}
    asked = actions.ReportOrder(
        image_id=parse_image_id(request["ImageId"]),
        sought=sought(request["ResourceTypes"], _TYPES, DEPTH, options_of),
        account_ids=[parse_account_id(text) for text in _few(request, "AccountIds", ACCOUNTS_MAX)],
        tags=tag_specifications(request, actions.REPORT_TYPE).get(actions.REPORT_TYPE, {}),
        token=client_token("CreateImageUsageReport", request),
    )
    return {"ReportId": actions.create_image_usage_report(svc, caller, asked)}


def describe_image_usage_reports(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 1000)
    report_ids, image_ids = _ids(request)
    found = actions.describe_image_usage_reports(
        svc, caller, report_ids, image_ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked)
    return {"ImageUsageReports": [_report(each.report, each.tags) for each in shown], **token}


def describe_image_usage_report_entries(svc: Services, caller: Caller, request: Request) -> Result:
    asked = page(request, 1, 1000)
    report_ids, image_ids = _ids(request)
    found = actions.describe_image_usage_report_entries(
        svc, caller, report_ids, image_ids, filters(request), one_more(asked)
    )
    shown, token = paged(found, asked, "place")
    return {"ImageUsageReportEntries": [_entry(each) for each in shown], **token}


def delete_image_usage_report(svc: Services, caller: Caller, request: Request) -> Result:
    report_id = parse_image_usage_report_id(request["ReportId"])
    actions.delete_image_usage_report(svc, caller, report_id)
    return {"Return": True}


def _ids(request: Request) -> tuple[list[ImageUsageReportId], list[ImageId]]:
    return (
        [parse_image_usage_report_id(text) for text in _few(request, "ReportIds", IDS_MAX)],
        [parse_image_id(text) for text in _few(request, "ImageIds", IDS_MAX)],
    )


def _few(request: Request, name: str, most: int) -> Sequence[str]:
    found: Sequence[str] = request.get(name, ())
    if len(found) > most:
        raise InvalidParameterValue(f"{name} has at most {most} entries.")
    return found


def _report(report: ImageUsageReport, tags: Mapping[str, str]) -> dict[str, Any]:
    answer = {
        "ImageId": report.image_id,
        "ReportId": report.id,
        "ResourceTypes": [_type(each, report.version_depth) for each in report.types],
        "AccountIds": list(report.account_ids),
        "State": report.state,
        "StateReason": report.state_reason,
        "CreationTime": report.created_at,
        "ExpirationTime": report.expires_at,
        "Tags": tag_list(tags),
    }
    return {name: value for name, value in answer.items() if value is not None}


def _type(referrer: Referrer, version_depth: int) -> dict[str, Any]:
    if referrer is not Referrer.TEMPLATE:
        return {"ResourceType": referrer}
    option = {"OptionName": VERSION_DEPTH, "OptionValues": [str(version_depth)]}
    return {"ResourceType": referrer, "ResourceTypeOptions": [option]}


def _entry(entry: UsageEntry) -> dict[str, Any]:
    return {
        "ResourceType": entry.type,
        "ReportId": entry.report_id,
        "UsageCount": entry.usage_count,
        "AccountId": entry.account,
        "ImageId": entry.image_id,
        "ReportCreationTime": entry.reported_at,
    }


_LISTING: Final = ("ReportIds", "ImageIds", "Filters", "MaxResults", "NextToken")
_NO_BUILDER: Final = "nothing of Image Builder, which openami does not have"

OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateImageUsageReport": operation(
        create_image_usage_report,
        *("ImageId", "ResourceTypes", "AccountIds", "ClientToken", "TagSpecifications"),
        partly=_NO_BUILDER,
    ),
    "DescribeImageUsageReports": operation(describe_image_usage_reports, *_LISTING),
    "DescribeImageUsageReportEntries": operation(describe_image_usage_report_entries, *_LISTING),
    "DeleteImageUsageReport": operation(delete_image_usage_report, "ReportId"),
}
