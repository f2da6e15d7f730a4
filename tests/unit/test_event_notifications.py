"""The tags that notifications of events would tell; and what nobody has here."""

from pathlib import Path
from typing import Any

import pytest

from openami.services import Services
from support.asking import ask, filtered, refused
from support.builders import BOB, IMAGE, INSTANCE
from support.fakes import services

REGISTER = "RegisterInstanceEventNotificationAttributes"
DEREGISTER = "DeregisterInstanceEventNotificationAttributes"


def told(svc: Services, **who: Any) -> tuple[list[str], bool]:
    answer = ask(svc, "DescribeInstanceEventNotificationAttributes", **who)["InstanceTagAttribute"]
    return list(answer["InstanceTagKeys"]), answer["IncludeAllTagsOfInstance"]


def test_tag_keys_are_registered_and_taken_back(tmp_path: Path) -> None:
    svc = services(tmp_path)
    assert told(svc) == ([], False)
    ask(svc, REGISTER, InstanceTagAttribute={"InstanceTagKeys": ["tier", "owner"]})
    ask(svc, REGISTER, InstanceTagAttribute={"InstanceTagKeys": ["owner", "team"]})
    assert told(svc) == (["tier", "owner", "team"], False)
    answer = ask(svc, DEREGISTER, InstanceTagAttribute={"InstanceTagKeys": ["owner", "moon"]})
    assert list(answer["InstanceTagAttribute"]["InstanceTagKeys"]) == ["tier", "team"]
    assert told(svc) == (["tier", "team"], False)
    assert told(svc, account=BOB) == ([], False)


def test_all_tags_are_registered_and_taken_back_at_once(tmp_path: Path) -> None:
    svc = services(tmp_path)
    ask(svc, REGISTER, InstanceTagAttribute={"InstanceTagKeys": ["tier"]})
    ask(svc, REGISTER, InstanceTagAttribute={"IncludeAllTagsOfInstance": True})
    assert told(svc) == (["tier"], True)
    ask(svc, "EnableSerialConsoleAccess")
    ask(svc, DEREGISTER, InstanceTagAttribute={"IncludeAllTagsOfInstance": False})
    assert told(svc) == ([], False)
    assert ask(svc, "GetSerialConsoleAccessStatus")["SerialConsoleAccessEnabled"] is True


@pytest.mark.parametrize("operation", [REGISTER, DEREGISTER])
def test_keys_or_all_of_them_must_be_named(tmp_path: Path, operation: str) -> None:
    svc = services(tmp_path)
    every = operation == REGISTER
    with refused("InvalidParameterCombination"):
        ask(svc, operation, InstanceTagAttribute={})
    with refused("InvalidParameterCombination"):
        both = {"IncludeAllTagsOfInstance": every, "InstanceTagKeys": ["tier"]}
        ask(svc, operation, InstanceTagAttribute=both)
    with refused("InvalidParameterValue"):
        ask(svc, operation, InstanceTagAttribute={"IncludeAllTagsOfInstance": not every})


def test_keys_are_few_and_of_the_length_of_keys(tmp_path: Path) -> None:
    svc = services(tmp_path)
    ask(svc, REGISTER, InstanceTagAttribute={"InstanceTagKeys": [f"k{n}" for n in range(10)]})
    with refused("TagLimitExceeded"):
        ask(svc, REGISTER, InstanceTagAttribute={"InstanceTagKeys": ["one more"]})
    for wrong in ("", "x" * 129):
        with refused("InvalidParameterValue"):
            ask(svc, REGISTER, InstanceTagAttribute={"InstanceTagKeys": [wrong]})


def test_what_nobody_has_is_not_listed(tmp_path: Path) -> None:
    svc = services(tmp_path)
    state = filtered("state", "enabled")
    assert ask(svc, "DescribeFastLaunchImages", ImageIds=[IMAGE])["FastLaunchImages"] == []
    assert ask(svc, "DescribeFastLaunchImages", Filters=state)["FastLaunchImages"] == []
    assert ask(svc, "DescribeClassicLinkInstances", InstanceIds=[INSTANCE])["Instances"] == []
    tagged = filtered("tag:of", "ops")
    assert ask(svc, "DescribeClassicLinkInstances", Filters=tagged)["Instances"] == []
    asked = {"InstanceId": INSTANCE, "ProductCode": "774F4FF8"}
    assert ask(svc, "ConfirmProductInstance", **asked) == {"Return": False}
    for operation in ("DescribeFastLaunchImages", "DescribeClassicLinkInstances"):
        with refused("InvalidParameterValue"):
            ask(svc, operation, Filters=filtered("colour", "red"))
    with refused("InvalidAMIID.Malformed"):
        ask(svc, "DescribeFastLaunchImages", ImageIds=["ami-moon"])
    with refused("InvalidInstanceID.Malformed"):
        ask(svc, "ConfirmProductInstance", InstanceId="i-moon", ProductCode="774F4FF8")
