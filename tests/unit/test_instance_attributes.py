"""What of an instance can be read and changed one at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openami.services import Services
from support.builders import ROOT_DEVICE
from support.calls import add_image, call, instance, launched, refused
from support.fakes import services
from support.hypervisor import ScriptedHypervisor


@pytest.fixture
def host() -> ScriptedHypervisor:
    return ScriptedHypervisor()


@pytest.fixture
def svc(tmp_path: Path, host: ScriptedHypervisor) -> Iterator[Services]:
    made = services(tmp_path, compute=host)
    add_image(made)
    yield made
    made.catalog.close()


def _read(svc: Services, instance_id: str, name: str) -> Any:
    return call(svc, "DescribeInstanceAttribute", InstanceId=instance_id, Attribute=name)


def _modify(svc: Services, instance_id: str, **change: Any) -> None:
    call(svc, "ModifyInstanceAttribute", InstanceId=instance_id, **change)


@pytest.mark.parametrize(
    ("attribute", "member", "before", "after", "stopped_only"),
    [
        ("instanceType", "InstanceType", "t3.micro", "t3.small", True),
        ("ebsOptimized", "EbsOptimized", False, True, True),
        ("enaSupport", "EnaSupport", False, True, True),
        ("disableApiTermination", "DisableApiTermination", False, True, False),
        ("disableApiStop", "DisableApiStop", False, True, False),
        ("sourceDestCheck", "SourceDestCheck", True, False, False),
        (
            "instanceInitiatedShutdownBehavior",
            "InstanceInitiatedShutdownBehavior",
            "stop",
            "terminate",
            False,
        ),
    ],
)
def test_an_attribute_is_read_and_changed(
    svc: Services, attribute: str, member: str, before: Any, after: Any, stopped_only: bool
) -> None:
    made = launched(svc)
    assert _read(svc, made, attribute)[member] == {"Value": before}
    change = {member: {"Value": after}}
    if stopped_only:
        code = refused(svc, "ModifyInstanceAttribute", InstanceId=made, **change)
        assert code == "IncorrectInstanceState"
        call(svc, "StopInstances", InstanceIds=[made])
    _modify(svc, made, **change)
    assert _read(svc, made, attribute)[member] == {"Value": after}


def test_a_changed_type_is_what_the_machine_gets(svc: Services, host: ScriptedHypervisor) -> None:
    made = launched(svc)
    call(svc, "StopInstances", InstanceIds=[made])
    _modify(svc, made, Attribute="instanceType", Value="m5.large")
    call(svc, "StartInstances", InstanceIds=[made])
    assert (host.machines[made].vcpus, host.machines[made].memory_mib) == (2, 8192)


def test_user_data_is_changed_while_stopped_and_can_be_taken_away(svc: Services) -> None:
    made = launched(svc, UserData="aGVsbG8=")
    assert _read(svc, made, "userData")["UserData"] == {"Value": "aGVsbG8="}
    call(svc, "StopInstances", InstanceIds=[made])
    _modify(svc, made, UserData={"Value": b"other"})
    assert _read(svc, made, "userData")["UserData"] == {"Value": "b3RoZXI="}
    _modify(svc, made, UserData={"Value": b""})
    assert _read(svc, made, "userData")["UserData"] == {}


def test_the_fate_of_a_volume_can_be_changed(svc: Services) -> None:
    made = launched(svc)
    keep = [{"DeviceName": ROOT_DEVICE, "Ebs": {"DeleteOnTermination": False}}]
    _modify(svc, made, BlockDeviceMappings=keep)
    (told,) = _read(svc, made, "blockDeviceMapping")["BlockDeviceMappings"]
    assert told["Ebs"]["DeleteOnTermination"] is False
    call(svc, "TerminateInstances", InstanceIds=[made])
    assert call(svc, "DescribeVolumes")["Volumes"][0]["State"] == "available"


def test_metadata_options_are_changed_one_by_one(svc: Services) -> None:
    made = launched(svc)
    told = call(svc, "ModifyInstanceMetadataOptions", InstanceId=made, HttpTokens="required")
    assert told["InstanceMetadataOptions"]["HttpTokens"] == "required"
    call(svc, "ModifyInstanceMetadataOptions", InstanceId=made, HttpPutResponseHopLimit=3)
    options = instance(svc, made)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 3)


def test_credits_are_told_of_burstable_instances(svc: Services) -> None:
    made, plain = launched(svc), launched(svc, InstanceType="t2.micro")
    told = call(svc, "DescribeInstanceCreditSpecifications", InstanceIds=[plain, made])
    kinds = {
        each["InstanceId"]: each["CpuCredits"] for each in told["InstanceCreditSpecifications"]
    }
    assert kinds == {made: "unlimited", plain: "standard"}
    every = call(svc, "DescribeInstanceCreditSpecifications")["InstanceCreditSpecifications"]
    assert [each["InstanceId"] for each in every] == [made]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "InvalidParameterCombination"),
        (
            {"DisableApiStop": {"Value": True}, "SourceDestCheck": {"Value": True}},
            "InvalidParameterCombination",
        ),
        ({"Attribute": "disableApiStop"}, "MissingParameter"),
        ({"Attribute": "kernel", "Value": "x"}, "InvalidParameterCombination"),
        ({"Attribute": "disableApiStop", "Value": "maybe"}, "InvalidParameterValue"),
        (
            {
                "BlockDeviceMappings": [
                    {"DeviceName": "/dev/sdz", "Ebs": {"DeleteOnTermination": True}}
                ]
            },
            "InvalidInstanceAttributeValue",
        ),
        ({"Groups": ["sg-0000000000000000f"]}, "InvalidGroup.NotFound"),
        ({"InstanceInitiatedShutdownBehavior": {"Value": "x"}}, "InvalidParameterValue"),
    ],
)
def test_a_bad_change_is_refused(svc: Services, change: dict[str, Any], code: str) -> None:
    made = launched(svc)
    assert refused(svc, "ModifyInstanceAttribute", InstanceId=made, **change) == code


def test_an_unknown_attribute_is_refused(svc: Services) -> None:
    made = launched(svc)
    asked = {"InstanceId": made, "Attribute": "color"}
    assert refused(svc, "DescribeInstanceAttribute", **asked) == "InvalidParameterValue"
