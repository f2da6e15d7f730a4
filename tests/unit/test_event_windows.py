"""The hours of a week in which an owner would have its instances maintained."""

from pathlib import Path
from typing import Any

import pytest

from openami.domain.event_window import cron_hours
from openami.domain.ids import Region
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, filtered, refused
from support.builders import BOB
from support.fakes import services

NIGHTS = "* 0-4,20-23 * * 1,5"
UNKNOWN = "iew-0123456789abcdef0"


def hours(start_day: str, start: int, end_day: str, end: int) -> dict[str, Any]:
    return {
        "StartWeekDay": start_day,
        "StartHour": start,
        "EndWeekDay": end_day,
        "EndHour": end,
    }


WEEKEND = hours("saturday", 20, "sunday", 4)


def made(svc: Services, **request: Any) -> str:
    asked = request if "TimeRanges" in request else {"CronExpression": NIGHTS, **request}
    window = ask(svc, "CreateInstanceEventWindow", **asked)["InstanceEventWindow"]
    return str(window["InstanceEventWindowId"])


def window(svc: Services, window_id: str) -> dict[str, Any]:
    (found,) = ask(svc, "DescribeInstanceEventWindows", InstanceEventWindowIds=[window_id])[
        "InstanceEventWindows"
    ]
    return dict(found)


def associate(svc: Services, window_id: str, **targets: Any) -> dict[str, Any]:
    name = "AssociateInstanceEventWindow"
    answer = ask(svc, name, InstanceEventWindowId=window_id, AssociationTarget=targets)
    return dict(answer["InstanceEventWindow"]["AssociationTarget"])


def test_a_window_is_made_told_changed_and_deleted(tmp_path: Path) -> None:
    svc = services(tmp_path)
    tags = [{"ResourceType": "instance-event-window", "Tags": [{"Key": "of", "Value": "ops"}]}]
    first = ask(
        svc,
        "CreateInstanceEventWindow",
        Name="nights",
        TimeRanges=[WEEKEND],
        TagSpecifications=tags,
    )["InstanceEventWindow"]
    assert first["State"] == "creating"
    window_id = first["InstanceEventWindowId"]
    assert window_id.startswith("iew-")
    told = window(svc, window_id)
    assert told["State"] == "active"
    assert (told["Name"], told["TimeRanges"], told["CronExpression"]) == (
        "nights",
        [WEEKEND],
        None,
    )
    assert told["Tags"] == [{"Key": "of", "Value": "ops"}]
    ask(svc, "ModifyInstanceEventWindow", InstanceEventWindowId=window_id, CronExpression=NIGHTS)
    told = window(svc, window_id)
    assert (told["Name"], told["TimeRanges"], told["CronExpression"]) == ("nights", [], NIGHTS)
    ask(svc, "ModifyInstanceEventWindow", InstanceEventWindowId=window_id, Name="dark hours")
    assert (window(svc, window_id)["Name"], window(svc, window_id)["CronExpression"]) == (
        "dark hours",
        NIGHTS,
    )
    gone = ask(svc, "DeleteInstanceEventWindow", InstanceEventWindowId=window_id)
    assert gone["InstanceEventWindowState"]["State"] == "deleting"
    with refused("InvalidInstanceEventWindowID.NotFound"):
        window(svc, window_id)
    assert ask(svc, "DescribeTags")["Tags"] == []


@pytest.mark.parametrize(
    ("cron", "of_a_week"),
    [
        (NIGHTS, {day * 24 + hour for day in (1, 5) for hour in (0, 1, 2, 3, 20, 21, 22)}),
        ("* 0-4 * * SUN", {0, 1, 2, 3}),
        ("* 21-23 * * 2-3", {69, 70, 93, 94}),
        ("* 0-2 * * *", {day * 24 + hour for day in range(7) for hour in (0, 1)}),
    ],
)
def test_a_cron_expression_is_hours_of_the_week(cron: str, of_a_week: set[int]) -> None:
    assert cron_hours(cron) == of_a_week


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "0-4 * * 1",
        "0 0-4 * * 1",
        "* 0-4 1 * 1",
        "* 0-4 * JAN 1",
        "* * * * 1",
        "* 3 * * 1,2",
        "* 0-1,4-8 * * 1",
        "* 20-24 * * 1",
        "* 8-4 * * 1",
        "* 0-4 * * 7",
        "* 0-4 * * MON-FRI",
        "* 0-3 * * 1",
        "* 0-4 * * 1 2026",
        "* 0-4" + " " * 300 + "* * 1",
    ],
)
def test_a_cron_expression_that_is_no_window_is_refused(tmp_path: Path, cron: str) -> None:
    svc = services(tmp_path)
    with refused("InvalidParameterValue"):
        made(svc, CronExpression=cron)
    assert ask(svc, "DescribeInstanceEventWindows")["InstanceEventWindows"] == []


