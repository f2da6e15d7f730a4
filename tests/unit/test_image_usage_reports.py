"""Usage reports: which accounts use my image, counted once, kept for thirty days."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.domain.ids import AccountId
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.workflows import image_usage_report, registry
from support.asking import ask, filtered, put, refused
from support.builders import ALICE, BOB, CAROL, EPOCH, IMAGE, a_snapshot, an_image
from support.fakes import StoppedClock, services
from support.referring import make_template, put_instance

OTHER = "ami-0000000000000000b"
ELSEWHERE = "us-west-2"
NO_REPORT = "InvalidImageUsageReportId.NotFound"
INSTANCE, TEMPLATE = "ec2:Instance", "ec2:LaunchTemplate"
BOTH = [{"ResourceType": INSTANCE}, {"ResourceType": TEMPLATE}]


@pytest.fixture
def svc(tmp_path: Path) -> Iterator[Services]:
    """An image of Alice that Bob has two instances and a template of, and Carol an instance."""
    made = services(tmp_path)
    put(made, a_snapshot(), an_image(public=True), an_image(id=OTHER, name="other"))
    put_instance(made, 1)
    put_instance(made, 2, owner=BOB)
    put_instance(made, 3, owner=BOB)
    put_instance(made, 4, owner=CAROL)
    put_instance(made, 5, owner=CAROL, region=ELSEWHERE)
    put_instance(made, 6, owner=CAROL, image_id=OTHER)
    make_template(made, IMAGE, IMAGE, account=BOB)
    yield made
    made.catalog.close()


def create(svc: Services, image_id: str = IMAGE, **asked: Any) -> str:
    request: dict[str, Any] = {"ImageId": image_id, "ResourceTypes": BOTH}
    return str(ask(svc, "CreateImageUsageReport", **(request | asked))["ReportId"])


def report(svc: Services, report_id: str) -> dict[str, Any]:
    (found,) = ask(svc, "DescribeImageUsageReports", ReportIds=[report_id])["ImageUsageReports"]
    return found


def listed(svc: Services, account: AccountId = ALICE, **asked: Any) -> list[str]:
    answer = ask(svc, "DescribeImageUsageReports", account, **asked)
    return [each["ReportId"] for each in answer["ImageUsageReports"]]


def entries(svc: Services, **asked: Any) -> list[tuple[str, str, int]]:
    answer = ask(svc, "DescribeImageUsageReportEntries", **asked)
    return [
        (each["AccountId"], each["ResourceType"], each["UsageCount"])
        for each in answer["ImageUsageReportEntries"]
    ]


def advance(svc: Services, by: timedelta) -> None:
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(by)
    registry.sweep(svc)


def begun(svc: Services) -> str:
    """A report that was committed just before the server stopped, after which it runs again."""
    svc.jobs.close()
    with pytest.raises(NotRunning):
        create(svc)
    svc.jobs.launch()
    (report_id,) = listed(svc)
    return report_id


def test_a_report_counts_by_account_and_type_what_names_the_image(svc: Services) -> None:
    report_id = create(svc)
    assert report_id.startswith("amiur-")
    assert entries(svc, ReportIds=[report_id]) == [
        (BOB, INSTANCE, 2),
        (BOB, TEMPLATE, 1),
        (CAROL, INSTANCE, 1),
    ]


def test_a_report_says_what_was_asked_and_when_it_expires(svc: Services) -> None:
    depth = [{"OptionName": "version-depth", "OptionValues": ["7"]}]
    kinds = [{"ResourceType": TEMPLATE, "ResourceTypeOptions": depth}]
    tags = [{"ResourceType": "image-usage-report", "Tags": [{"Key": "of", "Value": "me"}]}]
    report_id = create(svc, ResourceTypes=kinds, AccountIds=[BOB], TagSpecifications=tags)
    assert report(svc, report_id) == {
        "ImageId": IMAGE,
        "ReportId": report_id,
        "ResourceTypes": kinds,
        "AccountIds": [BOB],
        "State": "available",
        "CreationTime": EPOCH,
        "ExpirationTime": EPOCH + timedelta(days=30),
        "Tags": [{"Key": "of", "Value": "me"}],
    }


def test_an_entry_says_which_report_and_image_it_is_of(svc: Services) -> None:
    report_id = create(svc, AccountIds=[CAROL])
    answer = ask(svc, "DescribeImageUsageReportEntries", ReportIds=[report_id])
    assert answer["ImageUsageReportEntries"] == [
        {
            "ReportId": report_id,
            "ImageId": IMAGE,
            "AccountId": CAROL,
            "ResourceType": INSTANCE,
            "UsageCount": 1,
            "ReportCreationTime": EPOCH,
        }
    ]


def test_a_report_of_some_accounts_counts_theirs_only(svc: Services) -> None:
    own = create(svc, AccountIds=[ALICE, CAROL])
    assert entries(svc, ReportIds=[own]) == [(ALICE, INSTANCE, 1), (CAROL, INSTANCE, 1)]
    nobody = create(svc, AccountIds=["999999999999"])
    assert report(svc, nobody)["State"] == "available"
    assert entries(svc, ReportIds=[nobody]) == []


def test_a_templates_twenty_newest_versions_are_looked_at(svc: Services) -> None:
    make_template(svc, IMAGE, *["ami-12345678"] * 19, account=CAROL, name="deep")
    make_template(svc, IMAGE, *["ami-12345678"] * 20, account=CAROL, name="deeper")
    kinds = [{"ResourceType": TEMPLATE}]
    report_id = create(svc, ResourceTypes=kinds, AccountIds=[CAROL])
    assert entries(svc, ReportIds=[report_id]) == [(CAROL, TEMPLATE, 1)]
    option = {"OptionName": "version-depth", "OptionValues": ["20"]}
    (told,) = report(svc, report_id)["ResourceTypes"]
    assert told == {"ResourceType": TEMPLATE, "ResourceTypeOptions": [option]}


def test_a_report_stays_what_it_was_when_it_was_made(svc: Services) -> None:
    report_id = create(svc)
    before = entries(svc, ReportIds=[report_id])
    put_instance(svc, 9, owner=CAROL)
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    advance(svc, timedelta(days=29))
    assert entries(svc, ReportIds=[report_id]) == before


def test_a_report_expires_after_thirty_days(svc: Services) -> None:
    tags = [{"ResourceType": "image-usage-report", "Tags": [{"Key": "of", "Value": "me"}]}]
    report_id = create(svc, TagSpecifications=tags)
    advance(svc, timedelta(days=30) - timedelta(seconds=1))
    assert listed(svc) == [report_id]
    advance(svc, timedelta(seconds=1))
    assert listed(svc) == []
    assert entries(svc) == []
    assert ask(svc, "DescribeTags")["Tags"] == []
    with refused(NO_REPORT):
        report(svc, report_id)


def test_a_report_that_a_crash_left_pending_is_made_by_the_sweep(svc: Services) -> None:
    report_id = begun(svc)
    assert report(svc, report_id)["State"] == "pending"
    assert entries(svc, ReportIds=[report_id]) == []
    registry.sweep(svc)
    assert report(svc, report_id)["State"] == "available"
    assert len(entries(svc, ReportIds=[report_id])) == 3


def test_a_count_that_is_repeated_changes_nothing(svc: Services) -> None:
    report_id = create(svc)
    before = entries(svc, ReportIds=[report_id])
    put_instance(svc, 9, owner=CAROL)
    ((_, count),) = image_usage_report.job(svc).steps
    count({"report_id": report_id})
    assert entries(svc, ReportIds=[report_id]) == before


def test_a_report_that_cannot_be_made_says_why(svc: Services) -> None:
    report_id = begun(svc)
    image_usage_report.job(svc).give_up({"report_id": report_id}, "the disk is full")
    found = report(svc, report_id)
    assert (found["State"], found["StateReason"]) == ("error", "the disk is full")
    registry.sweep(svc)
    assert report(svc, report_id)["State"] == "error"


def test_a_deleted_report_is_gone_with_its_entries_and_tags(svc: Services) -> None:
    report_id, kept = create(svc), create(svc)
    ask(svc, "CreateTags", Resources=[report_id], Tags=[{"Key": "a", "Value": "b"}])
    assert ask(svc, "DeleteImageUsageReport", ReportId=report_id) == {"Return": True}
    assert listed(svc) == [kept]
    assert len(entries(svc)) == 3
    assert ask(svc, "DescribeTags")["Tags"] == []
    with refused(NO_REPORT, report_id):
        ask(svc, "DeleteImageUsageReport", ReportId=report_id)


def test_a_report_that_is_deleted_while_it_is_pending_is_not_made(svc: Services) -> None:
    ask(svc, "DeleteImageUsageReport", ReportId=begun(svc))
    registry.sweep(svc)
    assert (listed(svc), entries(svc)) == ([], [])


def test_the_same_token_makes_one_report(svc: Services) -> None:
    first = create(svc, ClientToken="once")
    assert create(svc, ClientToken="once") == first
    with refused("IdempotentParameterMismatch"):
        create(svc, ClientToken="once", AccountIds=[BOB])
    assert listed(svc) == [first]


def test_only_an_images_owner_makes_a_report_of_it(svc: Services) -> None:
    asked = {"ImageId": IMAGE, "ResourceTypes": BOTH}
    with refused("AuthFailure"):
        ask(svc, "CreateImageUsageReport", BOB, **asked)
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "CreateImageUsageReport", BOB, **(asked | {"ImageId": OTHER}))
    ask(svc, "DeregisterImage", ImageId=IMAGE)
    with refused("InvalidAMIID.Unavailable"):
        create(svc)


def test_reports_are_their_owners_and_their_regions_alone(svc: Services) -> None:
    report_id = create(svc)
    assert listed(svc, BOB) == []
    assert ask(svc, "DescribeImageUsageReports", region=ELSEWHERE)["ImageUsageReports"] == []
    for operation, asked in {
        "DescribeImageUsageReports": {"ReportIds": [report_id]},
        "DescribeImageUsageReportEntries": {"ReportIds": [report_id]},
        "DeleteImageUsageReport": {"ReportId": report_id},
        "CreateTags": {"Resources": [report_id], "Tags": [{"Key": "a", "Value": "b"}]},
    }.items():
        with refused(NO_REPORT):
            ask(svc, operation, BOB, **asked)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("state", "available", True),
        ("state", "pending", False),
        ("creation-time", "2024-01-01T*", True),
        ("creation-time", "2024-01-02T*", False),
        ("tag:of", "me", True),
        ("tag:of", "you", False),
        ("tag-key", "of", True),
    ],
)
def test_reports_are_found_by(svc: Services, name: str, value: str, found: bool) -> None:
    report_id = create(svc)
    ask(svc, "CreateTags", Resources=[report_id], Tags=[{"Key": "of", "Value": "me"}])
    assert listed(svc, Filters=filtered(name, value)) == [report_id] * found


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("account-id", BOB, 2),
        ("account-id", ALICE, 0),
        ("resource-type", INSTANCE, 2),
        ("resource-type", "ec2:*", 3),
        ("creation-time", "2024-01-01T00:00:00.000Z", 3),
    ],
)
def test_entries_are_found_by(svc: Services, name: str, value: str, count: int) -> None:
    create(svc)
    assert len(entries(svc, Filters=filtered(name, value))) == count


@pytest.mark.parametrize("name", ["state", "tag:of", "tag-key", "color"])
def test_entries_have_no_other_filters(svc: Services, name: str) -> None:
    with refused("InvalidParameterValue", name):
        entries(svc, Filters=filtered(name, "x"))


def test_reports_and_entries_of_one_image_are_told(svc: Services) -> None:
    of_image, of_other = create(svc), create(svc, OTHER)
    assert listed(svc, ImageIds=[OTHER]) == [of_other]
    assert sorted(listed(svc, ImageIds=[OTHER, IMAGE])) == sorted([of_image, of_other])
    assert entries(svc, ImageIds=[OTHER]) == [(CAROL, INSTANCE, 1)]


def test_reports_and_entries_come_in_pages(svc: Services) -> None:
    made = sorted(create(svc) for _ in range(3))
    first = ask(svc, "DescribeImageUsageReports", MaxResults=2)
    second = listed(svc, MaxResults=2, NextToken=first["NextToken"])
    assert [each["ReportId"] for each in first["ImageUsageReports"]] + second == made
    told, token = list[tuple[str, str]](), None
    for _ in range(3):
        answer = ask(svc, "DescribeImageUsageReportEntries", MaxResults=3, NextToken=token)
        found, token = answer["ImageUsageReportEntries"], answer.get("NextToken")
        told += [(each["ReportId"], each["AccountId"] + each["ResourceType"]) for each in found]
    assert token is None
    assert len(told) == len(set(told)) == 9
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("MissingParameter", {"ResourceTypes": []}),
        ("InvalidParameterValue", {"ResourceTypes": [{"ResourceType": "ssm:Parameter"}]}),
        ("InvalidParameterValue", {"ResourceTypes": BOTH + BOTH}),
        ("InvalidUserID.Malformed", {"AccountIds": ["bob"]}),
        ("InvalidParameterValue", {"AccountIds": [f"{n:012}" for n in range(201)]}),
        ("InvalidParameterValue", {"TagSpecifications": [{"ResourceType": "image"}]}),
        ("InvalidAMIID.Malformed", {"ImageId": "snap-12345678"}),
    ],
)
def test_a_report_that_cannot_be_is_refused(
    svc: Services, code: str, asked: dict[str, Any]
) -> None:
    with refused(code):
        create(svc, **asked)
    assert listed(svc) == []


def test_an_instances_state_cannot_be_asked_of_a_report(svc: Services) -> None:
    option = {"OptionName": "state-name", "OptionValues": ["running"]}
    with refused("InvalidParameterCombination"):
        create(svc, ResourceTypes=[{"ResourceType": INSTANCE, "ResourceTypeOptions": [option]}])
