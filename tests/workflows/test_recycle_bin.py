"""Into the Recycle Bin, out of it, and its emptying, under a power cut at every moment."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from openami.catalog import snapshot_tiers, volumes
from openami.domain.ids import VolumeId
from openami.services import Services
from openami.workflows import registry
from support.asking import a_bootable_image, a_running_instance, ask
from support.bins import a_rule, pass_days
from support.builders import IMAGE, SNAPSHOT, ZONE, a_caller
from support.crash import assert_survives
from support.disk_contents import write_volume
from support.fakes import StoppedClock
from support.retiring import archive, snapshot_of


def nothing_to_see(_: Services) -> None: ...


def held(svc: Services) -> dict[str, list[str]]:
    """What is listed and what is in the bin, of all that the tests delete."""
    found: dict[str, list[str]] = {}
    for noun in ("Image", "Snapshot", "Volume"):
        told = ask(svc, f"Describe{noun}s")[f"{noun}s"]
        found[noun] = [each[f"{noun}Id"] for each in told]
        told = ask(svc, f"List{noun}sInRecycleBin")[f"{noun}s"]
        found[f"binned {noun}"] = [each[f"{noun}Id"] for each in told]
    return found


def a_written_volume(svc: Services) -> VolumeId:
    volume_id = VolumeId(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])
    write_volume(svc, volume_id, 5, "x")
    return volume_id


def test_emptying_the_bin_survives_a_power_cut_at_any_moment(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        a_bootable_image(svc)
        volume_id = a_written_volume(svc)
        for kind in ("EC2_IMAGE", "EBS_SNAPSHOT", "EBS_VOLUME"):
            a_rule(svc, kind, 1)
        ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)
        ask(svc, "DeleteVolume", VolumeId=volume_id)
        assert isinstance(svc.clock, StoppedClock)
        svc.clock.advance(timedelta(days=1))
        return lambda: registry.sweep(svc)

    def it_is_there_with_its_bytes_or_on_its_way_out(svc: Services) -> None:
        binned = held(svc)
        assert bool(binned["binned Image"]) == bool(binned["binned Volume"])
        for volume_id in binned["binned Volume"]:
            assert volume_id in list(svc.volumes.list())

    def nothing_is_left(svc: Services) -> None:
        assert not any(held(svc).values())
        assert list(svc.volumes.list()) == []
        assert ask(svc, "DescribeTags")["Tags"] == []

    moments = assert_survives(
        tmp_path, begin, it_is_there_with_its_bytes_or_on_its_way_out, nothing_is_left
    )
    assert moments >= 4


def test_what_is_archived_and_wanted_at_hand_leaves_the_bin_without_a_trace(
    tmp_path: Path,
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        cold, fast = (snapshot_of(svc, a_written_volume(svc)) for _ in range(2))
        archive(svc, cold)
        ask(
            svc,
            "EnableFastSnapshotRestores",
            SourceSnapshotIds=[fast],
            AvailabilityZones=[ZONE],
        )
        a_rule(svc, "EBS_SNAPSHOT", 1)
        for snapshot_id in (cold, fast):
            ask(svc, "DeleteSnapshot", SnapshotId=snapshot_id)
        return lambda: pass_days(svc, 1)

    def no_trace(svc: Services) -> None:
        found = held(svc)
        assert (found["Snapshot"], found["binned Snapshot"]) == ([], [])
        with svc.catalog.read() as tx:
            assert snapshot_tiers.of_caller(tx, a_caller()) == []
        (told,) = ask(svc, "DescribeFastSnapshotRestores")["FastSnapshotRestores"]
        assert told["State"] == "disabled"
        assert list((svc.settings.state_dir / "cache").iterdir()) == []

    assert assert_survives(tmp_path, begin, nothing_to_see, no_trace) >= 6


def test_a_termination_that_is_cut_off_loses_no_volume_that_a_rule_keeps(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        a_bootable_image(svc)
        instance_id = a_running_instance(svc)
        (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
        write_volume(svc, volume["VolumeId"], 5, "x")
        a_rule(svc, "EBS_VOLUME", 7)
        return lambda: ask(svc, "TerminateInstances", InstanceIds=[instance_id])

    def its_volume_is_somewhere(svc: Services) -> None:
        (volume_id,) = svc.volumes.list()
        with svc.catalog.read() as tx:
            assert volumes.fetch_any(tx, volume_id) is not None

    def it_is_kept_or_was_never_asked_for(svc: Services) -> None:
        found = held(svc)
        (volume_id,) = found["binned Volume"] + found["Volume"]
        with svc.catalog.read() as tx:
            volume = volumes.fetch_any(tx, VolumeId(volume_id))
        assert volume is not None
        overlay, _ = svc.volumes.paths(volume.id, volume.region)
        assert b"x" * 4096 in overlay.read_bytes()

    moments = assert_survives(
        tmp_path, begin, its_volume_is_somewhere, it_is_kept_or_was_never_asked_for
    )
    assert moments >= 6


def test_a_restoration_that_is_cut_off_is_whole_or_was_never_asked_for(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        a_bootable_image(svc)
        a_rule(svc, "EC2_IMAGE", 1)
        a_rule(svc, "EBS_SNAPSHOT", 1)
        ask(svc, "DeregisterImage", ImageId=IMAGE, DeleteAssociatedSnapshots=True)

        def restore() -> None:
            ask(svc, "RestoreSnapshotFromRecycleBin", SnapshotId=SNAPSHOT)
            ask(svc, "RestoreImageFromRecycleBin", ImageId=IMAGE)

        return restore

    def each_is_here_or_there(svc: Services) -> None:
        found = held(svc)
        assert found["Image"] + found["binned Image"] == [IMAGE]
        assert found["Snapshot"] + found["binned Snapshot"] == [SNAPSHOT]

    assert assert_survives(tmp_path, begin, nothing_to_see, each_is_here_or_there) >= 4
