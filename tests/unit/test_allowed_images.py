"""Allowed AMIs: the settings, what the criteria mean, and what they do."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import accounts
from openami.domain.account import Account
from openami.domain.ids import AccountId, ImageId, Region
from openami.domain.watermark import Watermark
from openami.services import Services
from support.asking import ask, filtered, put, put_accounts, refused
from support.builders import ALICE, BOB, CAROL, EPOCH, IMAGE, THERE, a_snapshot, an_image
from support.fakes import StoppedClock, services

MARK = Watermark(
    key=f"{ALICE}:golden",
    source_image_id=IMAGE,
    source_image_region=Region("eu-west-1"),
    source_image_created_at=EPOCH - timedelta(days=10),
    attached_at=EPOCH - timedelta(days=5),
)


def with_image(tmp_path: Path, state: str = "enabled", **but: Any) -> Services:
    """An image of ALICE that BOB may see, and BOB's settings in that state."""
    svc = services(tmp_path)
    put_accounts(svc, ALICE, BOB, CAROL)
    shared: dict[str, Any] = {"shared_with": frozenset({BOB}), "boot_mode": "legacy-bios"}
    put(svc, a_snapshot(), an_image(**(shared | but)))
    if state == "disabled":
        ask(svc, "DisableAllowedImagesSettings", BOB)
    else:
        ask(svc, "EnableAllowedImagesSettings", BOB, AllowedImagesSettingsState=state)
    return svc


def allow(svc: Services, *criteria: dict[str, Any]) -> None:
    name = "ReplaceImageCriteriaInAllowedImagesSettings"
    assert ask(svc, name, BOB, ImageCriteria=list(criteria)) == {"ReturnValue": True}


def seen(svc: Services, account: AccountId = BOB, **request: Any) -> list[str]:
    return [each["ImageId"] for each in ask(svc, "DescribeImages", account, **request)["Images"]]


def settings(svc: Services, account: AccountId = BOB, **more: Any) -> dict[str, Any]:
    return ask(svc, "GetAllowedImagesSettings", account, **more)


def launch(svc: Services, account: AccountId = BOB) -> None:
    counts = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    ask(svc, "RunInstances", account, ImageId=IMAGE, **counts)


def advance(svc: Services, **by: float) -> None:
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(**by))


def test_without_a_word_everything_is_allowed(tmp_path: Path) -> None:
    svc = with_image(tmp_path, "disabled")
    assert settings(svc) == {"State": "disabled", "ImageCriteria": [], "ManagedBy": "account"}
    (image,) = ask(svc, "DescribeImages", BOB)["Images"]
    assert "ImageAllowed" not in image
    assert seen(svc, Filters=filtered("image-allowed", "true")) == []


def test_settings_are_an_accounts_own_in_a_region_and_keep_their_criteria(tmp_path: Path) -> None:
    svc = with_image(tmp_path, "disabled")
    criterion = {"ImageProviders": [ALICE], "ImageNames": ["debian-*"]}
    allow(svc, criterion)
    for state in ("audit-mode", "enabled"):
        answer = ask(svc, "EnableAllowedImagesSettings", BOB, AllowedImagesSettingsState=state)
        assert answer == {"AllowedImagesSettingsState": state}
        told = {"State": state, "ImageCriteria": [criterion], "ManagedBy": "account"}
        assert settings(svc) == told
    assert settings(svc, ALICE)["State"] == "disabled"
    assert settings(svc, region=THERE)["State"] == "disabled"
    answer = ask(svc, "DisableAllowedImagesSettings", BOB)
    assert answer == {"AllowedImagesSettingsState": "disabled"}
    assert settings(svc)["ImageCriteria"] == [criterion]
    allow(svc)
    assert settings(svc)["ImageCriteria"] == []


