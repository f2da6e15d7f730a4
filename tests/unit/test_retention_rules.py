"""The service rbin: rules made, listed, changed, locked and tagged."""

from pathlib import Path
from typing import Any

import pytest

from openami.domain.errors import EC2Error
from openami.services import Services
from support.asking import refused
from support.bins import a_rule, ask_bin, pass_days
from support.builders import BOB, THERE
from support.fakes import services

DELAY = {"UnlockDelay": {"UnlockDelayValue": 7, "UnlockDelayUnit": "DAYS"}}
TAGGED = [{"ResourceTagKey": "keep", "ResourceTagValue": "yes"}]


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def rule(svc: Services, rule_id: str) -> dict[str, Any]:
    return ask_bin(svc, "GetRule", Identifier=rule_id)


def listed(svc: Services, **request: Any) -> list[str]:
    asked: dict[str, Any] = {"ResourceType": "EBS_SNAPSHOT"} | request
    return [each["Identifier"] for each in ask_bin(svc, "ListRules", **asked)["Rules"]]


def days(number: int) -> dict[str, Any]:
    return {"RetentionPeriodValue": number, "RetentionPeriodUnit": "DAYS"}


def test_a_rule_tells_what_it_was_told(svc: Services) -> None:
    made = ask_bin(
        svc,
        "CreateRule",
        ResourceType="EBS_SNAPSHOT",
        RetentionPeriod=days(14),
        Description="what we may miss",
        ResourceTags=TAGGED,
        Tags=[{"Key": "team", "Value": "web"}],
    )
    assert made["Tags"] == [{"Key": "team", "Value": "web"}]
    told = rule(svc, made["Identifier"])
    assert {**told, "Tags": made["Tags"]} == made
    assert told["RetentionPeriod"] == days(14)
    assert (told["Description"], told["Status"]) == ("what we may miss", "available")
    assert (told["ResourceTags"], told["ExcludeResourceTags"]) == (TAGGED, [])
    assert "LockState" not in told
    arn = f"arn:aws:rbin:us-east-1:111111111111:rule/{made['Identifier']}"
    assert told["RuleArn"] == arn


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"ResourceType": "EBS_VOLUME", "RetentionPeriod": days(8)}, "1 to 7"),
        ({"RetentionPeriod": days(366)}, "1 to 365"),
        ({"ResourceTags": TAGGED, "ExcludeResourceTags": TAGGED}, "exclusion"),
        ({"ResourceTags": TAGGED, "LockConfiguration": DELAY}, "locked"),
        ({"ExcludeResourceTags": TAGGED, "LockConfiguration": DELAY}, "locked"),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "aws:"),
    ],
)
def test_a_rule_is_refused(svc: Services, request_: dict[str, Any], words: str) -> None:
    asked: dict[str, Any] = {"ResourceType": "EBS_SNAPSHOT", "RetentionPeriod": days(1)}
    asked |= request_
    with refused("ValidationException", words):
        ask_bin(svc, "CreateRule", **asked)
    assert listed(svc) == []


def test_rules_are_an_account_s_own_in_a_region(svc: Services) -> None:
    rule_id = a_rule(svc, "EBS_SNAPSHOT", 1)
    elsewhere: list[dict[str, Any]] = [{"account": BOB}, {"region": THERE}]
    for where in elsewhere:
        with refused("ResourceNotFoundException", rule_id):
            ask_bin(svc, "GetRule", Identifier=rule_id, **where)
        with refused("ResourceNotFoundException"):
            ask_bin(svc, "DeleteRule", Identifier=rule_id, **where)
        assert listed(svc, **where) == []
    assert listed(svc) == [rule_id]


def test_rules_are_listed_by_type_tags_and_lock(svc: Services) -> None:
    plain = a_rule(svc, "EBS_SNAPSHOT", 1)
    tagged = a_rule(svc, "EBS_SNAPSHOT", 1, ResourceTags=TAGGED)
    excluding = a_rule(svc, "EBS_SNAPSHOT", 1, ExcludeResourceTags=TAGGED)
    image = a_rule(svc, "EC2_IMAGE", 1, LockConfiguration=DELAY)
    assert listed(svc) == [plain, tagged, excluding]
    assert listed(svc, ResourceTags=TAGGED) == [tagged]
    assert listed(svc, ExcludeResourceTags=TAGGED) == [excluding]
    assert listed(svc, LockState="locked") == []
    assert listed(svc, ResourceType="EC2_IMAGE", LockState="locked") == [image]


def test_rules_are_listed_in_pages(svc: Services) -> None:
    made = [a_rule(svc, "EBS_SNAPSHOT", 1) for _ in range(5)]
    seen: list[str] = []
    token: dict[str, Any] = {}
    while True:
        answer = ask_bin(svc, "ListRules", ResourceType="EBS_SNAPSHOT", MaxResults=2, **token)
        seen += [each["Identifier"] for each in answer["Rules"]]
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert seen == made
    with pytest.raises(EC2Error) as bad:
        ask_bin(svc, "ListRules", ResourceType="EBS_SNAPSHOT", NextToken="AAAA")
    assert (bad.value.code, bad.value.details["Reason"]) == (
        "ValidationException",
        "INVALID_PAGE_TOKEN",
    )


