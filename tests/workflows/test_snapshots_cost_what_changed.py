"""Snapshots of volumes that a real QEMU has open: no more is copied than what changed, no less."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.blockstore.looks import LATELY_S, Looks
from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkLost, Kind, StoreFull
from openami.catalog import snapshot_tiers, snapshots
from openami.catalog.storage import losses
from openami.compute.driver import DiskCopy
from openami.compute.qemu import disk_copies
from openami.compute.qemu.disk_copies import MARKS_MAX
from openami.diskimage.qcow2 import changed_blocks
from openami.domain.block import Digest
from openami.domain.ids import SnapshotId, VolumeId
from openami.domain.manifest import Root
from openami.domain.snapshot import Move, Progress, Tiering
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.workflows import create_image, region_stores, registry, scratch
from support.asking import a_bootable_image, a_running_instance, ask
from support.bare_qemu import BareDriver
from support.builders import HERE
from support.disk_contents import snapshot_blocks
from support.fakes import services
from support.machines import no_limit

DATA = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}


class House:
    """An instance with two volumes, and what its guest has written to them."""

    def __init__(
        self, directory: Path, disturbed: Callable[[Services], Services] = lambda svc: svc
    ) -> None:
        self.host = BareDriver(directory / "instances")
        self.svc: Services = services(directory, compute=self.host, disturbed=disturbed)
        a_bootable_image(self.svc)
        self.instance_id = a_running_instance(self.svc, BlockDeviceMappings=[DATA])
        self.data, self.root = self._volume("/dev/sdf"), self._volume("/dev/xvda")
        self.written: dict[str, dict[int, str]] = {self.data: {}, self.root: {}}

    def _volume(self, device: str) -> str:
        for volume in ask(self.svc, "DescribeVolumes")["Volumes"]:
            if volume["Attachments"] and volume["Attachments"][0]["Device"] == device:
                return volume["VolumeId"]
        raise AssertionError(device)

    def write(self, volume_id: str, blocks: dict[int, str]) -> None:
        self.host.write(volume_id, blocks)
        self.written[volume_id] |= blocks

    def snapshot(self, volume_id: str) -> str:
        return ask(self.svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"]

    def state(self, snapshot_id: str) -> str:
        (told,) = ask(self.svc, "DescribeSnapshots", SnapshotIds=[snapshot_id])["Snapshots"]
        return told["State"]

    def is_right(self, snapshot_id: str, volume_id: str) -> None:
        assert snapshot_blocks(self.svc, snapshot_id) == self.written[volume_id]

    def again(self) -> None:
        ask(self.svc, "StopInstances", InstanceIds=[self.instance_id])
        ask(self.svc, "StartInstances", InstanceIds=[self.instance_id])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.host.close()


def test_the_second_snapshot_copies_what_changed_since_the_first(house: House) -> None:
    house.write(house.data, {3: "a", 9: "b"})
    first = house.snapshot(house.data)
    house.is_right(first, house.data)
    house.write(house.data, {9: "c", 700: "d"})
    second = house.snapshot(house.data)
    house.is_right(second, house.data)
    assert house.host.partial == [set(), {house.data}]
    assert house.host.marks(house.data) == {first, second}
    assert snapshot_blocks(house.svc, first) == {3: "a", 9: "b"}


def test_a_snapshot_without_changes_copies_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(house.data, {3: "a"})
    house.snapshot(house.data)
    taken: list[dict[int, bytes]] = []
    keep = house.svc.volumes.snapshot_from

    def looked_at(overlay: Path, *args, **more):
        taken.append(dict(changed_blocks(overlay, 1 << 30, lambda _: bytes(512 << 10))))
        return keep(overlay, *args, **more)

    monkeypatch.setattr(house.svc.volumes, "snapshot_from", looked_at)
    house.is_right(house.snapshot(house.data), house.data)
    assert taken == [{}]


def test_an_image_that_is_whole_is_not_copied_again_by_a_job_that_a_crash_cut_off(
    house: House,
) -> None:
    house.write(house.data, {3: "a"})
    image_id = ask(
        house.svc, "CreateImage", InstanceId=house.instance_id, Name="mine", NoReboot=True
    )["ImageId"]
    (image,) = ask(house.svc, "DescribeImages", ImageIds=[image_id])["Images"]
    volume_of = {"/dev/sdf": house.data, "/dev/xvda": house.root}
    filled = {
        each["Ebs"]["SnapshotId"]: volume_of[each["DeviceName"]]
        for each in image["BlockDeviceMappings"]
    }
    house.write(house.data, {4: "b"})
    args = {
        "image_id": image_id,
        "instance_id": house.instance_id,
        "snapshot_ids": list(filled),
        "volume_ids": list(filled.values()),
    }
    house.svc.jobs.start(create_image.NAME, f"{create_image.NAME}:again", args)
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}]


def test_what_became_zeros_or_was_discarded_is_gone_from_the_next_snapshot(house: House) -> None:
    house.write(house.data, dict.fromkeys(range(3, 9), "a"))
    house.snapshot(house.data)
    qemu, disk = house.host.disks[house.data]
    of_blocks = ("write -z 1536k 512k", "discard 2048k 512k", "write -P 0 2560k 512k")
    qemu.write(disk, *of_blocks, "write -z -u 3072k 512k")
    for each in range(3, 7):
        del house.written[house.data][each]
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}]


def test_what_changed_before_a_snapshot_that_failed_is_in_the_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(house.data, {3: "a"})
    house.snapshot(house.data)
    house.write(house.data, {4: "b"})
    with monkeypatch.context() as broken:
        broken.setattr(house.svc.volumes, "snapshot_from", _full)
        failed = house.snapshot(house.data)
    assert house.state(failed) == "error"
    house.write(house.data, {5: "c"})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}, {house.data}]
    assert failed not in house.host.marks(house.data)


def lose(house: House, snapshot_id: str, block: int) -> Digest:
    """A block of the snapshot goes from the store, and nobody knows."""
    with house.svc.catalog.read() as tx:
        snapshot = snapshots.fetch_any(tx, SnapshotId(snapshot_id))
    assert snapshot is not None
    store = house.svc.stores[HERE]
    digest = Manifests(store).lookup(Root.from_text(str(snapshot.root)), block)
    store.delete(digest)
    return digest


def test_a_chunk_that_was_lost_comes_back_from_the_running_disk(house: House) -> None:
    house.write(house.data, {3: "a", 9: "b"})
    first = house.snapshot(house.data)
    lose(house, first, 3)
    house.write(house.data, {9: "c"})
    house.is_right(house.snapshot(house.data), house.data)
    assert snapshot_blocks(house.svc, first) == {3: "a", 9: "b"}
    house.write(house.data, {9: "d"})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), set(), {house.data}]


def test_what_was_seen_to_be_there_is_not_looked_at_again_within_the_hour(tmp_path: Path) -> None:
    now_s = [0.0]
    house = House(tmp_path, lambda svc: replace(svc, looks=Looks(lambda: now_s[0])))
    looked: list[int] = []
    store: Any = house.svc.stores[HERE]
    missing = store.missing

    def noted(digests: list[Digest]) -> set[Digest]:
        looked.append(len(digests))
        return missing(digests)

    store.missing = noted
    house.write(house.data, {3: "a", 4: "b", 300: "c", 900: "d"})
    house.snapshot(house.data)
    for later_s, seen in ((0, [1, 1, 2]), (1800, [1]), (1799, [1]), (3600, [1, 1, 2])):
        looked.clear()
        now_s[0] += later_s
        house.write(house.data, {300: chr(ord("e") + len(house.host.partial))})
        house.is_right(house.snapshot(house.data), house.data)
        assert sorted(looked) == seen, later_s
    house.host.close()


def test_what_was_lost_within_the_hour_and_is_not_known_counts_when_the_hour_is_over(
    tmp_path: Path,
) -> None:
    now_s = [0.0]
    house = House(tmp_path, lambda svc: replace(svc, looks=Looks(lambda: now_s[0])))
    house.write(house.data, {3: "a", 900: "b"})
    house.snapshot(house.data)
    lose(house, house.snapshot(house.data), 3)
    now_s[0] = LATELY_S
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}, set()]
    house.host.close()


def test_where_looking_is_dear_a_loss_counts_from_when_it_is_known(house: House) -> None:
    store: Any = house.svc.stores[HERE]
    store.looks_are_cheap = False
    house.write(house.data, {3: "a", 9: "b"})
    digest = lose(house, house.snapshot(house.data), 3)
    house.write(house.data, {9: "c"})
    inherits = house.snapshot(house.data)
    with pytest.raises(ChunkLost):
        store.get(digest)
    house.is_right(house.snapshot(house.data), house.data)
    assert snapshot_blocks(house.svc, inherits) == {3: "a", 9: "c"}
    house.snapshot(house.data)
    with house.svc.catalog.begin() as tx:
        losses.forget(tx, HERE, {(Kind.CHUNK, digest)})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}, set(), set(), {house.data}]


def test_a_deleted_snapshot_is_nothing_to_rely_on(house: House) -> None:
    house.write(house.data, {3: "a"})
    ask(house.svc, "DeleteSnapshot", SnapshotId=house.snapshot(house.data))
    house.write(house.data, {4: "b"})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), set()]


def test_what_changed_is_not_known_after_the_machine_was_stopped(house: House) -> None:
    house.write(house.data, {3: "a"})
    house.snapshot(house.data)
    house.write(house.data, {4: "b"})
    house.again()
    house.write(house.data, {5: "c"})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), set()]


def test_a_volume_that_grew_is_copied_whole_once_and_keeps_its_marks(house: House) -> None:
    house.write(house.data, {3: "a"})
    house.snapshot(house.data)
    ask(house.svc, "ModifyVolume", VolumeId=house.data, Size=2)
    house.write(house.data, {4000: "z"})
    house.is_right(house.snapshot(house.data), house.data)
    house.write(house.data, {4001: "y"})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), set(), {house.data}]


def test_what_was_written_beyond_the_end_of_a_late_snapshot_is_in_the_next(house: House) -> None:
    """It was asked for, the volume grew and was written to, and only then it was copied."""
    house.write(house.data, {3: "a"})
    house.svc.jobs.close()
    with pytest.raises(NotRunning):
        house.snapshot(house.data)
    house.svc.jobs.launch()
    ask(house.svc, "ModifyVolume", VolumeId=house.data, Size=2)
    house.write(house.data, {4000: "z"})
    registry.sweep(house.svc)
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), set()]


def test_a_copy_that_a_killed_server_left_is_abandoned_and_the_marks_are_kept(
    house: House,
) -> None:
    house.write(house.data, {3: "a"})
    first = house.snapshot(house.data)
    house.write(house.data, {4: "b"})
    qemu, disk = house.host.disks[house.data]
    job = {"device": f"top-{disk.serial}", "job-id": f"copy-{disk.serial}", "speed": 1}
    file = {
        "driver": "file",
        "filename": str(_a_file(house)),
        "node-name": f"copy-file-{disk.serial}",
    }
    qemu.monitor.ask("blockdev-add", file)
    raw = {"driver": "raw", "file": file["node-name"], "node-name": f"copy-{disk.serial}"}
    qemu.monitor.ask("blockdev-add", raw)
    mark = {"sync": "bitmap", "bitmap": f"since-{first}", "bitmap-mode": "never"}
    qemu.monitor.ask("blockdev-backup", {**job, **mark, "target": raw["node-name"]})
    qemu.monitor.close()
    qemu.connect()
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}]


def _a_file(house: House) -> Path:
    path = house.svc.settings.state_dir / "left"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    return path


def test_a_snapshot_deleted_while_the_next_is_made_is_not_collected_under_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(house.data, {3: "a"})
    first = house.snapshot(house.data)
    house.write(house.data, {4: "b"})
    keep = house.svc.volumes.snapshot_from

    def meanwhile(*args, **more):
        ask(house.svc, "DeleteSnapshot", SnapshotId=first)
        needed = region_stores.roots(house.svc.catalog, HERE)
        assert Root.from_text(was) in needed
        return keep(*args, **more)

    was = root_of(house.svc, first)
    assert was is not None
    monkeypatch.setattr(house.svc.volumes, "snapshot_from", meanwhile)
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}]


def root_of(svc: Services, snapshot_id: str) -> str | None:
    with svc.catalog.read() as tx:
        found = snapshots.fetch_any(tx, SnapshotId(snapshot_id))
    return None if found is None else found.root


def test_a_snapshot_on_its_way_to_the_archive_is_nothing_to_rely_on(house: House) -> None:
    house.write(house.data, {3: "a"})
    first = house.snapshot(house.data)
    with house.svc.catalog.begin() as tx:
        found = snapshots.fetch_any(tx, SnapshotId(first))
        assert found is not None
        going = Tiering(
            snapshot_id=found.id,
            region=found.region,
            owner=found.owner,
            move=Move.ARCHIVAL,
            progress=Progress.GOING_ON,
            started_at=house.svc.clock.now(),
        )
        snapshot_tiers.put(tx, going)
    house.write(house.data, {4: "b"})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), set()]


@pytest.mark.parametrize(
    "lies", [{"disabled": True}, {"granularity": 1 << 20}, {"persistent": True}], ids=str
)
def test_a_mark_that_may_not_know_all_is_not_believed(
    house: House, lies: dict[str, object]
) -> None:
    house.write(house.data, {3: "a"})
    first = house.snapshot(house.data)
    house.write(house.data, {4: "b"})
    qemu, disk = house.host.disks[house.data]
    bitmap = {"node": f"top-{disk.serial}", "name": f"since-{first}"}
    qemu.monitor.ask("block-dirty-bitmap-remove", bitmap)
    qemu.monitor.ask("block-dirty-bitmap-add", bitmap | {"granularity": 512 << 10} | lies)
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), set()]


def test_marks_are_limited_and_a_copy_without_one_is_right_all_the_same(house: House) -> None:
    qemu, _ = house.host.disks[house.data]
    target = house.svc.settings.state_dir / "copy"
    names = [f"snap-{number}" for number in range(MARKS_MAX + 2)]
    for name in names:
        wanted = DiskCopy(target=target, mark=name, keep=frozenset(names))
        disk_copies.copy(qemu.monitor, {VolumeId(house.data): wanted}, no_limit)
    assert house.host.marks(house.data) == set(names[:MARKS_MAX])
    house.write(house.data, {4: "b"})
    house.is_right(house.snapshot(house.data), house.data)
    assert len(house.host.marks(house.data)) == 1


def test_a_scratch_disk_without_room_fails_the_snapshot_before_the_guest_depends_on_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write(house.data, {3: "a"})
    first = house.snapshot(house.data)

    def full(_descriptor: int, _start: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "posix_fallocate", full)
        assert house.state(house.snapshot(house.data)) == "error"
    qemu, _ = house.host.disks[house.data]
    assert qemu.monitor.ask("query-jobs") == []
    assert first in house.host.marks(house.data)
    house.write(house.data, {4: "b"})
    house.is_right(house.snapshot(house.data), house.data)
    assert house.host.partial == [set(), {house.data}]


class Story(House):
    """Things that happen, each of which leaves every snapshot as it should be."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.kept: list[str] = []

    def takes(self, volume_id: str) -> None:
        self.kept.append(self.snapshot(volume_id))
        self.is_right(self.kept[-1], volume_id)

    def takes_both(self) -> None:
        of = {"InstanceId": self.instance_id}
        for each in ask(self.svc, "CreateSnapshots", InstanceSpecification=of)["Snapshots"]:
            self.is_right(each["SnapshotId"], each["VolumeId"])
            self.kept.append(each["SnapshotId"])

    def fails(self, volume_id: str) -> None:
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(self.svc.volumes, "snapshot_from", _full)
            assert self.state(self.snapshot(volume_id)) == "error"

    def deletes(self, which: int) -> None:
        if self.kept:
            gone = self.kept.pop(which % len(self.kept))
            ask(self.svc, "DeleteSnapshot", SnapshotId=gone)


