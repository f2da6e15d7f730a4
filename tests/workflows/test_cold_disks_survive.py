"""Launch, move and pivot of disks that are not here, with the power cut at every moment."""

from collections.abc import Callable
from pathlib import Path

from openami.catalog import instances, volumes
from openami.compute.driver import MachineState
from openami.domain.instance import InstanceState
from openami.domain.volume import VolumeState
from openami.services import Services
from support.builders import SNAPSHOT, ZONE
from support.calls import call, launch, launched
from support.cold import cold_services, driver_of, exports, hydrate, tend
from support.crash import assert_survives


def what_is_read_is_served(svc: Services) -> None:
    """No machine's disk reads a socket that the daemon does not offer, or a file that is not."""
    for volume_id, path in driver_of(svc).reads.items():
        if path is not None and path.suffix == ".sock":
            assert exports(svc)[volume_id].path == path
        else:
            assert path is None or path.exists()


def all_ends_on_files(svc: Services) -> None:
    what_is_read_is_served(svc)
    hydrate(svc)
    tend(svc)
    tend(svc)
    what_is_read_is_served(svc)
    assert exports(svc) == {}
    with svc.catalog.read() as tx:
        running = instances.in_state(tx, *InstanceState)
        attached = volumes.in_state(tx, VolumeState.IN_USE)
    for each in running:
        is_up = svc.compute.state(each.id) is MachineState.RUNNING
        assert is_up == (each.state is InstanceState.RUNNING)
    up = {each.id for each in running if each.state is InstanceState.RUNNING}
    assert set(driver_of(svc).reads) == {
        each.id for each in attached if each.attachment and each.attachment.instance_id in up
    }


def test_a_cold_launch_is_whole_and_pivots_to_the_end(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        def act() -> None:
            launch(svc, MinCount=2, MaxCount=2)
            hydrate(svc)
            tend(svc)

        return act

    moments = assert_survives(
        tmp_path, begin, what_is_read_is_served, all_ends_on_files, made=cold_services
    )
    assert moments >= 20


def test_a_cold_volume_goes_from_machine_to_machine(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        one, other = launched(svc), launched(svc)
        made = call(svc, "CreateVolume", AvailabilityZone=ZONE, SnapshotId=SNAPSHOT)
        where = {"VolumeId": made["VolumeId"], "Device": "/dev/sdf"}

        def act() -> None:
            call(svc, "AttachVolume", **where, InstanceId=one)
            call(svc, "DetachVolume", VolumeId=made["VolumeId"])
            tend(svc)
            call(svc, "AttachVolume", **where, InstanceId=other)

        return act

    moments = assert_survives(
        tmp_path, begin, what_is_read_is_served, all_ends_on_files, made=cold_services
    )
    assert moments >= 12


def test_a_cold_machine_stops_and_starts(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        instance_id = launched(svc)

        def act() -> None:
            call(svc, "StopInstances", InstanceIds=[instance_id])
            tend(svc)
            call(svc, "StartInstances", InstanceIds=[instance_id])

        return act

    moments = assert_survives(
        tmp_path, begin, what_is_read_is_served, all_ends_on_files, made=cold_services
    )
    assert moments >= 10
