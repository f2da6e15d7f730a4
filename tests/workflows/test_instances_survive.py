"""Launch, start, stop, reboot and end of an instance, with the power cut at every moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openami.catalog import instances
from openami.compute.driver import MachineState
from openami.domain.instance import Instance, InstanceState
from openami.services import Services
from support.builders import IMAGE
from support.calls import add_image, call, launched
from support.crash import assert_survives

S = InstanceState
DATA_DISK = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}


def _everything(svc: Services) -> list[Instance]:
    with svc.catalog.read() as tx:
        return instances.in_state(tx, *S)


def _launch(svc: Services) -> object:
    return call(
        *(svc, "RunInstances"),
        ImageId=IMAGE,
        MinCount=2,
        MaxCount=2,
        InstanceType="m5d.large",
        BlockDeviceMappings=[DATA_DISK, {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}],
    )


def _consistent(svc: Services) -> None:
    """What must hold at rest: machines, volumes and places are those of the instances."""
    for each in _everything(svc):
        running = svc.compute.state(each.id) is MachineState.RUNNING
        assert running == (each.state is S.RUNNING)
        assert (each.port_number is None) == (each.state is S.TERMINATED)
        assert each.rebooting_for is None
    kept = {each["VolumeId"] for each in call(svc, "DescribeVolumes")["Volumes"]}
    assert set(svc.volumes.list()) == kept
    homes = svc.settings.state_dir / "ephemeral"
    blank = {home.name for home in homes.iterdir()} if homes.exists() else set[str]()
    assert blank == {each.id for each in _everything(svc) if each.state is S.RUNNING}


def _nothing_to_check(_: Services) -> None: ...


def test_a_launch_is_whole_or_was_never_asked_for(tmp_path: Path) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        add_image(svc)
        return lambda: _launch(svc)

    def check(svc: Services) -> None:
        states = [each.state for each in _everything(svc)]
        assert states in ([], [S.RUNNING, S.RUNNING])
        _consistent(svc)

    assert assert_survives(tmp_path, begin, _nothing_to_check, check) >= 8


@pytest.mark.parametrize(
    ("operation", "before", "after", "moments"),
    [
        ("StopInstances", S.RUNNING, S.STOPPED, 4),
        ("StartInstances", S.STOPPED, S.RUNNING, 4),
        ("TerminateInstances", S.RUNNING, S.TERMINATED, 4),
        ("TerminateInstances", S.STOPPED, S.TERMINATED, 4),
        ("RebootInstances", S.RUNNING, S.RUNNING, 4),
    ],
)
def test_a_move_is_made_or_was_never_asked_for(
    tmp_path: Path, operation: str, before: InstanceState, after: InstanceState, moments: int
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        add_image(svc)
        devices = [DATA_DISK, {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}]
        made = launched(svc, InstanceType="m5d.large", BlockDeviceMappings=devices)
        if before is S.STOPPED:
            call(svc, "StopInstances", InstanceIds=[made])
        return lambda: call(svc, operation, InstanceIds=[made])

    def check(svc: Services) -> None:
        (made,) = _everything(svc)
        assert made.state in (before, after)
        _consistent(svc)

    assert assert_survives(tmp_path, begin, _nothing_to_check, check) >= moments
