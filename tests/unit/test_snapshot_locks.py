"""LockSnapshot, UnlockSnapshot, DescribeLockedSnapshots."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.domain.ids import SnapshotId
from openami.domain.snapshot import SnapshotState
from openami.services import Services
from support.asking import ask, filtered, put, refused
from support.bins import pass_days
from support.builders import BOB, EPOCH, SNAPSHOT, a_pending_snapshot, a_snapshot, an_image
from support.fakes import services

HOUR = 1 / 24


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    svc = services(tmp_path)
    put(svc, a_snapshot())
    return svc


def lock(svc: Services, mode: str = "governance", **request: Any) -> dict[str, Any]:
    return ask(svc, "LockSnapshot", SnapshotId=SNAPSHOT, LockMode=mode, **request)


def the_lock(svc: Services) -> dict[str, Any]:
    (told,) = ask(svc, "DescribeLockedSnapshots", SnapshotIds=[SNAPSHOT])["Snapshots"]
    return told


def delete(svc: Services) -> None:
    ask(svc, "DeleteSnapshot", SnapshotId=SNAPSHOT)


def unlock(svc: Services) -> None:
    assert ask(svc, "UnlockSnapshot", SnapshotId=SNAPSHOT) == {"SnapshotId": SNAPSHOT}


def cannot_be_deleted(svc: Services) -> None:
    with refused("OperationNotPermitted", SNAPSHOT, "locked"):
        delete(svc)


def test_a_locked_snapshot_is_deleted_only_after_its_lock_has_expired(svc: Services) -> None:
    told = lock(svc, LockDuration=3)
    assert (told["LockState"], told["LockDuration"]) == ("governance", 3)
    assert told["LockCreatedOn"] == told["LockDurationStartTime"] == EPOCH
    assert told["LockExpiresOn"] == EPOCH + timedelta(days=3)
    pass_days(svc, 2.9)
    cannot_be_deleted(svc)
    pass_days(svc, 0.1)
    assert the_lock(svc)["LockState"] == "expired"
    delete(svc)
    assert ask(svc, "DescribeLockedSnapshots")["Snapshots"] == []


def test_a_lock_may_end_at_a_date(svc: Services) -> None:
    told = lock(svc, ExpirationDate=EPOCH + timedelta(days=1, hours=1))
    assert told["LockDuration"] == 2
    pass_days(svc, 1)
    cannot_be_deleted(svc)
    pass_days(svc, HOUR)
    delete(svc)


def test_in_governance_mode_a_snapshot_can_be_unlocked_at_any_time(svc: Services) -> None:
    lock(svc, LockDuration=3)
    unlock(svc)
    with refused("IncorrectState", "not locked"):
        unlock(svc)
    delete(svc)


def test_in_compliance_mode_nobody_unlocks_it(svc: Services) -> None:
    assert lock(svc, "compliance", LockDuration=3)["LockState"] == "compliance"
    with refused("OperationNotPermitted", "compliance"):
        unlock(svc)
    cannot_be_deleted(svc)
    pass_days(svc, 3)
    delete(svc)


def test_in_the_cooling_off_period_a_lock_can_be_taken_back_or_changed(svc: Services) -> None:
    told = lock(svc, "compliance", LockDuration=30, CoolOffPeriod=72)
    assert (told["LockState"], told["CoolOffPeriod"]) == ("compliance-cooloff", 72)
    assert told["CoolOffPeriodExpiresOn"] == EPOCH + timedelta(hours=72)
    cannot_be_deleted(svc)
    assert lock(svc, "compliance", LockDuration=2, CoolOffPeriod=1)["LockDuration"] == 2
    unlock(svc)
    lock(svc, "compliance", LockDuration=2, CoolOffPeriod=1)
    pass_days(svc, HOUR)
    assert the_lock(svc)["LockState"] == "compliance"
    with refused("OperationNotPermitted"):
        unlock(svc)


def test_after_it_a_lock_in_compliance_mode_only_becomes_longer(svc: Services) -> None:
    lock(svc, "compliance", LockDuration=10)
    pass_days(svc, 1)
    for request in ({"LockDuration": 8}, {"ExpirationDate": EPOCH + timedelta(days=9)}):
        with refused("OperationNotPermitted", "extended"):
            lock(svc, "compliance", **request)
    with refused("OperationNotPermitted", "extended"):
        lock(svc, "governance", LockDuration=100)
    with refused("InvalidParameterCombination"):
        lock(svc, "compliance", LockDuration=100, CoolOffPeriod=1)
    assert lock(svc, "compliance", LockDuration=9)["LockExpiresOn"] == EPOCH + timedelta(days=10)
    assert lock(svc, "compliance", LockDuration=20)["LockExpiresOn"] == EPOCH + timedelta(days=21)


def test_in_governance_mode_a_lock_can_become_shorter(svc: Services) -> None:
    lock(svc, LockDuration=10)
    assert lock(svc, LockDuration=1)["LockExpiresOn"] == EPOCH + timedelta(days=1)


def test_the_duration_of_a_pending_snapshot_begins_with_its_completion(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_pending_snapshot())
    told = lock(svc, LockDuration=1)
    assert "LockExpiresOn" not in told
    assert "LockDurationStartTime" not in told
    pass_days(svc, 5)
    cannot_be_deleted(svc)
    assert the_lock(svc)["LockState"] == "governance"


def test_a_snapshot_that_failed_is_not_locked(tmp_path: Path) -> None:
    svc = services(tmp_path)
    put(svc, a_snapshot(state=SnapshotState.ERROR))
    with refused("IncorrectState", "error"):
        lock(svc, LockDuration=1)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "MissingParameter"),
        ({"LockDuration": 0}, "InvalidParameterValue"),
        ({"LockDuration": 36_501}, "InvalidParameterValue"),
        ({"LockDuration": 1, "ExpirationDate": EPOCH}, "InvalidParameterCombination"),
        ({"ExpirationDate": EPOCH + timedelta(hours=23)}, "InvalidParameterValue"),
        ({"ExpirationDate": EPOCH + timedelta(days=36_501)}, "InvalidParameterValue"),
        (
            {"ExpirationDate": datetime.max.replace(tzinfo=EPOCH.tzinfo)},
            "InvalidParameterValue",
        ),
        ({"LockDuration": 1, "CoolOffPeriod": 1}, "InvalidParameterCombination"),
        (
            {"LockDuration": 1, "CoolOffPeriod": 73, "LockMode": "compliance"},
            "InvalidParameterValue",
        ),
        (
            {"LockDuration": 1, "CoolOffPeriod": 0, "LockMode": "compliance"},
            "InvalidParameterValue",
        ),
        ({"LockDuration": 1, "LockMode": "forever"}, "InvalidParameterValue"),
    ],
)
def test_a_lock_is_refused(svc: Services, request_: dict[str, Any], code: str) -> None:
    asked: dict[str, Any] = {"SnapshotId": SNAPSHOT, "LockMode": "governance"} | request_
    with refused(code):
        ask(svc, "LockSnapshot", **asked)
    assert ask(svc, "DescribeLockedSnapshots")["Snapshots"] == []


def test_deregistering_an_image_leaves_its_locked_snapshots(svc: Services) -> None:
    put(svc, an_image())
    lock(svc, LockDuration=1)
    image = an_image().id
    answer = ask(svc, "DeregisterImage", ImageId=image, DeleteAssociatedSnapshots=True)
    assert answer["DeleteSnapshotResults"] == [
        {"SnapshotId": SNAPSHOT, "ReturnCode": "client-error"}
    ]
    assert ask(svc, "DescribeSnapshots")["Snapshots"][0]["SnapshotId"] == SNAPSHOT


def test_locks_are_their_owner_s_and_are_listed_by_state_and_in_pages(svc: Services) -> None:
    ids = [SnapshotId(f"snap-0000000{n}") for n in range(7)]
    put(svc, *(a_snapshot(id=each) for each in ids))
    for each in ids:
        ask(svc, "LockSnapshot", SnapshotId=each, LockMode="governance", LockDuration=1)
    lock(svc, "compliance", LockDuration=1)

    def listed(**request: Any) -> list[str]:
        told = ask(svc, "DescribeLockedSnapshots", **request)["Snapshots"]
        return [each["SnapshotId"] for each in told]

    assert listed(Filters=filtered("lock-state", "compliance")) == [SNAPSHOT]
    assert listed(Filters=filtered("lock-state", "gov*")) == ids
    assert listed(account=BOB) == []
    first = ask(svc, "DescribeLockedSnapshots", MaxResults=5)
    rest = listed(MaxResults=5, NextToken=first["NextToken"])
    assert {each["SnapshotId"] for each in first["Snapshots"]} | set(rest) == {*ids, SNAPSHOT}
    with refused("InvalidParameterValue", "colour"):
        listed(Filters=filtered("colour", "red"))
    with refused("InvalidSnapshot.NotFound"):
        listed(account=BOB, SnapshotIds=[SNAPSHOT])
    with refused("InvalidSnapshot.NotFound"):
        ask(svc, "UnlockSnapshot", account=BOB, SnapshotId=SNAPSHOT)
