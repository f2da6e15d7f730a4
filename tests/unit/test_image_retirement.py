"""Deprecation, disabling, deregistration protection."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.domain.image import Image, ImageState
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, put, refused
from support.builders import ALICE, BOB, CAROL, EPOCH, IMAGE, an_image
from support.fakes import StoppedClock, services

A_WEEK = timedelta(days=7)
PROTECTIONS = ("EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection")


def with_image(tmp_path: Path, **but: Any) -> Services:
    svc = services(tmp_path)
    put(svc, an_image(**but))
    return svc


def pass_time(svc: Services, by: timedelta) -> None:
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(by)


def deprecate(svc: Services, at: datetime) -> None:
    assert ask(svc, "EnableImageDeprecation", ImageId=IMAGE, DeprecateAt=at) == {"Return": True}


def listed(svc: Services, account: Any = BOB, **request: Any) -> bool:
    return bool(ask(svc, "DescribeImages", account=account, **request)["Images"])


def the_image(svc: Services, **request: Any) -> dict[str, Any]:
    (image,) = ask(svc, "DescribeImages", ImageIds=[IMAGE], **request)["Images"]
    return image


def protection(svc: Services) -> str:
    answer = ask(svc, "DescribeImageAttribute", ImageId=IMAGE, Attribute="deregistrationProtection")
    told = the_image(svc)["DeregistrationProtection"]
    assert answer["DeregistrationProtection"] == {"Value": told}
    return str(told)


def test_a_deprecated_image_is_hidden_from_others_from_its_time_on(tmp_path: Path) -> None:
    svc = with_image(tmp_path, shared_with=frozenset({BOB}))
    deprecate(svc, EPOCH + A_WEEK)
    assert listed(svc)
    pass_time(svc, A_WEEK)
    assert not listed(svc)
    assert listed(svc, IncludeDeprecated=True)
    assert listed(svc, ImageIds=[IMAGE])
    assert listed(svc, account=ALICE)
    assert not listed(svc, account=CAROL, IncludeDeprecated=True)


def test_a_deprecated_image_can_be_launched(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    deprecate(svc, EPOCH)
    pass_time(svc, A_WEEK)
    assert a_running_instance(svc)


def test_the_deprecation_time_is_told_and_is_a_whole_minute(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    assert "DeprecationTime" not in the_image(svc)
    deprecate(svc, EPOCH + A_WEEK + timedelta(seconds=29))
    assert the_image(svc)["DeprecationTime"] == "2024-01-08T00:00:00.000Z"
    deprecate(svc, EPOCH + A_WEEK + timedelta(seconds=30))
    assert the_image(svc)["DeprecationTime"] == "2024-01-08T00:01:00.000Z"


def test_a_deprecation_can_be_cancelled(tmp_path: Path) -> None:
    svc = with_image(tmp_path, shared_with=frozenset({BOB}))
    deprecate(svc, EPOCH)
    assert not listed(svc)
    assert ask(svc, "DisableImageDeprecation", ImageId=IMAGE) == {"Return": True}
    assert listed(svc)
    assert "DeprecationTime" not in the_image(svc)


def test_a_public_image_is_deprecated_two_years_after_its_creation_at_the_latest(
    tmp_path: Path,
) -> None:
    svc = with_image(tmp_path, public=True)
    two_years = timedelta(days=731)
    assert the_image(svc)["DeprecationTime"] == "2026-01-01T00:00:00.000Z"
    with refused("InvalidParameterValue", "2 years"):
        deprecate(svc, EPOCH + two_years + timedelta(minutes=1))
    deprecate(svc, EPOCH + two_years)
    pass_time(svc, two_years)
    assert not listed(svc)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (EPOCH - timedelta(seconds=1), "past"),
        (EPOCH + timedelta(days=3654), "10 years"),
        (datetime.max.replace(tzinfo=EPOCH.tzinfo), "10 years"),
        (datetime.min.replace(tzinfo=EPOCH.tzinfo), "past"),
    ],
)
def test_a_deprecation_has_its_bounds(tmp_path: Path, at: datetime, words: str) -> None:
    with refused("InvalidParameterValue", words):
        deprecate(with_image(tmp_path), at)


def test_an_image_that_failed_is_not_deprecated(tmp_path: Path) -> None:
    with refused("IncorrectState", "failed"):
        deprecate(with_image(tmp_path, state=ImageState.FAILED), EPOCH)


def test_disabling_takes_all_permissions_and_enabling_gives_none_back(tmp_path: Path) -> None:
    svc = with_image(tmp_path, public=True, shared_with=frozenset({BOB}))
    assert ask(svc, "DisableImage", ImageId=IMAGE) == {"Return": True}
    assert not listed(svc, IncludeDisabled=True)
    assert the_image(svc, IncludeDisabled=True)["State"] == "disabled"
    assert ask(svc, "EnableImage", ImageId=IMAGE) == {"Return": True}
    image = the_image(svc)
    assert (image["State"], image["Public"]) == ("available", False)
    assert not listed(svc)
    answer = ask(svc, "DescribeImageAttribute", ImageId=IMAGE, Attribute="launchPermission")
    assert answer["LaunchPermissions"] == []


def test_a_disabled_image_is_not_launched_not_shared_and_not_listed(tmp_path: Path) -> None:
    svc = services(tmp_path)
    a_bootable_image(svc)
    ask(svc, "DisableImage", ImageId=IMAGE)
    with refused("InvalidAMIID.Unavailable"):
        a_running_instance(svc)
    with refused("IncorrectState"):
        ask(
            svc,
            "ModifyImageAttribute",
            ImageId=IMAGE,
            LaunchPermission={"Add": [{"Group": "all"}]},
        )
    assert not listed(svc, account=ALICE)
    ask(svc, "EnableImage", ImageId=IMAGE)
    assert a_running_instance(svc)


@pytest.mark.parametrize(
    ("operation", "state"),
    [
        ("DisableImage", ImageState.PENDING),
        ("DisableImage", ImageState.DISABLED),
        ("DisableImage", ImageState.FAILED),
        ("EnableImage", ImageState.AVAILABLE),
        ("EnableImage", ImageState.PENDING),
    ],
)
def test_only_an_available_image_is_disabled_and_only_a_disabled_one_enabled(
    tmp_path: Path, operation: str, state: ImageState
) -> None:
    with refused("IncorrectState", operation):
        ask(with_image(tmp_path, state=state), operation, ImageId=IMAGE)


def test_a_protected_image_is_not_deregistered(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    assert protection(svc) == "disabled"
    answer = ask(svc, "EnableImageDeregistrationProtection", ImageId=IMAGE)
    assert answer == {"Return": "enabled-without-cooldown"}
    assert protection(svc) == "enabled-without-cooldown"
    with refused("OperationNotPermitted", IMAGE):
        ask(svc, "DeregisterImage", ImageId=IMAGE)
    assert the_image(svc)["State"] == "available"


def test_without_a_cooldown_protection_ends_at_once(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    ask(svc, "EnableImageDeregistrationProtection", ImageId=IMAGE)
    answer = ask(svc, "DisableImageDeregistrationProtection", ImageId=IMAGE)
    assert answer == {"Return": "disabled"}
    assert ask(svc, "DeregisterImage", ImageId=IMAGE) == {"Return": True}


def test_with_a_cooldown_protection_lasts_a_day_longer(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    ask(svc, "EnableImageDeregistrationProtection", ImageId=IMAGE, WithCooldown=True)
    assert protection(svc) == "enabled-with-cooldown"
    ask(svc, "DisableImageDeregistrationProtection", ImageId=IMAGE)
    assert protection(svc) == "disabled"
    pass_time(svc, timedelta(hours=23))
    ask(svc, "DisableImageDeregistrationProtection", ImageId=IMAGE)
    pass_time(svc, timedelta(minutes=59))
    with refused("OperationNotPermitted", "cooldown", "2024-01-02T00:00:00.000Z"):
        ask(svc, "DeregisterImage", ImageId=IMAGE)
    pass_time(svc, timedelta(minutes=1))
    assert ask(svc, "DeregisterImage", ImageId=IMAGE) == {"Return": True}


def test_protection_that_is_enabled_again_forgets_the_cooldown(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    ask(svc, "EnableImageDeregistrationProtection", ImageId=IMAGE, WithCooldown=True)
    ask(svc, "DisableImageDeregistrationProtection", ImageId=IMAGE)
    ask(svc, "EnableImageDeregistrationProtection", ImageId=IMAGE)
    ask(svc, "DisableImageDeregistrationProtection", ImageId=IMAGE)
    assert ask(svc, "DeregisterImage", ImageId=IMAGE) == {"Return": True}


@pytest.mark.parametrize(
    "operation",
    ["EnableImageDeprecation", "DisableImageDeprecation", "DisableImage", *PROTECTIONS],
)
def test_only_the_owner_retires_an_image(tmp_path: Path, operation: str) -> None:
    svc = with_image(tmp_path, public=True)
    more: dict[str, Any] = (
        {"DeprecateAt": EPOCH + A_WEEK} if operation == "EnableImageDeprecation" else {}
    )
    before: Image = an_image(public=True)
    with refused("AuthFailure", IMAGE):
        ask(svc, operation, account=BOB, ImageId=IMAGE, **more)
    with refused("InvalidAMIID.Malformed"):
        ask(svc, operation, ImageId="ami-x", **more)
    assert the_image(svc)["Name"] == before.name
