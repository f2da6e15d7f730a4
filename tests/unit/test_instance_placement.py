"""Where an instance is, and what may be done to it for the sake of the place."""

from pathlib import Path
from typing import Any

import pytest

from openami.services import Services
from support.asking import a_bootable_image, a_running_instance, ask, filtered, refused
from support.builders import BOB
from support.calls import instance
from support.fakes import services


def with_instance(tmp_path: Path, **request: Any) -> tuple[Services, str]:
    svc = services(tmp_path)
    a_bootable_image(svc)
    return svc, a_running_instance(svc, **request)


def test_maintenance_options_are_kept_each_by_itself(tmp_path: Path) -> None:
    svc, made = with_instance(tmp_path)
    name = "ModifyInstanceMaintenanceOptions"
    assert ask(svc, name, InstanceId=made, AutoRecovery="disabled") == {
        "InstanceId": made,
        "AutoRecovery": "disabled",
        "RebootMigration": "default",
    }
    ask(svc, name, InstanceId=made, RebootMigration="disabled")
    assert instance(svc, made)["MaintenanceOptions"] == {
        "AutoRecovery": "disabled",
        "RebootMigration": "disabled",
    }
    with refused("MissingParameter"):
        ask(svc, name, InstanceId=made)
    with refused("InvalidParameterValue"):
        ask(svc, name, InstanceId=made, AutoRecovery="enabled")
    ask(svc, "TerminateInstances", InstanceIds=[made])
    with refused("IncorrectInstanceState"):
        ask(svc, name, InstanceId=made, AutoRecovery="default")


def test_a_launch_may_say_that_there_is_no_recovery(tmp_path: Path) -> None:
    svc, made = with_instance(tmp_path, MaintenanceOptions={"AutoRecovery": "disabled"})
    assert instance(svc, made)["MaintenanceOptions"]["AutoRecovery"] == "disabled"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "InvalidParameterCombination"),
        ({"Tenancy": "dedicated"}, "UnsupportedOperation"),
        ({"Affinity": "host"}, "UnsupportedOperation"),
        ({"HostId": "h-0123456789abcdef0"}, "UnsupportedOperation"),
        ({"GroupName": "cluster"}, "InvalidPlacementGroup.Unknown"),
    ],
)
def test_a_place_that_there_is_not_is_refused(
    tmp_path: Path, asked: dict[str, Any], code: str
) -> None:
    svc, made = with_instance(tmp_path)
    ask(svc, "StopInstances", InstanceIds=[made], Force=True)
    with refused(code):
        ask(svc, "ModifyInstancePlacement", InstanceId=made, **asked)


def test_tenancy_and_group_are_of_a_stopped_instance(tmp_path: Path) -> None:
    svc, made = with_instance(tmp_path)
    name = "ModifyInstancePlacement"
    assert ask(svc, name, InstanceId=made, Affinity="default") == {"Return": True}
    for asked in ({"Tenancy": "default"}, {"GroupName": ""}):
        with refused("IncorrectInstanceState"):
            ask(svc, name, InstanceId=made, **asked)
    ask(svc, "StopInstances", InstanceIds=[made], Force=True)
    assert ask(svc, name, InstanceId=made, Tenancy="default") == {"Return": True}
    assert ask(svc, name, InstanceId=made, GroupName="") == {"Return": True}


def test_the_topology_of_ones_instances_has_no_nodes(tmp_path: Path) -> None:
    svc, first = with_instance(tmp_path)
    second = a_running_instance(svc, InstanceType="t3.small")
    told = ask(svc, "DescribeInstanceTopology")["Instances"]
    assert [each["InstanceId"] for each in told] == sorted([first, second])
    assert [each["NetworkNodes"] for each in told] == [[], []]
    small = ask(svc, "DescribeInstanceTopology", Filters=filtered("instance-type", "*.small"))
    assert [each["InstanceId"] for each in small["Instances"]] == [second]
    assert small["Instances"][0]["ZoneId"].startswith("use1-az")
    assert ask(svc, "DescribeInstanceTopology", BOB)["Instances"] == []
    with refused("InvalidInstanceID.NotFound"):
        ask(svc, "DescribeInstanceTopology", BOB, InstanceIds=[first])


def test_the_topology_comes_in_pages(tmp_path: Path) -> None:
    svc, first = with_instance(tmp_path)
    second = a_running_instance(svc)
    page = ask(svc, "DescribeInstanceTopology", MaxResults=1)
    rest = ask(svc, "DescribeInstanceTopology", MaxResults=1, NextToken=page["NextToken"])
    seen = [each["InstanceId"] for each in (*page["Instances"], *rest["Instances"])]
    assert seen == sorted([first, second])
    assert "NextToken" not in rest