def test_every_criterion_is_told_as_it_was_given(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    criteria = [
        {"MarketplaceProductCodes": ["abc123"]},
        {
            "ImageProviders": ["amazon", ALICE],
            "ImageNames": ["a*", "b?c"],
            "DeprecationTimeCondition": {"MaximumDaysSinceDeprecated": 0},
            "CreationDateCondition": {"MaximumDaysSinceCreated": 2147483647},
            "ImageWatermarks": [
                {"WatermarkKey": "1*:golden", "SourceImageRegion": "us-*"},
                {"MaximumDaysSinceSourceImageCreated": 3, "MaximumDaysSinceWatermarkCreated": 4},
            ],
            "ScanResultCondition": {
                "MaxDaysSinceLastFindingScan": 7,
                "MaximumSeverityLabel": "medium",
                "MaxDaysSinceInformationalFixAvailable": 1,
                "MaxDaysSinceLowFixAvailable": 2,
                "MaxDaysSinceMediumFixAvailable": 3,
                "MaxDaysSinceHighFixAvailable": 4,
                "MaxDaysSinceCriticalFixAvailable": 5,
            },
        },
    ]
    allow(svc, *criteria)
    assert settings(svc)["ImageCriteria"] == criteria


def test_what_is_not_allowed_does_not_exist_for_the_account(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    assert seen(svc) == []
    with refused("InvalidAMIID.NotFound", f"The image id '[{IMAGE}]' does not exist"):
        seen(svc, ImageIds=[IMAGE])
    with refused("InvalidAMIID.NotFound"):
        launch(svc)
    allow(svc, {"ImageProviders": [CAROL]}, {"ImageProviders": [ALICE]})
    (image,) = ask(svc, "DescribeImages", BOB)["Images"]
    assert image["ImageAllowed"] is True
    launch(svc)


def test_criteria_do_not_open_what_is_not_shared(tmp_path: Path) -> None:
    svc = with_image(tmp_path, shared_with=frozenset())
    allow(svc, {"ImageProviders": [ALICE]})
    assert seen(svc) == []
    with refused("InvalidAMIID.NotFound"):
        launch(svc)


def test_own_images_are_always_allowed(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    ask(svc, "EnableAllowedImagesSettings", ALICE, AllowedImagesSettingsState="enabled")
    nobody = [{"ImageProviders": ["none"]}]
    ask(svc, "ReplaceImageCriteriaInAllowedImagesSettings", ALICE, ImageCriteria=nobody)
    (image,) = ask(svc, "DescribeImages", ALICE)["Images"]
    assert image["ImageAllowed"] is True
    launch(svc, ALICE)


def test_audit_mode_tells_and_hinders_nothing(tmp_path: Path) -> None:
    svc = with_image(tmp_path, "audit-mode")
    (image,) = ask(svc, "DescribeImages", BOB)["Images"]
    assert image["ImageAllowed"] is False
    assert seen(svc, Filters=filtered("image-allowed", "false")) == [IMAGE]
    assert seen(svc, Filters=filtered("image-allowed", "true")) == []
    launch(svc)
    allow(svc, {"ImageNames": ["debian-*"]})
    assert seen(svc, Filters=filtered("image-allowed", "true")) == [IMAGE]


@pytest.mark.parametrize(
    ("criterion", "allowed"),
    [
        ({"ImageProviders": [ALICE]}, True),
        ({"ImageProviders": [CAROL, ALICE]}, True),
        ({"ImageProviders": [CAROL]}, False),
        ({"ImageProviders": ["none"]}, False),
        ({"ImageProviders": ["amazon"]}, False),
        ({"ImageNames": ["debian-12"]}, True),
        ({"ImageNames": ["ubuntu-*", "debian-??"]}, True),
        ({"ImageNames": ["Debian-12"]}, False),
        ({"ImageProviders": [ALICE], "ImageNames": ["ubuntu-*"]}, False),
        ({"MarketplaceProductCodes": ["abc"]}, False),
        ({"ScanResultCondition": {"MaximumSeverityLabel": "critical"}}, False),
        ({"ImageWatermarks": [{"WatermarkKey": f"{ALICE}:golden"}]}, True),
        ({"ImageWatermarks": [{"WatermarkKey": "*:gold?n"}]}, True),
        ({"ImageWatermarks": [{"WatermarkKey": f"{BOB}:golden"}]}, False),
        ({"ImageWatermarks": [{"SourceImageRegion": "eu-*"}]}, True),
        ({"ImageWatermarks": [{"WatermarkKey": "*", "SourceImageRegion": "us-*"}]}, False),
        ({"ImageWatermarks": [{"MaximumDaysSinceSourceImageCreated": 10}]}, True),
        ({"ImageWatermarks": [{"MaximumDaysSinceSourceImageCreated": 9}]}, False),
        ({"ImageWatermarks": [{"MaximumDaysSinceWatermarkCreated": 5}]}, True),
        ({"ImageWatermarks": [{"MaximumDaysSinceWatermarkCreated": 4}]}, False),
        (
            {"ImageWatermarks": [{"MaximumDaysSinceWatermarkCreated": 4}, {"WatermarkKey": "*"}]},
            True,
        ),
    ],
)
def test_a_criterion_asks_for_all_that_it_names(
    tmp_path: Path, criterion: dict[str, Any], allowed: bool
) -> None:
    svc = with_image(tmp_path, watermarks=(MARK,))
    allow(svc, criterion)
    assert seen(svc) == ([IMAGE] if allowed else [])


def test_an_alias_stands_for_the_account_that_has_it(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    allow(svc, {"ImageProviders": ["amazon"]})
    assert seen(svc) == []
    owner = AccountId("444444444444")
    with svc.catalog.begin() as tx:
        its = Account(id=owner, name="amazon", created_at=EPOCH, alias="amazon")
        accounts.add(tx, its)
    public = ImageId("ami-0000000a")
    put(svc, an_image(id=public, owner=owner, public=True))
    assert seen(svc) == [public]


def test_an_image_grows_too_old(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    allow(svc, {"CreationDateCondition": {"MaximumDaysSinceCreated": 300}})
    advance(svc, days=300)
    assert seen(svc) == [IMAGE]
    advance(svc, seconds=1)
    assert seen(svc) == []
    with refused("InvalidAMIID.NotFound"):
        launch(svc)
    allow(svc, {"CreationDateCondition": {"MaximumDaysSinceCreated": 2147483647}})
    assert seen(svc) == [IMAGE]


def test_an_image_is_deprecated_for_too_long(tmp_path: Path) -> None:
    svc = with_image(tmp_path, deprecated_at=EPOCH + timedelta(days=10))
    allow(svc, {"DeprecationTimeCondition": {"MaximumDaysSinceDeprecated": 0}})
    assert seen(svc, IncludeDeprecated=True) == [IMAGE]
    advance(svc, days=10)
    assert seen(svc, IncludeDeprecated=True) == []
    allow(svc, {"DeprecationTimeCondition": {"MaximumDaysSinceDeprecated": 7}})
    assert seen(svc, IncludeDeprecated=True) == [IMAGE]
    advance(svc, days=7)
    assert seen(svc, IncludeDeprecated=True) == []


def test_pages_hold_what_is_allowed_only(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    more = [
        an_image(
            id=ImageId(f"ami-0000000{n}"),
            name=f"{'web' if n % 2 else 'db'}-{n}",
            shared_with=frozenset({BOB}),
        )
        for n in range(6)
    ]
    put(svc, *more)
    allow(svc, {"ImageNames": ["web-*"]})
    first = ask(svc, "DescribeImages", BOB, MaxResults=2)
    rest = ask(svc, "DescribeImages", BOB, MaxResults=2, NextToken=first["NextToken"])
    assert [each["Name"] for each in first["Images"]] == ["web-1", "web-3"]
    assert [each["Name"] for each in rest["Images"]] == ["web-5"]


def test_an_instance_tells_whether_its_image_is_allowed_now(tmp_path: Path) -> None:
    svc = with_image(tmp_path, "disabled")
    launch(svc)

    def found(allowed: str) -> int:
        request = {"Filters": filtered("image-allowed", allowed)}
        answer = ask(svc, "DescribeInstanceImageMetadata", BOB, **request)
        return len(answer["InstanceImageMetadata"])

    def told() -> object:
        (one,) = ask(svc, "DescribeInstanceImageMetadata", BOB)["InstanceImageMetadata"]
        return one["ImageMetadata"].get("ImageAllowed")

    assert told() is None
    assert found("*") == 0
    ask(svc, "EnableAllowedImagesSettings", BOB, AllowedImagesSettingsState="enabled")
    assert told() is False
    assert (found("true"), found("false")) == (0, 1)
    allow(svc, {"ImageProviders": [ALICE]})
    assert told() is True
    assert (found("true"), found("false")) == (1, 0)


REFUSED: list[list[dict[str, Any]]] = [
    [{}],
    [{"ImageProviders": []}],
    [{"ImageProviders": ["me"]}],
    [{"ImageProviders": ["1234"]}],
    [{"ImageProviders": ["none", ALICE]}],
    [{"ImageProviders": ["none"], "ImageNames": ["web"]}],
    [{"ImageProviders": ["none"]}, {"ImageProviders": [ALICE]}],
    [{"ImageProviders": [f"{n:012d}" for n in range(201)]}],
    [{"ImageNames": ["web:1"]}],
    [{"ImageNames": [""]}],
    [{"ImageNames": ["a?"]}],
    [{"ImageNames": ["n" * 129]}],
    [{"ImageNames": [f"web-{n}" for n in range(51)]}],
    [{"MarketplaceProductCodes": ["a-b"]}],
    [{"MarketplaceProductCodes": ["a" * 26]}],
    [{"MarketplaceProductCodes": [f"a{n}" for n in range(51)]}],
    [{"CreationDateCondition": {}}],
    [{"CreationDateCondition": {"MaximumDaysSinceCreated": -1}}],
    [{"DeprecationTimeCondition": {"MaximumDaysSinceDeprecated": 2147483648}}],
    [{"ImageWatermarks": [{}]}],
    [{"ImageWatermarks": [{"MaximumDaysSinceWatermarkCreated": -1}]}],
    [{"ImageWatermarks": [{"WatermarkKey": f"{ALICE}:{n}"} for n in range(51)]}],
    [{"ScanResultCondition": {}}],
    [{"ScanResultCondition": {"MaximumSeverityLabel": "bad"}}],
    [{"ScanResultCondition": {"MaxDaysSinceLastFindingScan": -1}}],
    [{"ImageNames": [f"web-{n}"]} for n in range(11)],
]


@pytest.mark.parametrize("criteria", REFUSED)
def test_criteria_are_refused_and_the_former_stay(
    tmp_path: Path, criteria: list[dict[str, Any]]
) -> None:
    svc = with_image(tmp_path)
    allow(svc, {"ImageNames": ["former"]})
    with refused("InvalidParameterValue"):
        allow(svc, *criteria)
    assert settings(svc)["ImageCriteria"] == [{"ImageNames": ["former"]}]


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    svc = services(tmp_path)
    for state in ("disabled", "on"):
        with refused("InvalidParameterValue"):
            ask(svc, "EnableAllowedImagesSettings", AllowedImagesSettingsState=state)
