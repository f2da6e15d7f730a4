"""The processors that an instance has of its type, and its CPU credits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openami.services import Services
from support.builders import BOB, a_caller
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


def stopped(svc: Services, **request: Any) -> str:
    made = launched(svc, **request)
    call(svc, "StopInstances", InstanceIds=[made], Force=True)
    return made


def modify(svc: Services, instance_id: str, **options: Any) -> Any:
    return call(svc, "ModifyInstanceCpuOptions", InstanceId=instance_id, **options)


def vcpus(host: ScriptedHypervisor, instance_id: str) -> int:
    return next(each.vcpus for each in host.machines.values() if each.instance_id == instance_id)


def test_a_machine_has_the_cores_and_threads_that_its_launch_chose(
    svc: Services, host: ScriptedHypervisor
) -> None:
    chosen = {"CoreCount": 2, "ThreadsPerCore": 1}
    made = launched(svc, InstanceType="m5.2xlarge", CpuOptions=chosen)
    assert instance(svc, made)["CpuOptions"] == chosen
    assert vcpus(host, made) == 2
    other = launched(svc, InstanceType="m5.2xlarge")
    assert instance(svc, other)["CpuOptions"] == {"CoreCount": 4, "ThreadsPerCore": 2}
    assert vcpus(host, other) == 8


def test_the_processors_of_a_stopped_instance_change_with_its_next_start(
    svc: Services, host: ScriptedHypervisor
) -> None:
    made = stopped(svc, InstanceType="m5.2xlarge")
    assert modify(svc, made, CoreCount=2)["ThreadsPerCore"] == 2
    assert modify(svc, made, ThreadsPerCore=1)["CoreCount"] == 2
    call(svc, "StartInstances", InstanceIds=[made])
    assert vcpus(host, made) == 2
    assert refused(svc, "ModifyInstanceCpuOptions", InstanceId=made, CoreCount=4) == (
        "IncorrectInstanceState"
    )


def test_another_type_gives_all_its_processors(svc: Services) -> None:
    made = stopped(svc, InstanceType="m5.2xlarge")
    modify(svc, made, CoreCount=2, ThreadsPerCore=1)
    call(svc, "ModifyInstanceAttribute", InstanceId=made, InstanceType={"Value": "m5.xlarge"})
    assert instance(svc, made)["CpuOptions"] == {"CoreCount": 2, "ThreadsPerCore": 2}


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("m5.2xlarge", {"CoreCount": 3}, "InvalidParameterValue"),
        ("m5.2xlarge", {"CoreCount": 6}, "InvalidParameterValue"),
        ("m5.2xlarge", {"CoreCount": 0}, "InvalidParameterValue"),
        ("m5.2xlarge", {"ThreadsPerCore": 3}, "InvalidParameterValue"),
        ("t2.small", {"CoreCount": 1}, "UnsupportedOperation"),
        ("m5.2xlarge", {"NestedVirtualization": "enabled"}, "UnsupportedOperation"),
        ("m5.2xlarge", {}, "MissingParameter"),
    ],
)
def test_processors_that_the_type_does_not_have_are_refused(
    svc: Services, kind: str, options: dict[str, Any], code: str
) -> None:
    made = stopped(svc, InstanceType=kind)
    before = instance(svc, made)["CpuOptions"]
    assert refused(svc, "ModifyInstanceCpuOptions", InstanceId=made, **options) == code
    assert instance(svc, made)["CpuOptions"] == before


def test_a_type_tells_the_processors_that_may_be_chosen(svc: Services) -> None:
    asked = ["m5.2xlarge", "t2.small", "t3.micro"]
    told = {
        each["InstanceType"]: (
            tuple(each["VCpuInfo"]["ValidCores"]),
            tuple(each["VCpuInfo"]["ValidThreadsPerCore"]),
        )
        for each in call(svc, "DescribeInstanceTypes", InstanceTypes=asked)["InstanceTypes"]
    }
    assert told == {
        "m5.2xlarge": ((2, 4), (1, 2)),
        "t2.small": ((1,), (1,)),
        "t3.micro": ((1,), (1, 2)),
    }


def test_a_template_of_an_instance_has_its_processors(svc: Services) -> None:
    chosen = {"CoreCount": 2, "ThreadsPerCore": 1}
    made = launched(svc, InstanceType="m5.2xlarge", CpuOptions=chosen)
    data = call(svc, "GetLaunchTemplateData", InstanceId=made)["LaunchTemplateData"]
    assert data["CpuOptions"] == chosen
    kept = call(svc, "CreateLaunchTemplate", LaunchTemplateName="twin", LaunchTemplateData=data)
    assert kept["LaunchTemplate"]["LaunchTemplateName"] == "twin"


def credit(instance_id: str, kind: str) -> dict[str, str]:
    return {"InstanceId": instance_id, "CpuCredits": kind}


def test_credits_change_for_those_that_have_some_and_the_others_are_told_why(
    svc: Services,
) -> None:
    burstable, fixed = launched(svc), launched(svc, InstanceType="m5.large")
    gone = launched(svc)
    call(svc, "TerminateInstances", InstanceIds=[gone])
    unknown, malformed = "i-0123456789abcdef0", "i-zz"
    ids = (burstable, fixed, gone, unknown, malformed)
    told = call(
        svc,
        "ModifyInstanceCreditSpecification",
        InstanceCreditSpecifications=[credit(each, "standard") for each in ids],
    )
    assert told["SuccessfulInstanceCreditSpecifications"] == [{"InstanceId": burstable}]
    reasons = {
        each["InstanceId"]: each["Error"]["Code"]
        for each in told["UnsuccessfulInstanceCreditSpecifications"]
    }
    assert reasons == {
        fixed: "InstanceCreditSpecification.NotSupported",
        gone: "IncorrectInstanceState",
        unknown: "InvalidInstanceID.NotFound",
        malformed: "InvalidInstanceID.Malformed",
    }
    (kept,) = call(svc, "DescribeInstanceCreditSpecifications", InstanceIds=[burstable])[
        "InstanceCreditSpecifications"
    ]
    assert kept == credit(burstable, "standard")


def test_credits_of_anothers_instance_stay(svc: Services) -> None:
    made = launched(svc)
    told = call(
        svc,
        "ModifyInstanceCreditSpecification",
        a_caller(BOB),
        InstanceCreditSpecifications=[credit(made, "standard")],
    )
    assert told["SuccessfulInstanceCreditSpecifications"] == []
    (kept,) = call(svc, "DescribeInstanceCreditSpecifications", InstanceIds=[made])[
        "InstanceCreditSpecifications"
    ]
    assert kept == credit(made, "unlimited")


def test_a_token_stands_for_one_change_of_credits(svc: Services) -> None:
    made = launched(svc)
    name = "ModifyInstanceCreditSpecification"
    asked = {"InstanceCreditSpecifications": [credit(made, "standard")], "ClientToken": "once"}
    assert call(svc, name, **asked) == call(svc, name, **asked)
    other = asked | {"InstanceCreditSpecifications": [credit(made, "unlimited")]}
    assert refused(svc, name, **other) == "IdempotentParameterMismatch"
    for wrong, code in (("free", "InvalidParameterValue"), ("", "MissingParameter")):
        entries = [credit(made, wrong)]
        assert refused(svc, name, InstanceCreditSpecifications=entries) == code