def _full(*_args: object, **_more: object) -> None:
    raise StoreFull("/chunks")


ROOT_OR_DATA = st.sampled_from(["root", "data"])
BLOCKS = st.dictionaries(st.integers(0, 2047), st.sampled_from("abcdef"), min_size=1, max_size=4)
WRITES = st.tuples(st.just("write"), ROOT_OR_DATA, BLOCKS)
TAKES = st.tuples(st.just("takes"), ROOT_OR_DATA)
RARE = st.one_of(
    st.just(("takes_both",)),
    st.just(("again",)),
    st.tuples(st.just("fails"), ROOT_OR_DATA),
    st.tuples(st.just("deletes"), st.integers(0, 9)),
)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(acts=st.lists(st.one_of(WRITES, TAKES, RARE), min_size=15, max_size=30))
def test_whatever_happens_a_snapshot_is_the_disk_at_its_moment(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, ...]]
) -> None:
    story = Story(tmp_path_factory.mktemp("story"))
    try:
        for act, *given_ in acts:
            volumes = {"root": story.root, "data": story.data}
            getattr(story, act)(
                *(volumes.get(each, each) if isinstance(each, str) else each for each in given_)
            )
        story.takes_both()
    finally:
        story.host.close()
    home = scratch.home(story.svc, "any").parent
    assert list(home.iterdir()) == []
