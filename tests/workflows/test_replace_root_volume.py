"""The replacement of a root volume under a power cut at every moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openami.catalog import instances
from openami.compute.driver import MachineState
from openami.domain.ids import InstanceId
from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask
from support.crash import assert_survives
from support.disk_contents import volume_blocks, write_volume


def the_instance(svc: Services) -> dict[str, Any]:
    (reservation,) = ask(svc, "DescribeInstances")["Reservations"]
    (told,) = reservation["Instances"]
    return dict(told)


def root_content(svc: Services) -> dict[int, str]:
    """Of the one volume that is the root; there is always one."""
    (device,) = the_instance(svc)["BlockDeviceMappings"]
    assert device["DeviceName"] == "/dev/xvda"
    return volume_blocks(svc, device["Ebs"]["VolumeId"])


def the_root_is_the_old_or_the_new_one(svc: Services) -> None:
    assert root_content(svc) in ({5: "x"}, {})


def the_new_root_runs(svc: Services) -> None:
    tasks = ask(svc, "DescribeReplaceRootVolumeTasks")["ReplaceRootVolumeTasks"]
    assert [each["TaskState"] for each in tasks] in ([], ["succeeded"])
    assert root_content(svc) == ({} if tasks else {5: "x"})
    told = the_instance(svc)
    instance_id = InstanceId(told["InstanceId"])
    assert told["State"]["Name"] == "running"
    assert svc.compute.state(instance_id) is MachineState.RUNNING
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
    assert instance is not None
    assert instance.rebooting_for is None
    kept = {each["VolumeId"] for each in ask(svc, "DescribeVolumes")["Volumes"]}
    assert set(svc.volumes.list()) == kept, "no disk without a record"


@pytest.mark.parametrize("deletes", [False, True])
def test_a_root_is_replaced_through_a_power_cut_at_any_moment(
    tmp_path: Path, deletes: bool
) -> None:
    def begin(svc: Services) -> Callable[[], object]:
        a_bootable_image(svc)
        instance_id = a_running_instance(svc)
        (volume,) = ask(svc, "DescribeVolumes")["Volumes"]
        write_volume(svc, volume["VolumeId"], 5, "x")
        given = {"InstanceId": instance_id, "DeleteReplacedRootVolume": deletes}
        return lambda: ask(svc, "CreateReplaceRootVolumeTask", **given)

    moments = assert_survives(
        tmp_path, begin, the_root_is_the_old_or_the_new_one, the_new_root_runs
    )
    assert moments > 12