@pytest.mark.parametrize(
    "ranges",
    [
        [hours("monday", 2, "monday", 3), WEEKEND],
        [hours("monday", 2, "monday", 5)],
        [hours("monday", 2, "monday", 2)],
        [hours("monday", 2, "monday", 24)],
        [hours("monday", -1, "monday", 7)],
        [hours("someday", 2, "monday", 7)],
        [hours("monday", 2, "monday", 5), hours("monday", 2, "monday", 5)],
        [WEEKEND] * 85,
    ],
)
def test_ranges_that_are_no_window_are_refused(
    tmp_path: Path, ranges: list[dict[str, Any]]
) -> None:
    with refused("InvalidParameterValue"):
        made(services(tmp_path), TimeRanges=ranges)


def test_two_ranges_may_make_one_window(tmp_path: Path) -> None:
    svc = services(tmp_path)
    ranges = [hours("monday", 2, "monday", 4), hours("saturday", 23, "sunday", 1)]
    assert window(svc, made(svc, TimeRanges=ranges))["TimeRanges"] == ranges


def test_a_window_has_ranges_or_a_cron_expression(tmp_path: Path) -> None:
    svc = services(tmp_path)
    with refused("InvalidParameterCombination"):
        made(svc, TimeRanges=[WEEKEND], CronExpression=NIGHTS)
    with refused("MissingParameter"):
        ask(svc, "CreateInstanceEventWindow", Name="never")
    with refused("MissingParameter", "EndHour"):
        made(svc, TimeRanges=[{"StartWeekDay": "monday", "StartHour": 1, "EndWeekDay": "monday"}])
    with refused("InvalidParameterCombination"):
        ask(svc, "ModifyInstanceEventWindow", InstanceEventWindowId=made(svc))


