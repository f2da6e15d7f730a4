"""DescribeSnapshotAttribute, ModifySnapshotAttribute, ResetSnapshotAttribute, and their effect."""

from pathlib import Path
from typing import Any

import pytest

from openami.catalog import snapshots
from openami.domain.ids import AccountId, ImageId, SnapshotId
from openami.domain.snapshot import SnapshotState
from openami.services import Services
from support.asking import ask, filtered, put, put_accounts, refused
from support.builders import (
    ALICE,
    BOB,
    CAROL,
    ROOT_DEVICE,
    SNAPSHOT,
    ZONE,
    a_snapshot,
    an_image,
)
from support.fakes import services

OTHER = SnapshotId("snap-00000000000000002")


def with_snapshot(tmp_path: Path, **but: Any) -> Services:
    svc = services(tmp_path)
    put_accounts(svc, ALICE, BOB, CAROL)
    put(svc, a_snapshot(**but))
    return svc


def modify(svc: Services, **request: Any) -> None:
    assert ask(svc, "ModifySnapshotAttribute", SnapshotId=SNAPSHOT, **request) == {}


def share(svc: Services, **item: str) -> None:
    modify(svc, CreateVolumePermission={"Add": [item]})


def permissions(svc: Services) -> list[dict[str, str]]:
    attribute = {"SnapshotId": SNAPSHOT, "Attribute": "createVolumePermission"}
    return ask(svc, "DescribeSnapshotAttribute", **attribute)["CreateVolumePermissions"]


def seen(svc: Services, account: AccountId = BOB, **request: Any) -> list[str]:
    answer = ask(svc, "DescribeSnapshots", account, **request)
    return [each["SnapshotId"] for each in answer["Snapshots"]]


def register(svc: Services, account: AccountId, name: str = "web-1") -> ImageId:
    root = {"DeviceName": ROOT_DEVICE, "Ebs": {"SnapshotId": SNAPSHOT}}
    asked = {"Name": name, "RootDeviceName": ROOT_DEVICE, "BlockDeviceMappings": [root]}
    hvm = {"Architecture": "x86_64", "VirtualizationType": "hvm"}
    return ImageId(ask(svc, "RegisterImage", account, **asked, **hvm)["ImageId"])


def launch(svc: Services, account: AccountId, image_id: str, **more: Any) -> None:
    asked = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1} | more
    ask(svc, "RunInstances", account, ImageId=image_id, **asked)


