"""Volumes made, launched with and deleted, while the host loses its power at any moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.blockstore.ingest import ingest_file
from openami.catalog import instances, volumes
from openami.compute.driver import MachineState
from openami.domain.ids import VolumeId
from openami.domain.instance import InstanceState
from openami.domain.volume import Volume, VolumeState
from openami.services import Services
from support.asking import ask, put
from support.blocks import a_disk
from support.builders import HERE, IMAGE, SNAPSHOT, ZONE, a_snapshot, an_image
from support.crash import Made, assert_survives
from support.disk_contents import raw_blocks, volume_blocks
from support.power import in_buckets, on_its_disk

CONTENT = {0: "a", 300: "b"}
OF_THE_SNAPSHOT: dict[str, Any] = {"AvailabilityZone": ZONE, "SnapshotId": SNAPSHOT, "Size": 2}
EMPTY: dict[str, Any] = {"AvailabilityZone": ZONE, "Size": 1}
DATA_DISKS = [
    {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}},
    {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": SNAPSHOT, "VolumeSize": 2}},
]
THERE = frozenset({VolumeState.AVAILABLE, VolumeState.IN_USE})


def with_an_image(svc: Services) -> None:
    blocks = {index: sign.encode() * (512 << 10) for index, sign in CONTENT.items()}
    disk = a_disk(svc.settings.state_dir / "disk", blocks, 1 << 30)
    root = ingest_file(svc.stores[HERE], disk).to_text()
    put(svc, a_snapshot(root=root), an_image(boot_mode="legacy-bios"))


def rows(svc: Services) -> list[Volume]:
    with svc.catalog.read() as tx:
        return volumes.in_state(tx, *VolumeState)


def what_was_told_is_there(svc: Services) -> None:
    """At every moment: the disk of each volume that somebody was told of, as it should be."""
    for each in rows(svc):
        if each.state in THERE:
            wanted = {} if each.snapshot_id is None else CONTENT
            assert volume_blocks(svc, each.id) == wanted
            assert svc.volumes.origin(each.id).size_gib == each.size_gib
            _, base = svc.volumes.paths(each.id, each.region)
            assert base is None or raw_blocks(base) == CONTENT


def all_has_come_to_its_end(svc: Services) -> None:
    what_was_told_is_there(svc)
    found = rows(svc)
    assert {each.state for each in found} <= THERE
    assert set(svc.volumes.list()) == {each.id for each in found}
    assert set(svc.volumes.bases()) == {each.id for each in found if each.snapshot_id is not None}
    with svc.catalog.read() as tx:
        machines = instances.in_state(tx, *InstanceState)
    for each in machines:
        # One that ran when the power went ended with it: its disks did not.
        assert each.state in (InstanceState.RUNNING, InstanceState.STOPPED)
        is_up = svc.compute.state(each.id) is MachineState.RUNNING
        assert is_up == (each.state is InstanceState.RUNNING)
        mine = [
            disk for disk in found if disk.attachment and disk.attachment.instance_id == each.id
        ]
        assert [disk.state for disk in mine] == [VolumeState.IN_USE] * 3


def a_volume(asked: dict[str, Any]) -> Callable[[Services], Callable[[], object]]:
    def begin(svc: Services) -> Callable[[], object]:
        with_an_image(svc)
        return lambda: ask(svc, "CreateVolume", **asked)

    return begin


def a_launch(svc: Services) -> Callable[[], object]:
    with_an_image(svc)
    asked: dict[str, Any] = {
        "ImageId": IMAGE,
        "InstanceType": "t3.micro",
        "BlockDeviceMappings": DATA_DISKS,
    }
    return lambda: ask(svc, "RunInstances", **asked, MinCount=1, MaxCount=1)


def a_deletion(svc: Services) -> Callable[[], object]:
    """Of one of two volumes: nothing of the other goes with it."""
    with_an_image(svc)
    doomed = ask(svc, "CreateVolume", **OF_THE_SNAPSHOT)["VolumeId"]
    ask(svc, "CreateVolume", **OF_THE_SNAPSHOT)

    def act() -> None:
        ask(svc, "DeleteVolume", VolumeId=doomed)
        assert VolumeId(doomed) not in svc.volumes.list()

    return act


@pytest.mark.parametrize(
    ("host", "begin", "moments"),
    [
        (on_its_disk, a_volume(OF_THE_SNAPSHOT), 12),
        (in_buckets, a_volume(EMPTY), 10),
        (in_buckets, a_launch, 25),
        (in_buckets, a_deletion, 6),
    ],
    ids=["of a snapshot", "empty", "launched with", "deleted"],
)
def test_volumes_survive_a_power_cut_at_any_moment(
    tmp_path: Path, host: Made, begin: Callable[[Services], Callable[[], object]], moments: int
) -> None:
    found = assert_survives(
        tmp_path, begin, what_was_told_is_there, all_has_come_to_its_end, made=host
    )
    assert found >= moments
