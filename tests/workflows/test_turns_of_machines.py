"""Who starts, stops or changes a machine takes turns with who copies its disks."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.actions import instances
from openami.catalog import instances as catalog
from openami.catalog import snapshots
from openami.compute.driver import Machine
from openami.domain.ids import InstanceId, VolumeId
from openami.domain.instance import InstanceState
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.settings import Settings
from openami.workflows import create_snapshot, registry, stop_instance
from support.builders import ZONE
from support.calls import add_image, call, instance, launched, state
from support.failing import FailingHypervisor
from support.fakes import services


@pytest.fixture
def host() -> FailingHypervisor:
    return FailingHypervisor()


@pytest.fixture
def svc(tmp_path: Path, host: FailingHypervisor) -> Iterator[Services]:
    settings = Settings(state_dir=tmp_path, compute_driver="record", stop_timeout_s=5.0)
    made = services(tmp_path, compute=host, settings=settings)
    add_image(made)
    yield made
    made.catalog.close()


def loose_volume(svc: Services) -> str:
    return call(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"]


def volume(svc: Services, volume_id: str) -> dict[str, list[dict[str, str]]]:
    (found,) = call(svc, "DescribeVolumes", VolumeIds=[volume_id])["Volumes"]
    return found


def volume_of(svc: Services, instance_id: str) -> str:
    return instance(svc, instance_id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]


def transitions(svc: Services, instance_id: str) -> int:
    with svc.catalog.read() as tx:
        found = catalog.fetch_any(tx, InstanceId(instance_id))
    assert found is not None
    return found.transitions


@pytest.mark.parametrize("operation", ["StartInstances", "RebootInstances"])
def test_a_machine_is_not_started_while_its_volume_is_copied(
    svc: Services, host: FailingHypervisor, operation: str
) -> None:
    made = launched(svc)
    volume_id = volume_of(svc, made)
    if operation == "StartInstances":
        call(svc, "StopInstances", InstanceIds=[made])
    copying = threading.Event()

    def copy_cold() -> None:
        with svc.locks(volume_id):
            copying.set()

    copier = threading.Thread(target=copy_cold)
    together: list[bool] = []

    def starting(_: InstanceId) -> None:
        copier.start()
        together.append(copying.wait(0.2))

    host.starting = starting
    call(svc, operation, InstanceIds=[made])
    copier.join()
    assert together == [False]
    assert copying.is_set()


def test_a_volume_whose_attachment_failed_is_taken_out_before_it_is_free(
    svc: Services, host: FailingHypervisor
) -> None:
    made, loose = launched(svc), loose_volume(svc)
    host.attach_fails = True
    call(svc, "AttachVolume", VolumeId=loose, InstanceId=made, Device="/dev/sdf")
    assert host.log[-1] == f"detach {made}"
    assert volume(svc, loose)["State"] == "available"


def test_a_volume_that_the_machine_may_still_hold_is_detaching_until_it_is_out(
    svc: Services, host: FailingHypervisor
) -> None:
    made, loose = launched(svc), loose_volume(svc)
    host.attach_fails, host.held = True, {loose}
    call(svc, "AttachVolume", VolumeId=loose, InstanceId=made, Device="/dev/sdf")
    assert volume(svc, loose)["State"] == "in-use"
    assert volume(svc, loose)["Attachments"][0]["State"] == "detaching"
    host.held = set()
    registry.sweep(svc)
    assert volume(svc, loose)["State"] == "available"


@pytest.mark.parametrize("operation", ["StopInstances", "RebootInstances"])
def test_the_power_button_waits_for_the_copy_of_a_snapshot(
    svc: Services, host: FailingHypervisor, operation: str
) -> None:
    made = launched(svc)
    volume_id = volume_of(svc, made)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        call(svc, "CreateSnapshot", VolumeId=volume_id, Description="mine")
    svc.jobs.launch()
    with svc.catalog.read() as tx:
        (pending,) = snapshots.pending_of_volume(tx, VolumeId(volume_id))
    copied: list[str] = []
    pressed_after: list[list[str]] = []
    host.copying = lambda _: copied.append(pending.id)
    host.pressed = lambda _: pressed_after.append(list(copied))
    host.waiting = lambda _: create_snapshot.copy(svc, pending.id, VolumeId(volume_id))
    call(svc, operation, InstanceIds=[made])
    assert pressed_after == [[pending.id]]


def test_a_forced_stop_of_what_is_stopping_ends_no_later_machine(
    svc: Services, host: FailingHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = launched(svc)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        call(svc, "StopInstances", InstanceIds=[made])
    svc.jobs.launch()
    begun = stop_instance.end_now

    def late(also: Services, instance_id: InstanceId) -> None:
        stop_instance.resume(also)
        call(also, "StartInstances", InstanceIds=[instance_id])
        begun(also, instance_id)

    monkeypatch.setattr(stop_instance, "end_now", late)
    call(svc, "StopInstances", InstanceIds=[made], Force=True)
    assert state(svc, made) == "running"
    assert made in host.machines


def test_a_stop_that_runs_again_after_its_time_ends_no_later_machine(
    svc: Services, host: FailingHypervisor
) -> None:
    made = launched(svc)
    call(svc, "StopInstances", InstanceIds=[made])
    args = {"instance_id": made, "transitions": transitions(svc, made) - 1, "force": True}
    call(svc, "StartInstances", InstanceIds=[made])
    for _, step in stop_instance.job(svc).steps:
        step(args)
    assert state(svc, made) == "running"
    assert made in host.machines


def test_the_end_of_a_machine_that_is_rebooted_waits_for_nobody(
    svc: Services, host: FailingHypervisor
) -> None:
    made = launched(svc)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        call(svc, "RebootInstances", InstanceIds=[made])
    host.machines.clear()
    news = threading.Thread(
        target=instances.machine_ended, args=(svc, InstanceId(made), "shutdown (host-qmp)")
    )
    with svc.locks(made):  # as a cold copy holds it
        news.start()
        news.join(60)
        waited = news.is_alive()
    news.join()
    assert not waited
    assert state(svc, made) == "running"


def test_a_machine_that_ends_as_soon_as_it_is_back_stops_its_instance(
    svc: Services, host: FailingHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = launched(svc)
    real = host.start

    def dies_at_once(machine: Machine) -> None:
        real(machine)
        host.machines.clear()
        instances.machine_ended(svc, InstanceId(made), "killed by signal 9")

    monkeypatch.setattr(host, "start", dies_at_once)
    call(svc, "RebootInstances", InstanceIds=[made])
    assert state(svc, made) == InstanceState.STOPPED
