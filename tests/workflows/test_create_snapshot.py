"""A snapshot under a power cut at every moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openami.catalog import ingests, snapshots, volumes
from openami.domain.ids import SnapshotId, VolumeId
from openami.domain.snapshot import SnapshotState
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.workflows import create_snapshot, scratch, store_copies
from support.asking import a_bootable_image, a_running_instance, ask
from support.builders import ZONE
from support.crash import Made, assert_survives
from support.disk_contents import snapshot_blocks, write_volume
from support.fakes import services
from support.power import in_buckets, on_its_disk

CONTENT = {3: "a", 9: "b"}


def of_a_detached_volume(svc: Services) -> VolumeId:
    return filled(svc, ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])


def of_a_running_instance(svc: Services) -> VolumeId:
    a_bootable_image(svc)
    a_running_instance(svc)
    return filled(svc, ask(svc, "DescribeVolumes")["Volumes"][0]["VolumeId"])


def filled(svc: Services, volume_id: str) -> VolumeId:
    for block, sign in CONTENT.items():
        write_volume(svc, volume_id, block, sign)
    return VolumeId(volume_id)


def asked_for_but_not_begun(svc: Services, volume_id: str) -> str:
    """The id of a pending snapshot: the server stopped between the commit and the workflow."""
    svc.jobs.close()
    with pytest.raises(NotRunning):
        ask(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")
    (snapshot_id,) = taken(svc)
    return snapshot_id


def taken(svc: Services) -> list[str]:
    answer = ask(svc, "DescribeSnapshots", Filters=[{"Name": "description", "Values": ["mine"]}])
    return [each["SnapshotId"] for each in answer["Snapshots"]]


def what_says_that_it_is_complete_is_complete(svc: Services) -> None:
    for snapshot_id in taken(svc):
        with svc.catalog.read() as tx:
            snapshot = snapshots.fetch_any(tx, SnapshotId(snapshot_id))
            leased = ingests.is_active(tx, snapshot_id)
        assert snapshot is not None
        if snapshot.state is SnapshotState.COMPLETED:
            assert snapshot_blocks(svc, snapshot_id) == CONTENT
        else:
            assert leased, "the collector must wait for it"


def it_is_whole_or_was_never_asked_for(svc: Services) -> None:
    for snapshot_id in taken(svc):
        assert snapshot_blocks(svc, snapshot_id) == CONTENT
    nothing_is_left(svc)


def nothing_is_left(svc: Services) -> None:
    directory = svc.settings.state_dir / "scratch"
    assert not directory.exists() or list(directory.iterdir()) == []
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


@pytest.mark.parametrize("host", [on_its_disk, in_buckets])
@pytest.mark.parametrize("volume", [of_a_detached_volume, of_a_running_instance])
def test_a_snapshot_survives_a_power_cut_at_any_moment(
    tmp_path: Path, volume: Callable[[Services], VolumeId], host: Made
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        volume_id = volume(svc)
        return lambda: ask(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")

    moments = assert_survives(
        tmp_path,
        begin,
        what_says_that_it_is_complete_is_complete,
        it_is_whole_or_was_never_asked_for,
        made=host,
    )
    assert moments > 8


def test_every_step_may_run_twice(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = of_a_detached_volume(svc)
    snapshot_id = asked_for_but_not_begun(svc, volume_id)
    svc.jobs.launch()
    args = {"snapshot_id": snapshot_id, "volume_id": volume_id}
    (copying, _) = create_snapshot.job(svc).steps
    kept = {"owner": snapshot_id, "snapshot_ids": [snapshot_id]}
    storing = store_copies.job(svc)
    assert storing.afterwards is not None
    steps = [(copying[1], args), *((step, kept) for _, step in storing.steps)]
    for step, its in [*steps, (storing.afterwards, kept)]:
        step(its)
        step(its)
    it_is_whole_or_was_never_asked_for(svc)


def test_copies_that_were_finished_before_the_crash_are_used(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = of_a_detached_volume(svc)
    snapshot_id = asked_for_but_not_begun(svc, volume_id)
    create_snapshot.copy(svc, SnapshotId(snapshot_id), volume_id)
    write_volume(svc, volume_id, 3, "z")
    svc.jobs.launch()
    create_snapshot.resume(svc)
    assert snapshot_blocks(svc, snapshot_id) == CONTENT, "the moment is that of the first copy"


def test_a_copy_that_was_not_finished_is_taken_anew(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = of_a_detached_volume(svc)
    snapshot_id = asked_for_but_not_begun(svc, volume_id)
    home = scratch.home(svc, snapshot_id)
    home.mkdir(parents=True)
    (home / f"{snapshot_id}.qcow2").write_bytes(b"torn")
    svc.jobs.launch()
    create_snapshot.resume(svc)
    it_is_whole_or_was_never_asked_for(svc)


def test_a_volume_deleted_before_it_was_copied_still_gives_its_snapshot(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = of_a_detached_volume(svc)
    asked_for_but_not_begun(svc, volume_id)
    svc.jobs.launch()
    ask(svc, "DeleteVolume", VolumeId=volume_id)
    create_snapshot.resume(svc)
    assert list(svc.volumes.list()) == []
    it_is_whole_or_was_never_asked_for(svc)


def test_a_snapshot_whose_volume_is_gone_ends_in_error_and_holds_nothing(tmp_path: Path) -> None:
    svc = services(tmp_path)
    volume_id = of_a_detached_volume(svc)
    asked_for_but_not_begun(svc, volume_id)
    svc.jobs.launch()
    with svc.catalog.begin() as tx:
        volumes.remove(tx, volume_id)
    create_snapshot.resume(svc)
    (told,) = ask(svc, "DescribeSnapshots", SnapshotIds=taken(svc))["Snapshots"]
    assert told["State"] == "error"
    assert "deleted" in told["StateMessage"]
    nothing_is_left(svc)


def test_a_snapshot_whose_lease_was_lost_meanwhile_is_not_completed(tmp_path: Path) -> None:
    """A collection may have gone on without it."""
    svc = services(tmp_path)
    volume_id = of_a_detached_volume(svc)
    snapshot_id = asked_for_but_not_begun(svc, volume_id)
    create_snapshot.copy(svc, SnapshotId(snapshot_id), volume_id)
    with svc.catalog.begin() as tx:
        ingests.end(tx, snapshot_id)
    svc.jobs.launch()
    create_snapshot.resume(svc)
    (told,) = ask(svc, "DescribeSnapshots", SnapshotIds=[snapshot_id])["Snapshots"]
    assert (told["State"], "lease" in told["StateMessage"]) == ("error", True)
    nothing_is_left(svc)


def test_the_sweep_leaves_no_copies_that_nobody_works_on(tmp_path: Path) -> None:
    svc = services(tmp_path)
    stray = scratch.home(svc, "snap-0000000f")
    stray.mkdir(parents=True)
    (stray / "snap-0000000f.qcow2").write_bytes(b"x")
    scratch.sweep(svc)
    assert not stray.exists()
