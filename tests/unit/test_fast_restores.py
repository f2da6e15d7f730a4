"""Fast snapshot restores: what is enabled is at hand, what is not wanted any more is not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import snapshots
from openami.domain.ids import AccountId
from openami.services import Services
from openami.workflows.registry import sweep
from support.asking import a_running_instance, ask, filtered, put, put_accounts, refused
from support.bins import a_rule, pass_days
from support.builders import (
    ALICE,
    BOB,
    HERE,
    ZONE,
    a_device,
    a_pending_snapshot,
    a_snapshot,
    an_image,
)
from support.fakes import services
from support.retiring import a_volume, archive, root_of, snapshot_of

OTHER_ZONE = f"{HERE}b"


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return services(tmp_path)


def change(
    svc: Services,
    verb: str,
    *snapshot_ids: str,
    zones: Sequence[str] = (ZONE,),
    account: AccountId = ALICE,
) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "SourceSnapshotIds": list(snapshot_ids),
        "AvailabilityZones": list(zones),
    }
    return ask(svc, f"{verb}FastSnapshotRestores", account=account, **asked)


def told(svc: Services, account: AccountId = ALICE, **request: Any) -> list[dict[str, Any]]:
    answer = ask(svc, "DescribeFastSnapshotRestores", account=account, **request)
    return list(answer["FastSnapshotRestores"])


def states(svc: Services, account: AccountId = ALICE) -> list[str]:
    return [each["State"] for each in told(svc, account)]


def is_at_hand(svc: Services, snapshot_id: str) -> bool:
    return svc.volumes.is_at_hand(root_of(svc, snapshot_id))


def errors(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (each["SnapshotId"], error["AvailabilityZone"], error["Error"]["Code"])
        for each in answer["Unsuccessful"]
        for error in each["FastSnapshotRestoreStateErrors"]
    ]


def test_an_enabled_snapshot_is_at_hand_before_any_volume_is_made_of_it(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    assert not is_at_hand(svc, snapshot_id)
    answer = change(svc, "Enable", snapshot_id)
    (enabling,) = answer["Successful"]
    assert (enabling["State"], enabling["StateTransitionReason"]) == (
        "enabling",
        "Client.UserInitiated",
    )
    assert answer["Unsuccessful"] == []
    assert is_at_hand(svc, snapshot_id)
    (enabled,) = told(svc)
    assert enabled["State"] == "enabled"
    assert enabled["StateTransitionReason"] == "Client.UserInitiated - Lifecycle state transition"
    assert (enabled["OwnerId"], enabled["AvailabilityZoneId"]) == (ALICE, "use1-az1")
    assert enabled["EnablingTime"] == enabled["OptimizingTime"] == enabled["EnabledTime"]
    assert "DisablingTime" not in enabled


def test_a_disabled_snapshot_is_at_hand_no_longer(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    change(svc, "Enable", snapshot_id)
    pass_days(svc, 1)
    (disabling,) = change(svc, "Disable", snapshot_id)["Successful"]
    assert disabling["State"] == "disabling"
    assert not is_at_hand(svc, snapshot_id)
    (disabled,) = told(svc)
    assert (disabled["State"], disabled["DisabledTime"]) == ("disabled", svc.clock.now())
    change(svc, "Enable", snapshot_id)
    assert states(svc) == ["enabled"]
    change(svc, "Disable", snapshot_id)
    pass_days(svc, 1)
    assert told(svc) == []


def test_what_a_volume_lies_on_and_what_another_wants_stays_at_hand(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    change(svc, "Enable", snapshot_id, zones=(ZONE, OTHER_ZONE))
    change(svc, "Disable", snapshot_id)
    assert is_at_hand(svc, snapshot_id), "it is wanted in the other zone"
    volume = ask(svc, "CreateVolume", AvailabilityZone=ZONE, SnapshotId=snapshot_id)
    change(svc, "Disable", snapshot_id, zones=(OTHER_ZONE,))
    assert is_at_hand(svc, snapshot_id), "a volume lies on it"
    ask(svc, "DeleteVolume", VolumeId=volume["VolumeId"])


def test_a_cache_over_its_limit_spares_what_volumes_lie_on_and_fast_restores_keep(
    svc: Services,
) -> None:
    svc = replace(svc, settings=replace(svc.settings, cache_gib_max=1 / (1 << 20)))
    wanted, read, unused = (snapshot_of(svc, a_volume(svc, **{each: 1})) for each in "abc")
    change(svc, "Enable", wanted)
    for each in (read, unused):
        change(svc, "Enable", each)
        volume = ask(svc, "CreateVolume", AvailabilityZone=ZONE, SnapshotId=each)
        change(svc, "Disable", each)
        if each == unused:
            ask(svc, "DeleteVolume", VolumeId=volume["VolumeId"])
    there = [is_at_hand(svc, each) for each in (wanted, read, unused)]
    assert there == [True, True, True], "nothing goes before the sweep comes"
    sweep(svc)
    assert [is_at_hand(svc, each) for each in (wanted, read, unused)] == [True, True, False]


def test_volumes_tell_whether_they_were_restored_fast(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    change(svc, "Enable", snapshot_id)
    for zone in (ZONE, OTHER_ZONE):
        answer = ask(svc, "CreateVolume", AvailabilityZone=zone, SnapshotId=snapshot_id)
        assert "FastRestored" not in answer
    found = {
        each["AvailabilityZone"]: each["FastRestored"]
        for each in ask(svc, "DescribeVolumes")["Volumes"]
        if each["SnapshotId"]
    }
    assert found == {ZONE: True, OTHER_ZONE: False}
    (fast,) = ask(svc, "DescribeVolumes", Filters=filtered("fast-restored", "true"))["Volumes"]
    assert fast["AvailabilityZone"] == ZONE


def test_a_launch_finds_its_root_at_hand(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    device = a_device(snapshot_id=snapshot_id)
    put(svc, an_image(block_device_mappings=(device,), boot_mode="legacy-bios"))
    change(svc, "Enable", snapshot_id, zones=(ZONE, OTHER_ZONE, f"{HERE}c"))
    instance_id = a_running_instance(svc)
    wanted = filtered("attachment.instance-id", instance_id)
    (root,) = ask(svc, "DescribeVolumes", Filters=wanted)["Volumes"]
    assert root["FastRestored"] is True


def test_enabling_twice_changes_nothing(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    change(svc, "Enable", snapshot_id, snapshot_id)
    before = told(svc)
    pass_days(svc, 1)
    (again,) = change(svc, "Enable", snapshot_id)["Successful"]
    assert again["State"] == "enabled"
    assert told(svc) == before


def test_a_pending_snapshot_is_restored_when_it_is_complete(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    pending = a_pending_snapshot()
    put(svc, pending)
    change(svc, "Enable", pending.id)
    assert states(svc) == ["enabling"]
    completed = pending.completed(root_of(svc, snapshot_id).to_text(), svc.clock.now())
    with svc.catalog.begin() as tx:
        snapshots.save(tx, completed)
    pass_days(svc, 0)
    assert states(svc) == ["enabled"]
    assert is_at_hand(svc, pending.id)


def test_what_cannot_be_done_is_told_for_each_snapshot_and_zone(svc: Services) -> None:
    good, archived = (snapshot_of(svc, a_volume(svc, a=1)) for _ in range(2))
    archive(svc, archived)
    unknown = "snap-0000000000000dead"
    zones = (ZONE, OTHER_ZONE)
    answer = change(svc, "Enable", good, archived, unknown, zones=zones)
    assert [each["SnapshotId"] for each in answer["Successful"]] == [good, good]
    assert errors(answer) == [
        *((archived, zone, "IncorrectState") for zone in zones),
        *((unknown, zone, "InvalidSnapshot.NotFound") for zone in zones),
    ]
    change(svc, "Disable", good)
    answer = change(svc, "Disable", good, unknown)
    assert errors(answer) == [
        (good, ZONE, "IncorrectState"),
        (unknown, ZONE, "InvalidSnapshot.NotFound"),
    ]


@pytest.mark.parametrize("deleted_to_bin", [True, False])
def test_a_deleted_snapshot_is_disabled(svc: Services, deleted_to_bin: bool) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    root = root_of(svc, snapshot_id)
    change(svc, "Enable", snapshot_id)
    if deleted_to_bin:
        a_rule(svc, "EBS_SNAPSHOT", 7)
    ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
    pass_days(svc, 0.01)
    assert states(svc) == ["disabled"]
    assert not svc.volumes.is_at_hand(root)
    if deleted_to_bin:
        ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=snapshot_id)
        change(svc, "Enable", snapshot_id)
        assert states(svc) == ["enabled"]


def test_an_archived_snapshot_is_disabled(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    change(svc, "Enable", snapshot_id)
    archive(svc, snapshot_id)
    pass_days(svc, 0.01)
    assert states(svc) == ["disabled"]
    assert not is_at_hand(svc, snapshot_id)


def test_each_account_enables_for_itself_what_is_shared_with_it(svc: Services) -> None:
    put_accounts(svc, BOB)
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    assert errors(change(svc, "Enable", snapshot_id, account=BOB)) == [
        (snapshot_id, ZONE, "InvalidSnapshot.NotFound")
    ]
    permission = {"Add": [{"UserId": BOB}]}
    ask(svc, "ModifySnapshotAttribute", SnapshotId=snapshot_id, CreateVolumePermission=permission)
    change(svc, "Enable", snapshot_id, account=BOB)
    assert (states(svc, BOB), told(svc)) == (["enabled"], [])
    assert errors(change(svc, "Disable", snapshot_id)) == [(snapshot_id, ZONE, "IncorrectState")]
    for owner in (ALICE, BOB):
        ask(svc, "CreateVolume", account=owner, AvailabilityZone=ZONE, SnapshotId=snapshot_id)
        seen = ask(svc, "DescribeVolumes", account=owner)["Volumes"]
        assert [each["FastRestored"] for each in seen if each["SnapshotId"]] == [owner == BOB]
    permission = {"Remove": [{"UserId": BOB}]}
    ask(svc, "ModifySnapshotAttribute", SnapshotId=snapshot_id, CreateVolumePermission=permission)
    pass_days(svc, 0.01)
    assert states(svc, BOB) == ["disabled"]


def test_what_is_lost_from_the_host_is_restored_again(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    change(svc, "Enable", snapshot_id)
    svc.volumes.release(root_of(svc, snapshot_id))
    assert not is_at_hand(svc, snapshot_id)
    pass_days(svc, 0.01)
    assert states(svc) == ["enabled"]
    assert is_at_hand(svc, snapshot_id)


def test_what_cannot_be_restored_is_disabled_with_the_reason(svc: Services) -> None:
    snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
    store = svc.stores[HERE]
    for digest in list(store.digests()):
        store.delete(digest)
    change(svc, "Enable", snapshot_id)
    (failed,) = told(svc)
    assert failed["State"] == "disabling"
    assert failed["StateTransitionReason"].startswith("Server.InternalError")
    pass_days(svc, 0.01)
    assert states(svc) == ["disabled"]


def test_a_blank_snapshot_needs_nothing_at_hand(svc: Services) -> None:
    put(svc, a_snapshot())
    change(svc, "Enable", a_snapshot().id)
    pass_days(svc, 1)
    assert states(svc) == ["enabled"]


def test_they_are_listed_by_filters_and_in_pages(svc: Services) -> None:
    first, second = (snapshot_of(svc, a_volume(svc, a=1)) for _ in range(2))
    change(svc, "Enable", first, second, zones=(ZONE, OTHER_ZONE))
    change(svc, "Disable", first)

    def listed(name: str, *values: str) -> list[tuple[str, str]]:
        found = told(svc, Filters=filtered(name, *values))
        return [(each["SnapshotId"], each["AvailabilityZone"]) for each in found]

    assert listed("state", "disabled") == [(first, ZONE)]
    assert listed("availability-zone", OTHER_ZONE) == [(first, OTHER_ZONE), (second, OTHER_ZONE)]
    assert listed("availability-zone-id", "use1-az1") == [(first, ZONE), (second, ZONE)]
    assert listed("snapshot-id", first) == [(first, ZONE), (first, OTHER_ZONE)]
    assert len(listed("owner-id", ALICE)) == 4
    with refused("InvalidParameterValue", "colour"):
        listed("colour", "red")
    page = ask(svc, "DescribeFastSnapshotRestores", MaxResults=3)
    rest = told(svc, MaxResults=3, NextToken=page["NextToken"])
    assert (len(page["FastSnapshotRestores"]), len(rest)) == (3, 1)


@pytest.mark.parametrize(
    ("zones", "code"),
    [
        ({}, "MissingParameter"),
        ({"AvailabilityZones": ["us-west-2a"]}, "InvalidParameterValue"),
        ({"AvailabilityZoneIds": ["use1-az9"]}, "InvalidParameterValue"),
        (
            {"AvailabilityZones": [ZONE], "AvailabilityZoneIds": ["use1-az1"]},
            "InvalidParameterCombination",
        ),
    ],
)
def test_zones_are_said_in_one_way(svc: Services, zones: dict[str, Any], code: str) -> None:
    put(svc, a_snapshot())
    for verb in ("Enable", "Disable"):
        with refused(code):
            ask(
                svc,
                f"{verb}FastSnapshotRestores",
                SourceSnapshotIds=[a_snapshot().id],
                **zones,
            )
