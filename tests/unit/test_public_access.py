"""Block public access, of images and of snapshots."""

from pathlib import Path
from typing import Any

import pytest

from openami.domain.ids import AccountId
from openami.services import Services
from support.asking import ask, put, put_accounts, refused
from support.builders import ALICE, BOB, IMAGE, SNAPSHOT, THERE, ZONE, a_snapshot, an_image
from support.fakes import services

EVERYBODY = {"Add": [{"Group": "all"}]}


def with_both(tmp_path: Path, **but: Any) -> Services:
    svc = services(tmp_path)
    put_accounts(svc, ALICE, BOB)
    put(svc, a_snapshot(**but), an_image(**but))
    return svc


def block_snapshots(svc: Services, state: str) -> None:
    assert ask(svc, "EnableSnapshotBlockPublicAccess", State=state) == {"State": state}


def public_snapshots(svc: Services, account: AccountId = BOB) -> list[str]:
    answer = ask(svc, "DescribeSnapshots", account, RestorableByUserIds=["all"])
    return [each["SnapshotId"] for each in answer["Snapshots"]]


def test_images_are_not_blocked_until_their_owner_says_so_and_only_there(tmp_path: Path) -> None:
    svc = with_both(tmp_path)

    def state(**who: Any) -> str:
        answer = ask(svc, "GetImageBlockPublicAccessState", **who)
        assert answer["ManagedBy"] == "account"
        return answer["ImageBlockPublicAccessState"]

    assert state() == "unblocked"
    blocked = {"ImageBlockPublicAccessState": "block-new-sharing"}
    assert ask(svc, "EnableImageBlockPublicAccess", **blocked) == blocked
    assert ask(svc, "EnableImageBlockPublicAccess", **blocked) == blocked
    assert state() == "block-new-sharing"
    assert state(account=BOB) == "unblocked"
    assert state(region=THERE) == "unblocked"
    assert ask(svc, "DisableImageBlockPublicAccess") == {"ImageBlockPublicAccessState": "unblocked"}
    assert state() == "unblocked"


def test_no_image_becomes_public_while_that_is_blocked(tmp_path: Path) -> None:
    svc = with_both(tmp_path)
    ask(svc, "EnableImageBlockPublicAccess", ImageBlockPublicAccessState="block-new-sharing")
    words = "block public access for AMIs is enabled for this account"
    with refused("OperationNotPermitted", words, "DisableImageBlockPublicAccess"):
        ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=EVERYBODY)
    with refused("OperationNotPermitted"):
        both = {"Add": [{"UserId": BOB}, {"Group": "all"}]}
        ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=both)
    assert ask(svc, "DescribeImages", BOB)["Images"] == []
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission={"Add": [{"UserId": BOB}]})
    assert len(ask(svc, "DescribeImages", BOB)["Images"]) == 1
    ask(svc, "DisableImageBlockPublicAccess")
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=EVERYBODY)


def test_an_image_that_is_public_stays_public_and_can_be_made_private(tmp_path: Path) -> None:
    svc = with_both(tmp_path, public=True)
    ask(svc, "EnableImageBlockPublicAccess", ImageBlockPublicAccessState="block-new-sharing")
    assert len(ask(svc, "DescribeImages", BOB)["Images"]) == 1
    nobody = {"Remove": [{"Group": "all"}]}
    ask(svc, "ModifyImageAttribute", ImageId=IMAGE, LaunchPermission=nobody)
    assert ask(svc, "DescribeImages", BOB)["Images"] == []


@pytest.mark.parametrize("state", ["block-new-sharing", "block-all-sharing"])
def test_no_snapshot_becomes_public_while_that_is_blocked(tmp_path: Path, state: str) -> None:
    svc = with_both(tmp_path)
    block_snapshots(svc, state)
    get = ask(svc, "GetSnapshotBlockPublicAccessState")
    assert get == {"State": state, "ManagedBy": "account"}
    with refused("OperationNotPermitted", "block public access for snapshots is enabled"):
        share = {"SnapshotId": SNAPSHOT, "CreateVolumePermission": EVERYBODY}
        ask(svc, "ModifySnapshotAttribute", **share)
    ask(svc, "ModifySnapshotAttribute", SnapshotId=SNAPSHOT, OperationType="add", UserIds=[BOB])
    assert len(ask(svc, "DescribeSnapshots", BOB)["Snapshots"]) == 1


def test_blocking_all_sharing_hides_public_snapshots_until_it_ends(tmp_path: Path) -> None:
    svc = with_both(tmp_path, public=True)
    block_snapshots(svc, "block-new-sharing")
    assert public_snapshots(svc) == [SNAPSHOT]
    block_snapshots(svc, "block-all-sharing")
    assert public_snapshots(svc) == []
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "CreateVolume", BOB, AvailabilityZone=ZONE, SnapshotId=SNAPSHOT)
    attribute = {"SnapshotId": SNAPSHOT, "Attribute": "createVolumePermission"}
    told = ask(svc, "DescribeSnapshotAttribute", **attribute)["CreateVolumePermissions"]
    assert told == [{"Group": "all"}]
    assert ask(svc, "DisableSnapshotBlockPublicAccess") == {"State": "unblocked"}
    assert public_snapshots(svc) == [SNAPSHOT]


@pytest.mark.parametrize("account", [ALICE, BOB])
def test_another_account_or_region_hides_nothing(tmp_path: Path, account: AccountId) -> None:
    svc = with_both(tmp_path, public=True)
    region = THERE if account == ALICE else None
    state = {"State": "block-all-sharing"}
    if region is None:
        ask(svc, "EnableSnapshotBlockPublicAccess", account, **state)
    else:
        ask(svc, "EnableSnapshotBlockPublicAccess", account, region, **state)
    assert public_snapshots(svc) == [SNAPSHOT]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("EnableImageBlockPublicAccess", {"ImageBlockPublicAccessState": "block-all-sharing"}),
        ("EnableImageBlockPublicAccess", {"ImageBlockPublicAccessState": "unblocked"}),
        ("EnableSnapshotBlockPublicAccess", {"State": "unblocked"}),
        ("EnableSnapshotBlockPublicAccess", {"State": "all"}),
    ],
)
def test_a_mode_that_is_none_is_refused(
    tmp_path: Path, operation: str, request_: dict[str, str]
) -> None:
    with refused("InvalidParameterValue"):
        ask(services(tmp_path), operation, **request_)
