"""What volumes hold is copied at once, and stored when it is its turn: nothing is lost between."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Never

import pytest

from openami.catalog import ingests, volumes
from openami.catalog.storage import losses
from openami.compute.driver import MachineState
from openami.domain.block import Digest
from openami.domain.ids import InstanceId, SnapshotId
from openami.domain.manifest import Root
from openami.domain.volume import VolumeState
from openami.jobs.lanes import IMAGES, MOMENTS, SNAPSHOTS
from openami.services import Services
from openami.workflows import create_image, recycle_bin, registry, scratch
from support.asking import a_bootable_image, a_running_instance, ask
from support.builders import ALICE, HERE, VOLUME
from support.crash import assert_survives, serve_again
from support.disk_contents import blocks_of, snapshot_blocks, write_volume
from support.full_lanes import full_and_fused, full_services, make_room, waiting

MADE_OF = {3: "a"}


def a_server(svc: Services) -> tuple[str, str]:
    """A running instance and its disk, on which is MADE_OF."""
    a_bootable_image(svc)
    instance_id = a_running_instance(svc)
    (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
    write_volume(svc, volume["VolumeId"], 3, "a")
    return instance_id, volume["VolumeId"]


Made = Callable[[Services, str, str], None]


def a_snapshot(svc: Services, _instance_id: str, volume_id: str) -> None:
    ask(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")


def a_set(svc: Services, instance_id: str, _volume_id: str) -> None:
    ask(
        svc,
        "CreateSnapshots",
        InstanceSpecification={"InstanceId": instance_id},
        Description="mine",
    )


def an_image(svc: Services, instance_id: str, _volume_id: str) -> None:
    ask(svc, "CreateImage", InstanceId=instance_id, Name="mine")


def a_volume(svc: Services, _instance_id: str, volume_id: str) -> None:
    ask(svc, "CopyVolumes", SourceVolumeId=volume_id)


ALL = [a_snapshot, a_set, an_image, a_volume]
OF_SNAPSHOTS = [a_snapshot, a_set, an_image]


def contents(svc: Services) -> list[dict[int, str]]:
    """Of everything that was made and is whole."""
    found: list[dict[int, str]] = []
    with svc.catalog.read() as tx:
        for volume in volumes.in_state(tx, VolumeState.AVAILABLE):
            if volume.source_volume_id is not None:
                assert volume.root is not None
                found.append(blocks_of(svc.stores[volume.region], Root.from_text(volume.root)))
    for image in ask(svc, "DescribeImages", Filters=[{"Name": "name", "Values": ["mine"]}])[
        "Images"
    ]:
        assert image["State"] == "available"
    for snapshot in made_snapshots(svc):
        assert snapshot["State"] == "completed"
        found.append(snapshot_blocks(svc, snapshot["SnapshotId"]))
    return found


def made_snapshots(svc: Services) -> list[dict[str, str]]:
    """Those of volumes, not the one that the instance came from."""
    told = ask(svc, "DescribeSnapshots", OwnerIds=["self"])["Snapshots"]
    return [each for each in told if each["VolumeId"] != VOLUME]


def nothing_is_left(svc: Services) -> None:
    directory = svc.settings.state_dir / "scratch"
    assert not directory.exists() or list(directory.iterdir()) == []
    with svc.catalog.read() as tx:
        assert ingests.all_active(tx) == []


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("made", ALL)
def test_the_moment_is_that_of_the_call_however_long_the_line_is(
    tmp_path: Path, made: Made, crashes: bool
) -> None:
    svc = full_services(tmp_path)
    instance_id, volume_id = a_server(svc)
    made(svc, instance_id, volume_id)
    assert len(waiting(svc)) == 1
    write_volume(svc, volume_id, 3, "z")
    if crashes:
        serve_again(svc)
    else:
        registry.sweep(svc)
        make_room(svc)
    assert contents(svc) == [MADE_OF]
    nothing_is_left(svc)


@pytest.mark.parametrize("made", ALL)
def test_accounts_and_regions_take_turns_in_being_copied(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = full_services(tmp_path)
    server = a_server(svc)
    lanes = {job.name: job.lane for job in registry.jobs(svc)}
    told: dict[str | None, tuple[str, set[str]]] = {}
    start = svc.jobs.start

    def noted(name: str, *args, owner: str = "", regions: Collection[str] = ()) -> None:
        told[lanes[name]] = (owner, set(regions))
        start(name, *args, owner=owner, regions=regions)

    monkeypatch.setattr(svc.jobs, "start", noted)
    made(svc, *server)
    first = IMAGES if made is an_image else MOMENTS
    assert told == dict.fromkeys([first, SNAPSHOTS], (ALICE, {HERE}))


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("made", ALL)
def test_an_instance_ends_at_once_and_what_was_made_of_it_is_stored_later(
    tmp_path: Path, made: Made, crashes: bool
) -> None:
    svc = full_services(tmp_path)
    instance_id, volume_id = a_server(svc)
    made(svc, instance_id, volume_id)
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    assert list(svc.volumes.list()) == []
    if crashes:
        serve_again(svc)
    else:
        make_room(svc)
    assert contents(svc) == [MADE_OF]
    nothing_is_left(svc)


@pytest.mark.parametrize("crashes", [False, True])
def test_the_snapshots_of_an_image_that_is_deregistered_in_the_line_are_of_its_moment(
    tmp_path: Path, crashes: bool
) -> None:
    svc = full_services(tmp_path)
    instance_id, volume_id = a_server(svc)
    an_image(svc, instance_id, volume_id)
    (image,) = ask(svc, "DescribeImages", Filters=[{"Name": "name", "Values": ["mine"]}])["Images"]
    ask(svc, "DeregisterImage", ImageId=image["ImageId"])
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    if crashes:
        serve_again(svc)
    else:
        make_room(svc)
    assert contents(svc) == [MADE_OF]
    nothing_is_left(svc)


def test_the_guest_of_an_image_is_back_before_anything_is_stored(tmp_path: Path) -> None:
    svc = full_services(tmp_path)
    instance_id, volume_id = a_server(svc)
    an_image(svc, instance_id, volume_id)
    assert svc.compute.state(InstanceId(instance_id)) is MachineState.RUNNING
    assert waiting(svc)


@pytest.mark.parametrize("made", ALL)
def test_no_sweep_drops_the_copy_of_what_stands_in_line(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = full_services(tmp_path)
    instance_id, volume_id = a_server(svc)
    made(svc, instance_id, volume_id)
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    svc.jobs.close()
    svc.jobs.launch()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_RESUMES", ())
        registry.sweep(svc)
    registry.sweep(svc)
    assert contents(svc) == [MADE_OF]


@pytest.mark.parametrize("made", OF_SNAPSHOTS)
def test_copies_that_were_lost_in_the_line_are_told_and_hold_nothing(
    tmp_path: Path, made: Made
) -> None:
    svc = full_services(tmp_path)
    instance_id, volume_id = a_server(svc)
    made(svc, instance_id, volume_id)
    for owner in (svc.settings.state_dir / "scratch").iterdir():
        scratch.drop(svc, owner.name)
    serve_again(svc)
    (told,) = made_snapshots(svc)
    assert (told["State"], "is gone" in told["StateMessage"]) == ("error", True)
    nothing_is_left(svc)


def end_all(svc: Services) -> None:
    """Whatever was made is deleted."""
    for image in ask(svc, "DescribeImages", Filters=[{"Name": "name", "Values": ["mine"]}])[
        "Images"
    ]:
        ask(svc, "DeregisterImage", ImageId=image["ImageId"], DeleteAssociatedSnapshots=True)
    for told in made_snapshots(svc):
        ask(svc, "DeleteSnapshot", SnapshotId=told["SnapshotId"])
    for volume in ask(svc, "DescribeVolumes")["Volumes"]:
        if volume["State"] == "creating":
            ask(svc, "DeleteVolume", VolumeId=volume["VolumeId"])


@pytest.mark.parametrize("made", ALL)
def test_what_is_deleted_in_the_line_leaves_nothing_although_there_is_no_room(
    tmp_path: Path, made: Made
) -> None:
    svc = full_services(tmp_path)
    made(svc, *a_server(svc))
    end_all(svc)
    assert waiting(svc) == []
    nothing_is_left(svc)


@pytest.mark.parametrize("made", ALL)
def test_what_is_deleted_while_it_is_copied_does_not_stand_in_line(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = full_services(tmp_path)
    server = a_server(svc)
    take = scratch.take

    def cut_off(*args, **more) -> None:
        take(*args, **more)
        monkeypatch.undo()
        end_all(svc)

    monkeypatch.setattr(scratch, "take", cut_off)
    made(svc, *server)
    assert waiting(svc) == []
    nothing_is_left(svc)


def test_the_sweep_ends_what_stands_in_line_for_what_went_unsaid(tmp_path: Path) -> None:
    svc = full_services(tmp_path)
    server = a_server(svc)
    a_snapshot(svc, *server)
    a_volume(svc, *server)
    (told,) = made_snapshots(svc)
    with svc.catalog.begin() as tx:
        recycle_bin.retain_or_remove_snapshot(svc, tx, SnapshotId(told["SnapshotId"]))
        for volume in volumes.in_state(tx, VolumeState.CREATING):
            volumes.remove(tx, volume.id)
            ingests.end(tx, volume.id)
    registry.sweep(svc)
    assert waiting(svc) == []
    nothing_is_left(svc)


def test_a_set_of_which_one_is_deleted_waits_for_its_turn(tmp_path: Path) -> None:
    svc = full_services(tmp_path)
    a_bootable_image(svc)
    data = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}
    a_set(svc, a_running_instance(svc, BlockDeviceMappings=[data]), "")
    first, _second = made_snapshots(svc)
    ask(svc, "DeleteSnapshot", SnapshotId=first["SnapshotId"])
    registry.sweep(svc)
    assert len(waiting(svc)) == 1
    make_room(svc)
    assert [each["State"] for each in made_snapshots(svc)] == ["completed"]
    nothing_is_left(svc)


def test_an_image_is_of_the_copies_that_were_made_although_the_instance_went_since(
    tmp_path: Path,
) -> None:
    svc = full_services(tmp_path)
    instance_id, volume_id = a_server(svc)
    an_image(svc, instance_id, volume_id)
    (image,) = ask(svc, "DescribeImages", Filters=[{"Name": "name", "Values": ["mine"]}])["Images"]
    (told,) = made_snapshots(svc)
    ask(svc, "TerminateInstances", InstanceIds=[instance_id])
    args = {
        "image_id": image["ImageId"],
        "instance_id": instance_id,
        "snapshot_ids": [told["SnapshotId"]],
        "volume_ids": [volume_id],
    }
    svc.jobs.start(create_image.NAME, f"{create_image.NAME}:again", args)  # as after a crash
    make_room(svc)
    assert contents(svc) == [MADE_OF]
    nothing_is_left(svc)


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("made", [a_snapshot, a_volume])
def test_what_is_gone_of_what_was_deleted_while_it_was_stored_is_no_loss(
    tmp_path: Path, made: Made, deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = full_services(tmp_path)
    made(svc, *a_server(svc))

    def collected(*_args, **_more) -> Never:
        if deleted:
            end_all(svc)
        svc.stores[HERE].get(Digest(bytes(32)))
        raise AssertionError("it is gone")

    monkeypatch.setattr(svc.volumes, "snapshot_from", collected)
    make_room(svc)
    nothing_is_left(svc)
    with svc.catalog.read() as tx:
        assert losses.regions(tx) == ({} if deleted else {HERE: 1})
    assert len(made_snapshots(svc)) == (made is a_snapshot and not deleted)


@pytest.mark.parametrize("made", ALL)
def test_what_is_deleted_while_it_is_stored_is_stored_no_further(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    svc = full_services(tmp_path)
    made(svc, *a_server(svc))
    before = set(svc.stores[HERE].digests())
    snapshot_from = svc.volumes.snapshot_from

    def deleted_meanwhile(*args, **more) -> Root:
        end_all(svc)
        return snapshot_from(*args, **more)

    monkeypatch.setattr(scratch, "_STORED_BLINDLY_S", 0.0)
    monkeypatch.setattr(svc.volumes, "snapshot_from", deleted_meanwhile)
    make_room(svc)
    assert set(svc.stores[HERE].digests()) == before
    nothing_is_left(svc)


@pytest.mark.parametrize("made", [an_image, a_volume])
def test_what_is_copied_and_stored_in_its_turn_survives_a_power_cut_at_any_moment(
    tmp_path: Path, made: Made
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        instance_id, volume_id = a_server(svc)

        def act() -> None:
            made(svc, instance_id, volume_id)
            ask(svc, "TerminateInstances", InstanceIds=[instance_id])
            make_room(svc)

        return act

    def check(svc: Services) -> None:
        assert contents(svc) in ([], [MADE_OF])
        nothing_is_left(svc)

    def check_cut(svc: Services) -> None:
        for told in made_snapshots(svc):
            if told["State"] == "completed":
                assert snapshot_blocks(svc, told["SnapshotId"]) == MADE_OF

    assert_survives(tmp_path, begin, check_cut, check, made=full_and_fused)
