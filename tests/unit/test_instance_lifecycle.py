"""Start, stop, reboot, terminate, and what the host says of machines."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from openami.actions import instances
from openami.domain.ids import InstanceId
from openami.jobs.engine import NotRunning
from openami.services import Services
from openami.settings import Settings
from openami.workflows import machines, reboot_instance, stop_instance, terminate_instance
from support.builders import ROOT_DEVICE
from support.calls import add_image, call, instance, launched, refused, state
from support.fakes import StoppedClock, services
from support.hypervisor import ScriptedHypervisor


@pytest.fixture
def host() -> ScriptedHypervisor:
    return ScriptedHypervisor()


@pytest.fixture
def svc(tmp_path: Path, host: ScriptedHypervisor) -> Iterator[Services]:
    settings = Settings(state_dir=tmp_path, compute_driver="record", stop_timeout_s=0.05)
    made = services(tmp_path, compute=host, settings=settings)
    add_image(made)
    yield made
    made.catalog.close()


def _change(svc: Services, operation: str, instance_id: str, **more: Any) -> tuple[str, str]:
    answer = call(svc, operation, InstanceIds=[instance_id], **more)
    (changes,) = answer.values()
    (change,) = changes
    return str(change["PreviousState"]["Name"]), str(change["CurrentState"]["Name"])


def test_a_stop_asks_the_guest_and_a_start_brings_it_back(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = launched(svc)
    assert _change(svc, "StopInstances", made) == ("running", "stopping")
    stopped = instance(svc, made)
    assert stopped["State"]["Name"] == "stopped"
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert stopped["StateTransitionReason"] == "User initiated (2024-01-01 00:00:00 GMT)"
    assert _change(svc, "StartInstances", made) == ("stopped", "pending")
    started = instance(svc, made)
    assert started["State"]["Name"] == "running"
    assert started["StateReason"] is None
    assert started["StateTransitionReason"] == ""
    assert host.log == [f"start {made}", f"press {made}", f"start {made}"]


def test_a_stopped_instance_has_its_private_address_and_no_public_one(svc: Services) -> None:
    made = launched(svc)
    before = instance(svc, made)
    call(svc, "StopInstances", InstanceIds=[made])
    stopped = instance(svc, made)
    assert stopped["PublicIpAddress"] is None
    assert stopped["PrivateIpAddress"] == before["PrivateIpAddress"]
    call(svc, "StartInstances", InstanceIds=[made])
    assert instance(svc, made)["PublicIpAddress"] is not None


def test_a_deaf_guest_is_ended_after_its_time(svc: Services, host: ScriptedHypervisor) -> None:
    made = launched(svc)
    host.deaf = True
    call(svc, "StopInstances", InstanceIds=[made])
    assert state(svc, made) == "stopped"
    assert host.log[-1] == f"kill {made}"


def test_a_termination_does_not_wait_long_for_a_guest_that_waits_for_its_disk(
    tmp_path: Path, host: ScriptedHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be asked to shut down for years, since a volume of it is kept."""
    monkeypatch.setattr(terminate_instance, "STALLED_TIMEOUT_S", 0.0)
    settings = Settings(state_dir=tmp_path, compute_driver="record", stop_timeout_s=1e9)
    svc = services(tmp_path, compute=host, settings=settings)
    add_image(svc)
    kept = {"DeviceName": ROOT_DEVICE, "Ebs": {"DeleteOnTermination": False}}
    made = launched(svc, BlockDeviceMappings=[kept])
    host.deaf, host.without_disk = True, {InstanceId(made)}
    call(svc, "TerminateInstances", InstanceIds=[made])
    assert state(svc, made) == "terminated"
    assert f"kill {made}" in host.log
    svc.catalog.close()


class Time:
    """Goes on while a machine is waited for. Its disk fails once, after 40 s."""

    def __init__(self, host: ScriptedHypervisor, instance_id: InstanceId) -> None:
        self._host, self._instance_id, self._now_s = host, instance_id, 0.0

    def monotonic(self) -> float:
        return self._now_s

    def passes(self, _instance_id: InstanceId, timeout_s: float) -> bool:
        self._now_s += timeout_s
        self._host.without_disk = {self._instance_id} if 40 <= self._now_s <= 55 else set()
        return self._now_s >= 100


