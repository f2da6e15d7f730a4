"""A snapshot is brought to hand and released, under a power cut at every moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openami.domain.ids import SnapshotId
from openami.services import Services
from support.asking import ask
from support.bins import pass_days
from support.builders import ZONE
from support.crash import Made, assert_survives, fused_services
from support.disk_contents import snapshot_blocks
from support.power import on_its_disk
from support.retiring import a_volume, root_of, snapshot_of


def restore(svc: Services) -> tuple[SnapshotId, str]:
    (snapshot,) = ask(svc, "DescribeSnapshots")["Snapshots"]
    found = ask(svc, "DescribeFastSnapshotRestores")["FastSnapshotRestores"]
    return snapshot["SnapshotId"], found[0]["State"] if found else ""


def what_is_enabled_is_at_hand(svc: Services) -> None:
    snapshot_id, state = restore(svc)
    assert state != "enabled" or svc.volumes.is_at_hand(root_of(svc, snapshot_id))
    assert state != "disabled" or not svc.volumes.is_at_hand(root_of(svc, snapshot_id))


@pytest.mark.parametrize("host", [fused_services, on_its_disk])
@pytest.mark.parametrize("verb", ["Enable", "Disable"])
def test_it_ends_as_it_was_asked_or_was_never_asked(tmp_path: Path, verb: str, host: Made) -> None:
    def change(svc: Services, verb: str, snapshot_id: str) -> None:
        ask(
            svc,
            f"{verb}FastSnapshotRestores",
            SourceSnapshotIds=[snapshot_id],
            AvailabilityZones=[ZONE],
        )

    def begin(svc: Services) -> Callable[[], object]:
        snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
        if verb == "Disable":
            change(svc, "Enable", snapshot_id)
        return lambda: change(svc, verb, snapshot_id)

    def nothing_goes_on(svc: Services) -> None:
        what_is_enabled_is_at_hand(svc)
        snapshot_id, state = restore(svc)
        assert state in ("", "enabled", "disabled")
        assert snapshot_blocks(svc, snapshot_id) == {1: "a"}

    moments = assert_survives(
        tmp_path, begin, what_is_enabled_is_at_hand, nothing_goes_on, made=host
    )
    assert moments >= 6


def test_a_deletion_of_an_enabled_snapshot_leaves_nothing_at_hand(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        snapshot_id = snapshot_of(svc, a_volume(svc, a=1))
        ask(
            svc,
            "EnableFastSnapshotRestores",
            SourceSnapshotIds=[snapshot_id],
            AvailabilityZones=[ZONE],
        )
        ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
        return lambda: pass_days(svc, 0.01)

    def it_was_released(svc: Services) -> None:
        (found,) = ask(svc, "DescribeFastSnapshotRestores")["FastSnapshotRestores"]
        assert found["State"] == "disabled"
        cache = next(iter(svc.settings.state_dir.glob("cache")))
        assert list(cache.iterdir()) == []

    moments = assert_survives(tmp_path, begin, lambda _: None, it_was_released)
    assert moments >= 4
