"""Which instance types have what is required."""

from pathlib import Path
from typing import Any

import pytest

from openami.services import Services
from support.asking import ask, refused
from support.fakes import services

NAME = "GetInstanceTypesFromInstanceRequirements"
ANY = {"VCpuCount": {"Min": 0}, "MemoryMiB": {"Min": 0}}


def request(**but: Any) -> dict[str, Any]:
    return {
        "ArchitectureTypes": ["x86_64"],
        "VirtualizationTypes": ["hvm"],
        "InstanceRequirements": ANY | but,
    }


def found(svc: Services, **requirements: Any) -> set[str]:
    answer = ask(svc, NAME, **request(**requirements))
    return {each["InstanceType"] for each in answer["InstanceTypes"]}


@pytest.mark.parametrize(
    ("requirements", "types"),
    [
        (
            {"VCpuCount": {"Min": 8}, "AllowedInstanceTypes": ["m5*"]},
            {"m5.2xlarge", "m5a.2xlarge", "m5d.2xlarge"},
        ),
        (
            {"VCpuCount": {"Min": 2, "Max": 2}, "AllowedInstanceTypes": ["c5*.*"]},
            {"c5.large", "c5d.large"},
        ),
        ({"MemoryMiB": {"Min": 65536}}, {"r5.2xlarge", "r5d.2xlarge", "r6i.2xlarge"}),
        (
            {"MemoryGiBPerVCpu": {"Min": 7.5}, "VCpuCount": {"Min": 0, "Max": 2}},
            {"r5.large", "r5d.large", "r6i.large"},
        ),
        ({"CpuManufacturers": ["amd"]}, {"m5a.large", "m5a.xlarge", "m5a.2xlarge"}),
        (
            {"BurstablePerformance": "required", "MemoryMiB": {"Min": 0, "Max": 512}},
            {"t2.nano", "t3.nano", "t3a.nano"},
        ),
        ({"InstanceGenerations": ["previous"]}, {"m1.small"}),
        ({"LocalStorage": "required", "LocalStorageTypes": ["hdd"]}, {"m1.small"}),
        (
            {"LocalStorage": "required", "TotalLocalStorageGB": {"Min": 300}},
            {"m5d.2xlarge", "r5d.2xlarge"},
        ),
        ({"ExcludedInstanceTypes": ["*5*", "*6*"]}, {"m1.small"}),
        ({"BareMetal": "required"}, set()),
        ({"AcceleratorCount": {"Min": 1}}, set()),
        ({"AcceleratorTypes": ["gpu"]}, set()),
        ({"RequireHibernateSupport": True}, set()),
        ({"NetworkInterfaceCount": {"Min": 2}}, set()),
    ],
)
def test_types_have_all_that_is_required(
    tmp_path: Path, requirements: dict[str, Any], types: set[str]
) -> None:
    assert found(services(tmp_path), **requirements) == types


def test_burstable_types_are_left_out_unless_they_are_included(tmp_path: Path) -> None:
    svc = services(tmp_path)
    without, included = found(svc), found(svc, BurstablePerformance="included")
    assert without < included
    assert {name.partition(".")[0] for name in included - without} == {"t2", "t3", "t3a"}
    assert found(svc, AcceleratorCount={"Max": 0}) == without


def test_no_type_is_for_other_processors(tmp_path: Path) -> None:
    svc = services(tmp_path)
    for other in ({"ArchitectureTypes": ["arm64"]}, {"VirtualizationTypes": ["paravirtual"]}):
        assert ask(svc, NAME, **(request() | other))["InstanceTypes"] == []


def test_types_come_in_pages_by_name(tmp_path: Path) -> None:
    svc = services(tmp_path)
    seen: list[str] = []
    more: dict[str, Any] = {}
    while True:
        answer = ask(svc, NAME, **request(), MaxResults=7, **more)
        seen += [each["InstanceType"] for each in answer["InstanceTypes"]]
        if "NextToken" not in answer:
            break
        more = {"NextToken": answer["NextToken"]}
    assert seen == sorted(found(svc))


@pytest.mark.parametrize(
    ("requirements", "code"),
    [
        ({"VCpuCount": {}}, "MissingParameter"),
        ({"MemoryMiB": {"Max": 5}}, "MissingParameter"),
        ({"VCpuCount": {"Min": 4, "Max": 2}}, "InvalidParameterValue"),
        ({"VCpuCount": {"Min": -1}}, "InvalidParameterValue"),
        ({"BareMetal": "perhaps"}, "InvalidParameterValue"),
        ({"CpuManufacturers": ["zilog"]}, "InvalidParameterValue"),
        ({"AllowedInstanceTypes": ["m5 or so"]}, "InvalidParameterValue"),
        ({"AllowedInstanceTypes": ["m*"] * 401}, "InvalidParameterValue"),
        (
            {"AllowedInstanceTypes": ["m*"], "ExcludedInstanceTypes": ["m5*"]},
            "InvalidParameterCombination",
        ),
        ({"NetworkBandwidthGbps": {"Min": 1}}, "UnsupportedOperation"),
        ({"OnDemandMaxPricePercentageOverLowestPrice": 10}, "UnsupportedOperation"),
    ],
)
def test_what_cannot_be_required_is_refused(
    tmp_path: Path, requirements: dict[str, Any], code: str
) -> None:
    with refused(code):
        found(services(tmp_path), **requirements)