def test_instances_are_targets_of_one_window(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    first, second = a_running_instance(svc), a_running_instance(svc)
    window_id, other = made(svc), made(svc)
    associate(svc, window_id, InstanceIds=[first])
    told = associate(svc, window_id, InstanceIds=[first, second])
    assert list(told["InstanceIds"]) == [first, second]
    with refused("InvalidParameterValue", first, window_id):
        associate(svc, other, InstanceIds=[first])
    ask(
        svc,
        "DisassociateInstanceEventWindow",
        InstanceEventWindowId=window_id,
        AssociationTarget={"InstanceIds": [first]},
    )
    associate(svc, other, InstanceIds=[first])
    assert list(window(svc, window_id)["AssociationTarget"]["InstanceIds"]) == [second]


def test_a_terminated_instance_is_no_target_any_more(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    going, staying = a_running_instance(svc), a_running_instance(svc)
    window_id = made(svc)
    associate(svc, window_id, InstanceIds=[going, staying])
    ask(svc, "TerminateInstances", InstanceIds=[going])
    assert list(window(svc, window_id)["AssociationTarget"]["InstanceIds"]) == [staying]
    with refused("IncorrectInstanceState"):
        associate(svc, window_id, InstanceIds=[going])


def test_tags_are_targets_whatever_has_them(tmp_path: Path) -> None:
    svc = services(tmp_path)
    window_id = made(svc)
    pairs = [{"Key": "tier", "Value": "web"}, {"Key": "tier", "Value": "db"}]
    assert list(associate(svc, window_id, InstanceTags=pairs)["Tags"]) == pairs
    with refused("InvalidParameterValue", "tier=db"):
        associate(svc, made(svc), InstanceTags=pairs[1:])
    a_bootable_image(svc)
    with refused("InvalidParameterCombination"):
        associate(svc, window_id, InstanceIds=[a_running_instance(svc)])
    with refused("InvalidParameterValue"):
        associate(svc, window_id, InstanceTags=[{"Key": "", "Value": "x"}])


def test_targets_are_of_one_kind_that_there_is(tmp_path: Path) -> None:
    svc = services(tmp_path)
    window_id = made(svc)
    with refused("InvalidParameterCombination"):
        associate(svc, window_id)
    with refused("InvalidHostID.NotFound"):
        associate(svc, window_id, DedicatedHostIds=["h-0123456789abcdef0"])
    with refused("InvalidInstanceID.NotFound"):
        associate(svc, window_id, InstanceIds=["i-0123456789abcdef0"])
    with refused("ResourceLimitExceeded"):
        pairs = [{"Key": f"key {number}", "Value": ""} for number in range(51)]
        associate(svc, window_id, InstanceTags=pairs)
    with refused("InvalidInstanceEventWindowID.NotFound"):
        associate(svc, UNKNOWN, InstanceTags=[{"Key": "a", "Value": "b"}])
    with refused("InvalidInstanceEventWindowID.Malformed"):
        associate(svc, "iew-1", InstanceTags=[{"Key": "a", "Value": "b"}])


def test_a_window_with_targets_is_deleted_by_force_only(tmp_path: Path) -> None:
    svc = services(tmp_path)
    window_id = made(svc)
    associate(svc, window_id, InstanceTags=[{"Key": "tier", "Value": "web"}])
    with refused("DependencyViolation"):
        ask(svc, "DeleteInstanceEventWindow", InstanceEventWindowId=window_id)
    ask(svc, "DeleteInstanceEventWindow", InstanceEventWindowId=window_id, ForceDelete=True)
    assert ask(svc, "DescribeInstanceEventWindows")["InstanceEventWindows"] == []


def test_windows_are_found_by_their_targets_names_and_tags(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    nights, days = made(svc, Name="nights"), made(svc, Name="days")
    associate(svc, nights, InstanceIds=[instance_id])
    associate(svc, days, InstanceTags=[{"Key": "tier", "Value": "web"}])
    ask(svc, "CreateTags", Resources=[days], Tags=[{"Key": "of", "Value": "ops"}])
    for name, value, found in (
        ("event-window-name", "n*", nights),
        ("instance-id", instance_id, nights),
        ("instance-tag", "tier=web", days),
        ("instance-tag-key", "tier", days),
        ("instance-tag-value", "web", days),
        ("tag:of", "ops", days),
        ("tag-key", "of", days),
        ("tag-value", "ops", days),
    ):
        answer = ask(svc, "DescribeInstanceEventWindows", Filters=filtered(name, value))
        ids = [each["InstanceEventWindowId"] for each in answer["InstanceEventWindows"]]
        assert ids == [found], name
    with refused("InvalidParameterValue"):
        ask(svc, "DescribeInstanceEventWindows", Filters=filtered("colour", "red"))


def test_an_account_has_its_own_windows_in_each_region(tmp_path: Path) -> None:
    svc = services(tmp_path)
    window_id = made(svc)
    for elsewhere in ({"account": BOB}, {"region": Region("us-west-2")}):
        assert ask(svc, "DescribeInstanceEventWindows", **elsewhere)["InstanceEventWindows"] == []
        with refused("InvalidInstanceEventWindowID.NotFound"):
            ask(
                svc,
                "DeleteInstanceEventWindow",
                **elsewhere,
                InstanceEventWindowId=window_id,
            )


def test_an_account_has_at_most_two_hundred_windows(tmp_path: Path) -> None:
    svc = services(tmp_path)
    ids = [made(svc) for _ in range(200)]
    with refused("ResourceLimitExceeded"):
        made(svc)
    page = ask(svc, "DescribeInstanceEventWindows", MaxResults=150)
    rest = ask(svc, "DescribeInstanceEventWindows", MaxResults=150, NextToken=page["NextToken"])
    seen = [
        each["InstanceEventWindowId"]
        for each in (*page["InstanceEventWindows"], *rest["InstanceEventWindows"])
    ]
    assert seen == ids