def test_a_change_changes_what_it_names(svc: Services) -> None:
    rule_id = a_rule(svc, "EBS_SNAPSHOT", 1, Description="old", ResourceTags=TAGGED)
    changed = ask_bin(svc, "UpdateRule", Identifier=rule_id, RetentionPeriod=days(30))
    assert changed["RetentionPeriod"] == days(30)
    assert (changed["Description"], changed["ResourceTags"]) == ("old", TAGGED)
    ask_bin(svc, "UpdateRule", Identifier=rule_id, Description="new", ResourceTags=[])
    told = rule(svc, rule_id)
    assert (told["Description"], told["ResourceTags"]) == ("new", [])
    with refused("ValidationException", "resource type"):
        ask_bin(svc, "UpdateRule", Identifier=rule_id, ResourceType="EBS_SNAPSHOT")
    with refused("ValidationException", "365"):
        ask_bin(svc, "UpdateRule", Identifier=rule_id, RetentionPeriod=days(400))


def test_a_locked_rule_is_neither_changed_nor_deleted_until_its_delay_has_passed(
    svc: Services,
) -> None:
    rule_id = a_rule(svc, "EBS_SNAPSHOT", 1)
    with refused("ConflictException", "not locked"):
        ask_bin(svc, "UnlockRule", Identifier=rule_id)
    told = ask_bin(svc, "LockRule", Identifier=rule_id, LockConfiguration=DELAY)
    assert (told["LockState"], told["LockConfiguration"]) == ("locked", DELAY)
    with refused("ConflictException", "locked"):
        ask_bin(svc, "LockRule", Identifier=rule_id, LockConfiguration=DELAY)
    pass_days(svc, 100)
    stays(svc, rule_id, "locked")
    told = ask_bin(svc, "UnlockRule", Identifier=rule_id)
    assert told["LockState"] == "pending_unlock"
    assert told["LockEndTime"].isoformat() == "2024-04-17T00:00:00+00:00"
    pass_days(svc, 6.9)
    stays(svc, rule_id, "pending_unlock")
    pass_days(svc, 0.1)
    assert rule(svc, rule_id)["LockState"] == "unlocked"
    ask_bin(svc, "UpdateRule", Identifier=rule_id, Description="free")
    ask_bin(svc, "LockRule", Identifier=rule_id, LockConfiguration=DELAY)
    stays(svc, rule_id, "locked")


def stays(svc: Services, rule_id: str, state: str) -> None:
    for operation in ("UpdateRule", "DeleteRule"):
        with pytest.raises(EC2Error) as conflict:
            ask_bin(svc, operation, Identifier=rule_id)
        assert conflict.value.code == "ConflictException"
        assert conflict.value.details["Reason"] == "INVALID_RULE_STATE"
    assert rule(svc, rule_id)["LockState"] == state


def test_only_a_rule_for_a_whole_region_is_locked(svc: Services) -> None:
    for tags in ({"ResourceTags": TAGGED}, {"ExcludeResourceTags": TAGGED}):
        rule_id = a_rule(svc, "EBS_SNAPSHOT", 1, **tags)
        with refused("ValidationException", "Region-level"):
            ask_bin(svc, "LockRule", Identifier=rule_id, LockConfiguration=DELAY)


def test_a_rule_has_tags(svc: Services) -> None:
    rule_id = a_rule(svc, "EBS_SNAPSHOT", 1, Tags=[{"Key": "a", "Value": "1"}])
    arn = rule(svc, rule_id)["RuleArn"]
    ask_bin(svc, "TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    ask_bin(svc, "UntagResource", ResourceArn=arn, TagKeys=["a", "absent"])
    tags = ask_bin(svc, "ListTagsForResource", ResourceArn=arn)["Tags"]
    assert tags == [{"Key": "b", "Value": "2"}]
    for other in (arn.replace("111111111111", BOB), arn.replace(rule_id, "0123456789a")):
        with refused("ResourceNotFoundException"):
            ask_bin(svc, "ListTagsForResource", ResourceArn=other)
    many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
    with refused("ServiceQuotaExceededException", "50"):
        ask_bin(svc, "TagResource", ResourceArn=arn, Tags=many)


def test_a_tag_is_in_five_rules_at_most(svc: Services) -> None:
    for _ in range(5):
        a_rule(svc, "EBS_SNAPSHOT", 1, ResourceTags=TAGGED)
    with refused("ServiceQuotaExceededException", "keep"):
        a_rule(svc, "EC2_IMAGE", 1, ResourceTags=TAGGED)


def test_a_deleted_rule_is_gone(svc: Services) -> None:
    rule_id = a_rule(svc, "EBS_SNAPSHOT", 1)
    assert ask_bin(svc, "DeleteRule", Identifier=rule_id) == {}
    with refused("ResourceNotFoundException", rule_id):
        rule(svc, rule_id)