def test_a_fresh_snapshot_is_its_owners_alone(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    assert permissions(svc) == []
    codes = ask(svc, "DescribeSnapshotAttribute", SnapshotId=SNAPSHOT, Attribute="productCodes")
    assert codes == {"SnapshotId": SNAPSHOT, "ProductCodes": []}
    assert seen(svc) == []


@pytest.mark.parametrize(
    ("add", "remove"),
    [
        (
            {"CreateVolumePermission": {"Add": [{"UserId": BOB}]}},
            {"CreateVolumePermission": {"Remove": [{"UserId": BOB}]}},
        ),
        (
            {"Attribute": "createVolumePermission", "OperationType": "add", "UserIds": [BOB]},
            {"Attribute": "createVolumePermission", "OperationType": "remove", "UserIds": [BOB]},
        ),
    ],
)
def test_a_snapshot_is_shared_and_taken_back(
    tmp_path: Path, add: dict[str, Any], remove: dict[str, Any]
) -> None:
    svc = with_snapshot(tmp_path)
    modify(svc, **add)
    assert permissions(svc) == [{"UserId": BOB}]
    assert seen(svc) == seen(svc, SnapshotIds=[SNAPSHOT]) == [SNAPSHOT]
    assert seen(svc, CAROL) == []
    modify(svc, **remove)
    assert permissions(svc) == []
    with refused("InvalidSnapshot.NotFound"):
        seen(svc, SnapshotIds=[SNAPSHOT])


def test_a_snapshot_is_made_public_and_reset(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    share(svc, UserId=CAROL)
    modify(svc, OperationType="add", GroupNames=["all"])
    assert permissions(svc) == [{"Group": "all"}, {"UserId": CAROL}]
    assert seen(svc) == [SNAPSHOT]
    modify(svc, CreateVolumePermission={"Remove": [{"Group": "all"}]})
    assert permissions(svc) == [{"UserId": CAROL}]
    share(svc, Group="all")
    ask(svc, "ResetSnapshotAttribute", SnapshotId=SNAPSHOT, Attribute="createVolumePermission")
    assert permissions(svc) == []


def test_owners_and_restorers_narrow_what_is_visible(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    mine, public = SnapshotId("snap-0000000b"), SnapshotId("snap-0000000c")
    put(svc, a_snapshot(id=mine, owner=BOB), a_snapshot(id=public, public=True))
    share(svc, UserId=BOB)
    assert seen(svc) == [SNAPSHOT, mine, public]
    assert seen(svc, OwnerIds=["self"]) == [mine]
    assert seen(svc, OwnerIds=[ALICE]) == [SNAPSHOT, public]
    assert seen(svc, OwnerIds=["amazon"]) == []
    assert seen(svc, RestorableByUserIds=["self"]) == [SNAPSHOT, mine]
    assert seen(svc, RestorableByUserIds=["all"]) == [public]
    assert seen(svc, OwnerIds=[ALICE], RestorableByUserIds=["self"]) == [SNAPSHOT]
    assert seen(svc, ALICE, RestorableByUserIds=[BOB]) == [SNAPSHOT]
    assert seen(svc, CAROL, RestorableByUserIds=[BOB]) == []
    assert seen(svc, Filters=filtered("owner-id", ALICE)) == [SNAPSHOT, public]


def test_who_may_use_a_snapshot_makes_volumes_and_images_of_it(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "CreateVolume", BOB, AvailabilityZone=ZONE, SnapshotId=SNAPSHOT)
    with refused("InvalidSnapshot.NotFound"):
        register(svc, BOB)
    share(svc, UserId=BOB)
    volume = ask(svc, "CreateVolume", BOB, AvailabilityZone=ZONE, SnapshotId=SNAPSHOT)
    assert volume["SnapshotId"] == SNAPSHOT
    launch(svc, BOB, register(svc, BOB))


def test_a_launch_from_a_shared_image_needs_no_permission_of_its_snapshot(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    image = an_image(boot_mode="legacy-bios", shared_with=frozenset({BOB}))
    put(svc, image, a_snapshot(id=OTHER))
    launch(svc, BOB, image.id)
    extra = {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": OTHER}}
    with refused("InvalidSnapshot.NotFound"):
        launch(svc, BOB, image.id, BlockDeviceMappings=[extra])
    modified = {"SnapshotId": OTHER, "CreateVolumePermission": {"Add": [{"UserId": BOB}]}}
    ask(svc, "ModifySnapshotAttribute", **modified)
    launch(svc, BOB, image.id, BlockDeviceMappings=[extra])


def test_an_image_over_a_snapshot_of_another_works_while_that_is_shared(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    share(svc, UserId=BOB)
    image_id = register(svc, BOB)
    ask(svc, "ResetSnapshotAttribute", SnapshotId=SNAPSHOT, Attribute="createVolumePermission")
    with refused("InvalidSnapshot.NotFound"):
        launch(svc, BOB, image_id)


def test_an_image_of_another_account_does_not_keep_a_snapshot(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    share(svc, UserId=BOB)
    register(svc, BOB)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    with svc.catalog.read() as tx:
        assert snapshots.fetch_any(tx, SNAPSHOT) is None


def test_deregistering_leaves_the_snapshot_of_another(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    share(svc, UserId=BOB)
    image_id = register(svc, BOB)
    answer = ask(svc, "DeregisterImage", BOB, ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"] == [
        {"SnapshotId": SNAPSHOT, "ReturnCode": "missing-permissions"}
    ]
    assert seen(svc, ALICE) == [SNAPSHOT]


def test_nobody_but_the_owner_changes_a_snapshot(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path, public=True)
    attribute = {"SnapshotId": SNAPSHOT, "Attribute": "createVolumePermission"}
    with refused("AuthFailure", SNAPSHOT):
        ask(svc, "DescribeSnapshotAttribute", BOB, **attribute)
    with refused("AuthFailure"):
        ask(svc, "ResetSnapshotAttribute", BOB, **attribute)
    with refused("AuthFailure"):
        ask(svc, "ModifySnapshotAttribute", BOB, **attribute, OperationType="add", UserIds=[BOB])
    with refused("AuthFailure"):
        ask(svc, "DeleteSnapshot", BOB, SnapshotId=SNAPSHOT)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "MissingParameter"),
        ({"Attribute": "productCodes", "OperationType": "add"}, "InvalidParameterValue"),
        ({"OperationType": "add"}, "MissingParameter"),
        ({"UserIds": [BOB]}, "MissingParameter"),
        ({"OperationType": "set", "UserIds": [BOB]}, "InvalidParameterValue"),
        ({"OperationType": "add", "GroupNames": ["some"]}, "InvalidParameterValue"),
        ({"OperationType": "add", "UserIds": [BOB, "bob"]}, "InvalidUserID.Malformed"),
        ({"OperationType": "add", "UserIds": [BOB, "999999999999"]}, "InvalidParameterValue"),
        ({"OperationType": "add", "UserIds": [BOB] * 501}, "InvalidParameterValue"),
        ({"CreateVolumePermission": {}}, "MissingParameter"),
        ({"CreateVolumePermission": {"Add": [{}]}}, "InvalidParameterCombination"),
        (
            {"CreateVolumePermission": {"Add": [{"UserId": BOB}], "Remove": [{"UserId": CAROL}]}},
            "InvalidParameterCombination",
        ),
        (
            {"CreateVolumePermission": {"Add": [{"UserId": BOB}]}, "UserIds": [CAROL]},
            "InvalidParameterCombination",
        ),
    ],
)
def test_a_change_is_refused_and_nothing_of_it_is_done(
    tmp_path: Path, request_: dict[str, Any], code: str
) -> None:
    svc = with_snapshot(tmp_path)
    with refused(code):
        modify(svc, **request_)
    assert permissions(svc) == []


def test_what_has_failed_is_not_shared_and_other_attributes_are_none(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path, state=SnapshotState.ERROR)
    with refused("IncorrectState"):
        share(svc, UserId=BOB)
    for operation in ("DescribeSnapshotAttribute", "ResetSnapshotAttribute"):
        with refused("InvalidRequest"):
            ask(svc, operation, SnapshotId=SNAPSHOT, Attribute="colour")


def test_a_snapshot_with_permissions_goes_with_them(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    share(svc, UserId=BOB)
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)
    put(svc, a_snapshot())
    assert permissions(svc) == []


def test_an_account_tags_a_shared_snapshot_for_itself(tmp_path: Path) -> None:
    svc = with_snapshot(tmp_path)
    share(svc, UserId=BOB)
    ask(svc, "CreateTags", BOB, Resources=[SNAPSHOT], Tags=[{"Key": "a", "Value": "b"}])
    (mine,) = ask(svc, "DescribeSnapshots", BOB)["Snapshots"]
    (theirs,) = ask(svc, "DescribeSnapshots", ALICE)["Snapshots"]
    assert (mine["Tags"], theirs["Tags"]) == ([{"Key": "a", "Value": "b"}], [])
