"""Machines that start before their disks are on the host, and what becomes of their disks."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.catalog.storage import boot_profiles
from openami.compute.driver import MachineFailed
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.manifest import Root
from openami.nbd.client import DaemonAway, Export, ExportRefused
from openami.services import Services
from support.builders import HERE, IMAGE, SNAPSHOT, ZONE
from support.calls import call, instance, launch, launched, state
from support.cold import cold_services, daemon_of, driver_of, exports, hydrate, tend
from support.disk_contents import snapshot_blocks, volume_blocks
from support.stored import ROOT


@pytest.fixture
def svc(tmp_path: Path) -> Services:
    return cold_services(tmp_path)


def root_volume(svc: Services, instance_id: str) -> VolumeId:
    (device,) = instance(svc, instance_id)["BlockDeviceMappings"]
    return VolumeId(device["Ebs"]["VolumeId"])


def reads(svc: Services, volume_id: VolumeId) -> str:
    path = driver_of(svc).reads[volume_id]
    return "" if path is None else path.suffix


def files_here(svc: Services) -> list[str]:
    return sorted(path.name for path in (svc.settings.state_dir / "cache").iterdir())


def a_cold_volume(svc: Services) -> VolumeId:
    made = call(svc, "CreateVolume", AvailabilityZone=ZONE, SnapshotId=SNAPSHOT)
    return VolumeId(made["VolumeId"])


def attach(svc: Services, volume_id: str, instance_id: str) -> None:
    where = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/sdf"}
    call(svc, "AttachVolume", **where)


def told(svc: Services, volume_id: str) -> Any:
    return call(svc, "DescribeVolumes", VolumeIds=[volume_id])["Volumes"][0]


def test_a_machine_runs_though_nothing_of_its_disk_is_here(svc: Services) -> None:
    instance_id = launched(svc)
    assert state(svc, instance_id) == "running"
    assert files_here(svc) == []
    assert reads(svc, root_volume(svc, instance_id)) == ".sock"


def test_an_export_is_for_the_user_of_its_machine_alone(svc: Services) -> None:
    for each in launch(svc, MinCount=3, MaxCount=3)["Instances"]:
        exports_of_it = exports(svc)[root_volume(svc, each["InstanceId"])]
        assert exports_of_it.path.stem == root_volume(svc, each["InstanceId"])
    uids = [each.uid for each in exports(svc).values()]
    first = svc.settings.first_machine_uid
    assert len(set(uids)) == 3
    assert all(first <= uid < first + 10 for uid in uids)


def test_a_whole_disk_is_read_from_its_file_and_no_longer_from_the_daemon(svc: Services) -> None:
    volume_id = root_volume(svc, launched(svc))
    tend(svc)
    assert reads(svc, volume_id) == ".sock", "not before it is whole"
    hydrate(svc)
    tend(svc)
    assert reads(svc, volume_id) == ".raw"
    assert exports(svc) == {}
    tend(svc)


def test_many_launches_of_one_cold_image_end_on_one_file(svc: Services) -> None:
    many = launch(svc, MinCount=32, MaxCount=32)["Instances"]
    assert len(exports(svc)) == 32
    assert len({each.root for each in exports(svc).values()}) == 1
    assert files_here(svc) == []
    hydrate(svc)
    tend(svc)
    volumes = [root_volume(svc, each["InstanceId"]) for each in many]
    (base,) = {driver_of(svc).reads[each] for each in volumes}
    assert base is not None
    assert files_here(svc) == [base.name]


def test_a_disk_that_is_here_already_needs_no_daemon(svc: Services) -> None:
    launched(svc)
    hydrate(svc)
    opened = daemon_of(svc).opened
    assert reads(svc, root_volume(svc, launched(svc))) == ".raw"
    assert daemon_of(svc).opened == opened


def test_a_blank_volume_needs_no_daemon(svc: Services) -> None:
    launched_id = launched(svc)
    blank = call(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]
    attach(svc, blank, launched_id)
    assert driver_of(svc).reads[VolumeId(blank)] is None
    assert blank not in exports(svc)


def test_while_the_daemon_is_away_disks_are_restored_before_they_are_used(svc: Services) -> None:
    daemon_of(svc).away = True
    instance_id = launched(svc)
    assert state(svc, instance_id) == "running"
    assert reads(svc, root_volume(svc, instance_id)) == ".raw"
    with pytest.raises(DaemonAway):
        tend(svc)


def test_a_stopped_machine_reads_nothing_and_is_served_again_when_it_starts(svc: Services) -> None:
    instance_id = launched(svc)
    volume_id = root_volume(svc, instance_id)
    call(svc, "StopInstances", InstanceIds=[instance_id])
    tend(svc)
    assert exports(svc) == {}
    call(svc, "StartInstances", InstanceIds=[instance_id])
    assert reads(svc, volume_id) == ".sock"
    assert set(exports(svc)) == {volume_id}


def test_a_machine_that_restarts_reads_as_before(svc: Services) -> None:
    instance_id = launched(svc)
    call(svc, "RebootInstances", InstanceIds=[instance_id])
    tend(svc)
    assert state(svc, instance_id) == "running"
    assert reads(svc, root_volume(svc, instance_id)) == ".sock"
    assert set(exports(svc)) == {root_volume(svc, instance_id)}


def test_the_exports_of_a_terminated_machine_end_before_another_has_its_user(
    svc: Services,
) -> None:
    call(svc, "TerminateInstances", InstanceIds=[launched(svc)])
    assert exports(svc) == {}


def test_a_machine_is_terminated_while_the_daemon_is_away(svc: Services) -> None:
    instance_id = launched(svc)
    daemon_of(svc).away = True
    call(svc, "TerminateInstances", InstanceIds=[instance_id])
    assert state(svc, instance_id) == "terminated"
    daemon_of(svc).away = False
    tend(svc)
    assert exports(svc) == {}


def test_an_export_that_cannot_be_ended_keeps_no_other_from_ending(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = (root_volume(svc, launched(svc)) for _ in range(2))
    close = daemon_of(svc).close_export

    def closed(export_id: str) -> None:
        if export_id == stuck:
            raise ExportRefused("the daemon's disk is read-only")
        close(export_id)

    monkeypatch.setattr(svc.blocks, "close_export", closed)
    hydrate(svc)
    tend(svc)
    assert (reads(svc, stuck), reads(svc, other)) == (".raw", ".raw")
    assert set(exports(svc)) == {stuck}


def test_a_cold_volume_is_plugged_into_a_machine_that_runs(svc: Services) -> None:
    instance_id, volume_id = launched(svc), a_cold_volume(svc)
    assert told(svc, volume_id)["State"] == "available"
    attach(svc, volume_id, instance_id)
    assert reads(svc, volume_id) == ".sock"
    hydrate(svc)
    tend(svc)
    assert reads(svc, volume_id) == ".raw"


def test_a_machine_that_was_started_without_the_daemon_is_given_whole_disks(svc: Services) -> None:
    instance_id, volume_id = launched(svc), a_cold_volume(svc)
    driver_of(svc).knows_exports = False
    attach(svc, volume_id, instance_id)
    assert told(svc, volume_id)["Attachments"][0]["State"] == "attached"
    assert reads(svc, volume_id) == ".raw"
    tend(svc)
    assert volume_id not in exports(svc)


def test_a_cold_volume_that_changes_machines_changes_its_reader(svc: Services) -> None:
    one, other, volume_id = launched(svc), launched(svc), a_cold_volume(svc)
    attach(svc, volume_id, one)
    first = exports(svc)[volume_id].uid
    call(svc, "DetachVolume", VolumeId=volume_id)
    tend(svc)
    assert volume_id not in exports(svc)
    attach(svc, volume_id, other)
    assert exports(svc)[volume_id].uid != first


def test_a_snapshot_of_a_cold_volume_is_right_and_restores_nothing(svc: Services) -> None:
    snapshot = call(svc, "CreateSnapshot", VolumeId=a_cold_volume(svc))
    assert snapshot_blocks(svc, snapshot["SnapshotId"]) == ROOT
    assert files_here(svc) == []


def test_a_cold_volume_grows_and_is_deleted_without_its_base(svc: Services) -> None:
    volume_id = a_cold_volume(svc)
    call(svc, "ModifyVolume", VolumeId=volume_id, Size=12)
    assert told(svc, volume_id)["Size"] == 12
    assert files_here(svc) == []
    assert volume_blocks(svc, volume_id) == ROOT
    call(svc, "DeleteVolume", VolumeId=volume_id)
    assert list(svc.volumes.list()) == []


def test_what_a_machine_read_first_is_kept_with_its_image_and_its_copies(svc: Services) -> None:
    root = exports_of(svc, launched(svc)).root
    daemon_of(svc).profiles[root] = [300, 5]
    hydrate(svc)
    tend(svc)
    daemon_of(svc).profiles.clear()  # another host, which has nothing
    for file in files_here(svc):
        (svc.settings.state_dir / "cache" / file).unlink()
    copied = call(svc, "CopyImage", Name="copy", SourceImageId=IMAGE, SourceRegion=HERE)
    assert exports_of(svc, launched(svc, ImageId=copied["ImageId"])).root == root
    assert daemon_of(svc).profiles == {root: [300, 5]}


def test_what_more_a_later_launch_read_is_kept_too_and_less_is_not(svc: Services) -> None:
    for told, kept in (([300, 5], [300, 5]), ([300, 5, 0], [300, 5, 0]), ([0], [300, 5, 0])):
        instance_id = launched(svc)
        root = exports_of(svc, instance_id).root
        daemon_of(svc).profiles[root] = told
        call(svc, "TerminateInstances", InstanceIds=[instance_id])
        with svc.catalog.read() as tx:
            assert boot_profiles.find(tx, root) == kept


def test_no_profile_outlives_the_last_snapshot_of_its_content(svc: Services) -> None:
    root = exports_of(svc, launched(svc)).root
    gone = Root(digest=root.digest, blocks=root.blocks + 1)
    with svc.catalog.begin() as tx:
        boot_profiles.save(tx, root, [1])
        boot_profiles.save(tx, gone, [1])
        assert (boot_profiles.find(tx, root), boot_profiles.find(tx, gone)) == ([1], [])


def exports_of(svc: Services, instance_id: str) -> Export:
    return exports(svc)[root_volume(svc, instance_id)]


def test_a_machine_that_somebody_works_on_is_left_for_the_next_round(svc: Services) -> None:
    instance_id = InstanceId(launched(svc))
    volume_id = root_volume(svc, instance_id)
    hydrate(svc)
    for key in (instance_id, volume_id):
        in_another_thread(svc, key, lambda: tend(svc))
        assert reads(svc, volume_id) == ".sock"
    tend(svc)
    assert reads(svc, volume_id) == ".raw"


def in_another_thread(svc: Services, key: str, act: Callable[[], None]) -> None:
    """Act while another thread holds the lock."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with svc.locks(key):
            held.set()
            assert done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    try:
        act()
    finally:
        done.set()
        thread.join()


def test_a_machine_that_does_not_answer_keeps_its_export_and_nobody_else_s(
    svc: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf, other = (root_volume(svc, launched(svc)) for _ in range(2))
    pivot = driver_of(svc).pivot

    def answered(instance_id: InstanceId, volume_id: VolumeId, base: Path) -> None:
        if volume_id == deaf:
            raise MachineFailed("no answer")
        pivot(instance_id, volume_id, base)

    monkeypatch.setattr(svc.compute, "pivot", answered)
    hydrate(svc)
    tend(svc)
    assert (reads(svc, deaf), reads(svc, other)) == (".sock", ".raw")
    assert set(exports(svc)) == {deaf}
