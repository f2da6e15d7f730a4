"""DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from openami.actions import organizations
from openami.catalog import images
from openami.domain.ids import AccountId
from openami.domain.image import ImageState
from openami.services import Services
from support.asking import ask, put, put_accounts, refused
from support.builders import ALICE, BOB, CAROL, EPOCH, IMAGE, an_image
from support.fakes import services

ORG = f"arn:aws:organizations::{ALICE}:organization/o-0123456789"
UNIT = f"arn:aws:organizations::{ALICE}:ou/o-0123456789/ou-6789-01234567"


def with_image(tmp_path: Path, **but: Any) -> Services:
    svc = services(tmp_path)
    put_accounts(svc, ALICE, BOB, CAROL)
    put(svc, an_image(**but))
    return svc


def attribute(svc: Services, name: str) -> dict[str, Any]:
    answer = ask(svc, "DescribeImageAttribute", ImageId=IMAGE, Attribute=name)
    assert answer.pop("ImageId") == IMAGE
    return answer


def modify(svc: Services, **request: Any) -> None:
    assert ask(svc, "ModifyImageAttribute", ImageId=IMAGE, **request) == {}


def permissions(svc: Services) -> list[dict[str, str]]:
    return attribute(svc, "launchPermission")["LaunchPermissions"]


def test_a_fresh_image_is_its_owners_alone(tmp_path: Path) -> None:
    assert permissions(with_image(tmp_path)) == []


def test_what_an_image_lacks_is_absent(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    for name in ("kernel", "ramdisk", "bootMode", "tpmSupport", "uefiData", "lastLaunchedTime"):
        assert attribute(svc, name) == {}
    assert attribute(svc, "productCodes") == {"ProductCodes": []}
    assert attribute(svc, "description") == {"Description": {"Value": ""}}


def test_what_an_image_has_is_told(tmp_path: Path) -> None:
    at: datetime = EPOCH
    svc = with_image(tmp_path, boot_mode="uefi", last_launched_at=at, sriov_net_support="simple")
    assert attribute(svc, "bootMode") == {"BootMode": {"Value": "uefi"}}
    assert attribute(svc, "lastLaunchedTime") == {
        "LastLaunchedTime": {"Value": "2024-01-01T00:00:00Z"}
    }
    assert attribute(svc, "sriovNetSupport") == {"SriovNetSupport": {"Value": "simple"}}
    assert attribute(svc, "deregistrationProtection") == {
        "DeregistrationProtection": {"Value": "disabled"}
    }


def test_attributes_are_told_to_the_owner_only(tmp_path: Path) -> None:
    svc = with_image(tmp_path, public=True)
    with refused("AuthFailure", IMAGE):
        ask(svc, "DescribeImageAttribute", BOB, ImageId=IMAGE, Attribute="description")
    with refused("AuthFailure", "Unauthorized attempt to access restricted resource"):
        attribute(svc, "blockDeviceMapping")
    with refused("InvalidRequest", "The request received was invalid"):
        attribute(svc, "colour")


@pytest.mark.parametrize(
    "request_",
    [
        {"LaunchPermission": {"Add": [{"UserId": BOB}]}},
        {"Attribute": "launchPermission", "OperationType": "add", "UserIds": [BOB]},
        {"OperationType": "add", "UserIds": [BOB]},
        {"LaunchPermission": {"Add": [{"UserId": BOB}]}, "OperationType": "add"},  # c7n
        {"LaunchPermission": {"Add": [{"UserId": BOB}]}, "Attribute": "LaunchPermission"},  # awspub
    ],
)
def test_an_image_is_shared_and_taken_back(tmp_path: Path, request_: dict[str, Any]) -> None:
    svc = with_image(tmp_path)
    modify(svc, **request_)
    assert permissions(svc) == [{"UserId": BOB}]
    (seen,) = ask(svc, "DescribeImages", BOB, ImageIds=[IMAGE])["Images"]
    assert seen["Public"] is False
    modify(svc, LaunchPermission={"Remove": [{"UserId": BOB}]})
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "DescribeImages", BOB, ImageIds=[IMAGE])


@pytest.mark.parametrize(
    "request_",
    [
        {"LaunchPermission": {"Add": [{"Group": "all"}]}},
        {"Attribute": "launchPermission", "OperationType": "add", "UserGroups": ["all"]},
    ],
)
def test_an_image_is_made_public_and_reset(tmp_path: Path, request_: dict[str, Any]) -> None:
    svc = with_image(tmp_path)
    modify(svc, LaunchPermission={"Add": [{"UserId": CAROL}]})
    modify(svc, **request_)
    assert permissions(svc) == [{"Group": "all"}, {"UserId": CAROL}]
    (seen,) = ask(svc, "DescribeImages", BOB, ImageIds=[IMAGE])["Images"]
    assert seen["Public"] is True
    ask(svc, "ResetImageAttribute", ImageId=IMAGE, Attribute="launchPermission")
    assert permissions(svc) == []


def test_removing_the_group_all_keeps_the_accounts(tmp_path: Path) -> None:
    svc = with_image(tmp_path, public=True, shared_with=frozenset({BOB}))
    modify(svc, LaunchPermission={"Remove": [{"Group": "all"}]})
    assert permissions(svc) == [{"UserId": BOB}]


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"UserId": "bob"}, "userId"),
        ({"UserId": "999999999999"}, "userId"),
        ({"Group": "some"}, "group"),
        ({"OrganizationArn": ORG}, "OrganizationArn"),
        ({"OrganizationArn": UNIT}, "OrganizationArn"),
        ({"OrganizationArn": "o-0123456789"}, "OrganizationArn"),
        ({"OrganizationalUnitArn": UNIT}, "OrganizationalUnitArn"),
        ({"OrganizationalUnitArn": ORG}, "OrganizationalUnitArn"),
    ],
)
def test_a_bad_item_changes_nothing(tmp_path: Path, item: dict[str, str], kind: str) -> None:
    svc = with_image(tmp_path)
    (value,) = item.values()
    words = f'Invalid attribute item value "{value}" for {kind} item type.'
    with refused("InvalidAMIAttributeItemValue", words):
        modify(svc, LaunchPermission={"Add": [{"UserId": BOB}, item]})
    assert permissions(svc) == []


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "InvalidParameterCombination"),
        ({"Attribute": "kernel", "Value": "aki-1"}, "InvalidParameterCombination"),
        ({"Attribute": "colour", "Value": "red"}, "InvalidParameterCombination"),
        ({"Attribute": "blockDeviceMapping", "Value": "x"}, "InvalidParameter"),
        ({"Attribute": "description"}, "MissingParameter"),
        ({"Description": {}}, "MissingParameter"),
        (
            {"Description": {"Value": "x"}, "LaunchPermission": {"Add": [{"Group": "all"}]}},
            "InvalidParameterCombination",
        ),
        ({"LaunchPermission": {}}, "InvalidParameterCombination"),
        ({"LaunchPermission": {"Add": [{}]}}, "InvalidParameterCombination"),
        (
            {"LaunchPermission": {"Add": [{"Group": "all"}]}, "UserIds": [BOB]},
            "InvalidParameterCombination",
        ),
        (
            {"Attribute": "description", "Value": "x", "UserIds": [BOB]},
            "InvalidParameterCombination",
        ),
        ({"Description": {"Value": "x"}, "Value": "y"}, "InvalidParameterCombination"),
        ({"Attribute": "launchPermission", "UserIds": [BOB]}, "MissingParameter"),
        ({"OperationType": "set", "UserIds": [BOB]}, "InvalidParameterValue"),
        ({"ImdsSupport": {"Value": "v1.0"}}, "InvalidParameterValue"),
        ({"ProductCodes": ["x"]}, "UnsupportedOperation"),
    ],
)
def test_a_change_is_refused(tmp_path: Path, request_: dict[str, Any], code: str) -> None:
    svc = with_image(tmp_path)
    with refused(code):
        modify(svc, **request_)
    with svc.catalog.read() as tx:
        assert images.fetch_any(tx, IMAGE) == an_image()


@pytest.mark.parametrize(
    "request_",
    [{"Description": {"Value": "new"}}, {"Attribute": "description", "Value": "new"}],
)
def test_only_the_description_changes_with_the_description(
    tmp_path: Path, request_: dict[str, Any]
) -> None:
    svc = with_image(tmp_path)
    modify(svc, **request_)
    with svc.catalog.read() as tx:
        assert images.fetch_any(tx, IMAGE) == an_image(description="new")


def test_an_image_turns_to_imds_v2_for_good(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    modify(svc, ImdsSupport={"Value": "v2.0"})
    assert attribute(svc, "imdsSupport") == {"ImdsSupport": {"Value": "v2.0"}}


def test_nobody_but_the_owner_changes_an_image(tmp_path: Path) -> None:
    svc = with_image(tmp_path, public=True)
    change = {"ImageId": IMAGE, "Description": {"Value": "mine"}}
    with refused("AuthFailure"):
        ask(svc, "ModifyImageAttribute", BOB, **change)
    with refused("AuthFailure"):
        ask(svc, "ResetImageAttribute", BOB, ImageId=IMAGE, Attribute="launchPermission")
    with refused("InvalidRequest"):
        ask(svc, "ResetImageAttribute", ImageId=IMAGE, Attribute="description")


def test_a_disabled_image_is_not_shared(tmp_path: Path) -> None:
    svc = with_image(tmp_path, state=ImageState.DISABLED)
    with refused("IncorrectState"):
        modify(svc, LaunchPermission={"Add": [{"UserId": BOB}]})


def with_unit(svc: Services) -> tuple[str, str]:
    """The ARNs of an organization of ALICE and of a unit in it, where BOB is."""
    with svc.catalog.begin() as tx:
        top = organizations.create_organization(tx, svc.clock, svc.ids, ALICE)
        unit = organizations.create_unit(tx, svc.ids, top.id, "web")
        organizations.add_account(tx, BOB, unit)
    return top.arn, unit


def seen(svc: Services, account: str = BOB, **request: Any) -> int:
    return len(ask(svc, "DescribeImages", AccountId(account), **request)["Images"])


@pytest.mark.parametrize(
    ("kind", "field", "which"),
    [
        ("OrganizationArn", "OrganizationArns", 0),
        ("OrganizationalUnitArn", "OrganizationalUnitArns", 1),
    ],
)
def test_an_image_is_shared_with_an_organization_or_a_unit(
    tmp_path: Path, kind: str, field: str, which: int
) -> None:
    svc = with_image(tmp_path)
    arn = with_unit(svc)[which]
    modify(svc, LaunchPermission={"Add": [{kind: arn}]})
    assert permissions(svc) == [{kind: arn}]
    assert seen(svc) == 1
    assert seen(svc, ExecutableUsers=["self"]) == 1
    assert seen(svc, CAROL) == 0
    modify(svc, OperationType="remove", **{field: [arn]})
    assert permissions(svc) == []
    assert seen(svc) == 0
    modify(svc, OperationType="add", **{field: [arn]})
    assert seen(svc) == 1
    ask(svc, "ResetImageAttribute", ImageId=IMAGE, Attribute="launchPermission")
    assert seen(svc) == 0


def test_who_leaves_the_unit_loses_the_image_and_who_is_below_it_has_it(tmp_path: Path) -> None:
    svc = with_image(tmp_path)
    top, unit = with_unit(svc)
    modify(svc, LaunchPermission={"Add": [{"OrganizationalUnitArn": unit}]})
    with svc.catalog.begin() as tx:
        below = organizations.create_unit(tx, svc.ids, unit, "shop")
        organizations.add_account(tx, CAROL, below)
    assert seen(svc, CAROL) == 1
    with svc.catalog.begin() as tx:
        organizations.add_account(tx, CAROL, top)
        organizations.remove(tx, BOB)
    assert seen(svc, CAROL) == 0
    assert seen(svc, BOB) == 0


def test_sharing_with_the_organization_of_another_account_tells_only_the_owner(
    tmp_path: Path,
) -> None:
    svc = with_image(tmp_path)
    top, _ = with_unit(svc)
    modify(svc, LaunchPermission={"Add": [{"OrganizationArn": top}, {"UserId": CAROL}]})
    assert seen(svc, ALICE, ExecutableUsers=[BOB]) == 0  # EC2 counts the account's own grants
    assert seen(svc, ALICE, ExecutableUsers=[CAROL]) == 1


def test_an_account_gives_up_what_was_shared_with_it(tmp_path: Path) -> None:
    svc = with_image(tmp_path, shared_with=frozenset({BOB, CAROL}))
    assert ask(svc, "CancelImageLaunchPermission", BOB, ImageId=IMAGE) == {"Return": True}
    assert permissions(svc) == [{"UserId": CAROL}]
    with refused("InvalidAMIID.NotFound"):
        ask(svc, "CancelImageLaunchPermission", BOB, ImageId=IMAGE)


def test_only_an_accounts_own_permission_can_be_given_up(tmp_path: Path) -> None:
    svc = with_image(tmp_path, public=True)
    for account in (ALICE, BOB):
        with refused("InvalidRequest", IMAGE):
            ask(svc, "CancelImageLaunchPermission", account, ImageId=IMAGE)
    assert permissions(svc) == [{"Group": "all"}]