def test_a_guest_whose_disk_failed_once_has_all_its_time_to_shut_down(
    svc: Services, host: ScriptedHypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has not written yet may be for a volume that is kept."""
    its_id = InstanceId(launched(svc))
    host.deaf = True
    time = Time(host, its_id)
    monkeypatch.setattr(machines, "time", time)
    monkeypatch.setattr(host, "wait_absent", time.passes)
    machines.shut_down(svc, its_id, 120, terminate_instance.STALLED_TIMEOUT_S)
    assert f"kill {its_id}" not in host.log


def test_a_forced_stop_does_not_ask_the_guest(svc: Services, host: ScriptedHypervisor) -> None:
    made = launched(svc)
    call(svc, "StopInstances", InstanceIds=[made], Force=True)
    assert state(svc, made) == "stopped"
    assert f"press {made}" not in host.log


def test_stopping_and_starting_twice_changes_nothing(svc: Services) -> None:
    made = launched(svc)
    assert _change(svc, "StartInstances", made) == ("running", "running")
    call(svc, "StopInstances", InstanceIds=[made])
    assert _change(svc, "StopInstances", made) == ("stopped", "stopped")
    call(svc, "TerminateInstances", InstanceIds=[made])
    assert _change(svc, "TerminateInstances", made) == ("terminated", "terminated")


def test_what_is_terminated_can_only_be_looked_at(svc: Services) -> None:
    made = launched(svc)
    call(svc, "TerminateInstances", InstanceIds=[made])
    for operation in ("StartInstances", "StopInstances", "RebootInstances"):
        assert refused(svc, operation, InstanceIds=[made]) == "IncorrectInstanceState"
    found = instance(svc, made)
    assert found["State"] == {"Code": 48, "Name": "terminated"}
    assert found["NetworkInterfaces"] == found["BlockDeviceMappings"] == []
    assert "PrivateIpAddress" not in found


def test_a_start_that_fails_leaves_it_stopped_with_a_reason(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = launched(svc)
    call(svc, "StopInstances", InstanceIds=[made])
    host.refuses = {1}
    call(svc, "StartInstances", InstanceIds=[made])
    found = instance(svc, made)
    assert found["State"]["Name"] == "stopped"
    assert found["StateReason"]["Message"] == "Server.InternalError: Internal error on launch"
    host.refuses = set()
    call(svc, "StartInstances", InstanceIds=[made])
    assert state(svc, made) == "running"


def test_one_unknown_id_stops_none(svc: Services) -> None:
    made = launched(svc)
    ids = [made, "i-0000000000000000f"]
    assert refused(svc, "StopInstances", InstanceIds=ids) == "InvalidInstanceID.NotFound"
    assert state(svc, made) == "running"


def test_termination_protection_protects_the_whole_request(svc: Services) -> None:
    plain, protected = launched(svc), launched(svc, DisableApiTermination=True)
    ids = [plain, protected]
    assert refused(svc, "TerminateInstances", InstanceIds=ids) == "OperationNotPermitted"
    assert state(svc, plain) == "running"
    call(
        *(svc, "ModifyInstanceAttribute"),
        InstanceId=protected,
        DisableApiTermination={"Value": False},
    )
    call(svc, "TerminateInstances", InstanceIds=ids)
    assert state(svc, protected) == "terminated"


def test_stop_protection_holds_against_a_stop(svc: Services) -> None:
    made = launched(svc, DisableApiStop=True)
    assert refused(svc, "StopInstances", InstanceIds=[made]) == "OperationNotPermitted"


def test_termination_takes_the_volumes_that_go_with_it_and_keeps_the_others(
    svc: Services, host: ScriptedHypervisor
) -> None:
    devices = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2}}]
    made = launched(svc, BlockDeviceMappings=devices)
    call(svc, "TerminateInstances", InstanceIds=[made])
    (kept,) = call(svc, "DescribeVolumes")["Volumes"]
    assert (kept["Size"], kept["State"], kept["Attachments"]) == (2, "available", [])
    assert list(svc.volumes.list()) == [kept["VolumeId"]]
    assert f"press {made}" in host.log  # it may write what it cached for the kept one


def test_termination_ends_a_guest_at_once_when_nothing_of_it_is_kept(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = launched(svc)
    call(svc, "TerminateInstances", InstanceIds=[made])
    assert host.log == [f"start {made}", f"forget {made}"]


def test_instance_store_disks_are_blank_after_a_stop_and_not_after_a_reboot(
    svc: Services, host: ScriptedHypervisor
) -> None:
    devices = [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}]
    made = launched(svc, InstanceType="m5d.large", BlockDeviceMappings=devices)
    disk = host.machines[made].disks[1].overlay
    disk.write_bytes(b"written by the guest")
    call(svc, "RebootInstances", InstanceIds=[made])
    assert disk.read_bytes() == b"written by the guest"
    call(svc, "StopInstances", InstanceIds=[made])
    assert not disk.exists()
    call(svc, "StartInstances", InstanceIds=[made])
    assert disk.read_bytes() != b"written by the guest"
    call(svc, "TerminateInstances", InstanceIds=[made])
    assert not disk.parent.exists()


def test_a_reboot_shuts_the_guest_down_and_the_instance_stays_running(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = launched(svc)
    before = instance(svc, made)
    call(svc, "RebootInstances", InstanceIds=[made])
    assert host.log == [f"start {made}", f"press {made}", f"start {made}"]
    assert instance(svc, made) == before
    call(svc, "RebootInstances", InstanceIds=[made])
    assert host.log.count(f"start {made}") == 3


def test_a_reboot_that_does_not_come_back_is_a_stop_with_a_reason(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = launched(svc)
    host.refuses = {1}
    call(svc, "RebootInstances", InstanceIds=[made])
    found = instance(svc, made)
    assert found["State"]["Name"] == "stopped"
    assert found["StateReason"]["Code"] == "Server.InternalError"


@pytest.mark.parametrize(
    ("behavior", "becomes", "volumes"), [("stop", "stopped", 1), ("terminate", "terminated", 0)]
)
def test_a_guest_that_shuts_down_ends_as_its_launch_said(
    svc: Services, host: ScriptedHypervisor, behavior: str, becomes: str, volumes: int
) -> None:
    made = launched(svc, InstanceInitiatedShutdownBehavior=behavior)
    host.machines.clear()
    instances.machine_ended(svc, made, "shutdown (guest-shutdown)")
    found = instance(svc, made)
    assert found["State"]["Name"] == becomes
    assert found["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert len(list(svc.volumes.list())) == volumes


def test_a_machine_that_was_killed_stops_its_instance_whatever_the_launch_said(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = launched(svc, InstanceInitiatedShutdownBehavior="terminate")
    host.machines.clear()
    instances.machine_ended(svc, made, "was killed by signal 9")
    found = instance(svc, made)
    assert found["State"]["Name"] == "stopped"
    told = found["StateReason"]["Message"]
    assert told == "Server.InternalError: The instance ended unexpectedly"


def test_late_news_of_an_earlier_machine_ends_nothing(svc: Services) -> None:
    made = launched(svc)
    instances.machine_ended(svc, made, "shutdown (guest-shutdown)")
    assert state(svc, made) == "running"


def test_the_server_starts_again_and_stops_what_lost_its_machine(
    svc: Services, host: ScriptedHypervisor
) -> None:
    alive, lost, stopped = launched(svc), launched(svc), launched(svc)
    call(svc, "StopInstances", InstanceIds=[stopped])
    del host.machines[lost]  # pyright: ignore[reportArgumentType]
    svc.jobs.close()
    instances.adopt(svc)
    assert state(svc, lost) == "stopping"
    svc.jobs.launch()
    stop_instance.resume(svc)
    assert [state(svc, each) for each in (alive, lost, stopped)] == [
        "running",
        "stopped",
        "stopped",
    ]


def test_a_reboot_that_a_crash_interrupted_goes_on(svc: Services, host: ScriptedHypervisor) -> None:
    made = launched(svc)
    svc.jobs.close()
    with pytest.raises(NotRunning):
        call(svc, "RebootInstances", InstanceIds=[made])
    host.machines.clear()
    instances.adopt(svc)
    svc.jobs.launch()
    reboot_instance.resume(svc)
    assert state(svc, made) == "running"
    assert made in host.machines


def test_a_terminated_instance_is_shown_for_an_hour(svc: Services) -> None:
    made = launched(
        svc, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}]
    )
    call(svc, "TerminateInstances", InstanceIds=[made])
    instances.purge(svc)
    assert state(svc, made) == "terminated"
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(hours=1, seconds=1))
    instances.purge(svc)
    assert refused(svc, "DescribeInstances", InstanceIds=[made]) == "InvalidInstanceID.NotFound"
    assert call(svc, "DescribeTags")["Tags"] == []
    assert not (svc.settings.state_dir / "consoles" / made).exists()


def test_the_console_is_read_also_when_the_instance_is_gone(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = launched(svc)
    told = call(svc, "GetConsoleOutput", InstanceId=made, Latest=True)
    assert told["Output"] == "WyAgICAwLjAwMDAwMF0gTGludXgK"
    call(svc, "TerminateInstances", InstanceIds=[made])
    host.ports.clear()
    assert call(svc, "GetConsoleOutput", InstanceId=made)["Output"] == told["Output"]


def test_a_screen_is_shown_of_a_running_instance_only(svc: Services) -> None:
    made = launched(svc)
    assert call(svc, "GetConsoleScreenshot", InstanceId=made)["ImageData"].startswith("/9h")
    call(svc, "StopInstances", InstanceIds=[made])
    assert refused(svc, "GetConsoleScreenshot", InstanceId=made) == "IncorrectInstanceState"


def test_a_status_is_ok_when_the_guest_has_answered(
    svc: Services, host: ScriptedHypervisor
) -> None:
    up, silent, stopped = launched(svc), launched(svc), launched(svc)
    call(svc, "StopInstances", InstanceIds=[stopped])
    host.up.add(up)  # pyright: ignore[reportArgumentType]
    assert _statuses(svc) == {up: "ok", silent: "initializing"}
    assert isinstance(svc.clock, StoppedClock)
    svc.clock.advance(timedelta(minutes=11))
    assert _statuses(svc) == {up: "ok", silent: "impaired"}
    assert _statuses(svc, IncludeAllInstances=True)[stopped] == "not-applicable"
    impaired = [{"Name": "instance-status.status", "Values": ["impaired"]}]
    assert _statuses(svc, Filters=impaired) == {silent: "impaired"}


def _statuses(svc: Services, **asked: Any) -> dict[str, str]:
    found = call(svc, "DescribeInstanceStatus", **asked)["InstanceStatuses"]
    return {each["InstanceId"]: each["InstanceStatus"]["Status"] for each in found}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instance-state-name", "running"),
        ("instance-state-code", "16"),
        ("image-id", "ami-*1"),
        ("instance-type", "m5d.*"),
        ("tag:Name", "web"),
        ("tag-key", "Name"),
        ("private-ip-address", "10.112.0.4"),
        ("ip-address", "127.100.0.1"),
        ("private-dns-name", "ip-10-112-0-4.ec2.internal"),
        ("availability-zone", "us-east-1a"),
        ("root-device-name", ROOT_DEVICE),
        ("block-device-mapping.device-name", ROOT_DEVICE),
        ("block-device-mapping.delete-on-termination", "true"),
        ("instance.group-name", "default"),
        ("network-interface.private-dns-name", "ip-10-112-0-4*"),
        ("network-interface.addresses.private-ip-address", "10.112.0.4"),
        ("launch-time", "2024-01-01T00:00:00.000Z"),
        ("monitoring-state", "disabled"),
        ("metadata-options.http-tokens", "optional"),
        ("client-token", "t1"),
        ("architecture", "x86_64"),
    ],
)
def test_a_filter_finds_what_it_names_and_nothing_else(
    svc: Services, name: str, value: str
) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}]
    made = launched(svc, InstanceType="m5d.large", TagSpecifications=tags, ClientToken="t1")
    found = call(svc, "DescribeInstances", Filters=[{"Name": name, "Values": [value]}])
    assert [each["InstanceId"] for each in found["Reservations"][0]["Instances"]] == [made]
    none = call(svc, "DescribeInstances", Filters=[{"Name": name, "Values": ["nothing"]}])
    assert none["Reservations"] == []


def test_an_unknown_filter_is_refused(svc: Services) -> None:
    filters = [{"Name": "color", "Values": ["red"]}]
    assert refused(svc, "DescribeInstances", Filters=filters) == "InvalidParameterValue"
    assert refused(svc, "DescribeInstanceStatus", Filters=filters) == "InvalidParameterValue"


def test_instances_are_told_in_pages(svc: Services) -> None:
    made = {launched(svc) for _ in range(7)}
    first = call(svc, "DescribeInstances", MaxResults=5)
    rest = call(svc, "DescribeInstances", MaxResults=5, NextToken=first["NextToken"])
    told = [
        each["InstanceId"]
        for page in (first, rest)
        for reservation in page["Reservations"]
        for each in reservation["Instances"]
    ]
    assert len(told) == 7
    assert set(told) == made
    assert "NextToken" not in rest
