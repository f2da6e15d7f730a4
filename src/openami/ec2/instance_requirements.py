"""GetInstanceTypesFromInstanceRequirements: the types that have what is required."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from openami.domain.caller import Caller
from openami.domain.errors import (
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
)
from openami.domain.instance_type import TYPES
from openami.domain.instance_types.requirements import InstanceRequirements, Range
from openami.ec2.operation import Operation, Request, Result, only, operation
from openami.ec2.request import page, paged
from openami.services import Services

_ACCELERATORS: Final = (
    *("AcceleratorTypes", "AcceleratorManufacturers", "AcceleratorNames"),
    "AcceleratorTotalMemoryMiB",
)
_HEEDED: Final = frozenset(
    {"VCpuCount", "MemoryMiB", "MemoryGiBPerVCpu", "CpuManufacturers", "InstanceGenerations"}
    | {"AllowedInstanceTypes", "ExcludedInstanceTypes", "BareMetal", "BurstablePerformance"}
    | {"LocalStorage", "LocalStorageTypes", "TotalLocalStorageGB", "NetworkInterfaceCount"}
    | {"AcceleratorCount", "RequireHibernateSupport", "RequireEncryptionInTransit"}
    | set(_ACCELERATORS)
)
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "CpuManufacturers": ("intel", "amd", "amazon-web-services", "apple"),
    "InstanceGenerations": ("current", "previous"),
    "LocalStorageTypes": ("hdd", "ssd"),
    **dict.fromkeys(
        ("BareMetal", "BurstablePerformance", "LocalStorage"), ("included", "required", "excluded")
    ),
    "ArchitectureTypes": ("i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"),
    "VirtualizationTypes": ("hvm", "paravirtual"),
}
_PATTERNS_MAX: Final = 400
_PATTERN: Final = re.compile(r"[a-zA-Z0-9.*-]{1,30}")


def types_with(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller  # every account has the same types in every region
    asked = page(request, 1, 1000)
    architectures = _chosen(request, "ArchitectureTypes")
    virtualizations = _chosen(request, "VirtualizationTypes")
    wanted = requirements(request["InstanceRequirements"])
    possible = "x86_64" in architectures and "hvm" in virtualizations
    found = [
        kind
        for name, kind in sorted(TYPES.items())
        if possible and wanted.met_by(kind) and (asked.after is None or name > asked.after)
    ]
    shown, token = paged(found, asked, "name")
    return {"InstanceTypes": [{"InstanceType": each.name} for each in shown], **token}


def requirements(raw: Mapping[str, Any]) -> InstanceRequirements:
    """Raises MissingParameter, InvalidParameterValue, InvalidParameterCombination."""
    only(raw, "InstanceRequirements.", _HEEDED)
    if "AllowedInstanceTypes" in raw and "ExcludedInstanceTypes" in raw:
        raise InvalidParameterCombination(
            "AllowedInstanceTypes and ExcludedInstanceTypes cannot be specified together."
        )
    return InstanceRequirements(
        vcpus=_needed_range(raw, "VCpuCount"),
        memory_mib=_needed_range(raw, "MemoryMiB"),
        memory_gib_per_vcpu=_range(raw, "MemoryGiBPerVCpu"),
        network_interfaces=_range(raw, "NetworkInterfaceCount"),
        local_storage_gb=_range(raw, "TotalLocalStorageGB"),
        accelerators=_range(raw, "AcceleratorCount"),
        accelerators_named=any(raw.get(name) for name in _ACCELERATORS),
        manufacturers=_chosen(raw, "CpuManufacturers"),
        generations=_chosen(raw, "InstanceGenerations"),
        allowed=_patterns(raw, "AllowedInstanceTypes"),
        excluded=_patterns(raw, "ExcludedInstanceTypes"),
        bare_metal=_choice(raw, "BareMetal", "excluded"),
        burstable=_choice(raw, "BurstablePerformance", "excluded"),
        local_storage=_choice(raw, "LocalStorage", "included"),
        local_storage_types=_chosen(raw, "LocalStorageTypes"),
        hibernation=raw.get("RequireHibernateSupport", False),
        encryption_in_transit=raw.get("RequireEncryptionInTransit", False),
    )


def _needed_range(raw: Mapping[str, Any], name: str) -> Range:
    if "Min" not in raw.get(name, {}):
        raise MissingParameter(f"InstanceRequirements.{name}.Min")
    return _range(raw, name)


def _range(raw: Mapping[str, Any], name: str) -> Range:
    given = raw.get(name, {})
    least, most = given.get("Min"), given.get("Max")
    if (least is not None and least < 0) or (most is not None and most < (least or 0)):
        raise InvalidParameterValue(f"The range {name} must go from 0 or more to what is not less.")
    return Range(least=least, most=most)


def _choice(raw: Mapping[str, Any], name: str, otherwise: str) -> str:
    return _chosen({name: [raw.get(name) or otherwise]}, name)[0]


def _chosen(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given: Sequence[str] = raw.get(name, ())
    for each in given:
        if each not in _CHOICES[name]:
            raise InvalidParameterValue(
                f"Value ({each}) for parameter {name} is invalid."
                f" It must be one of {', '.join(_CHOICES[name])}."
            )
    return tuple(given)


def _patterns(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given: Sequence[str] = raw.get(name, ())
    if len(given) > _PATTERNS_MAX:
        raise InvalidParameterValue(f"{name} has at most {_PATTERNS_MAX} entries.")
    for each in given:
        if _PATTERN.fullmatch(each) is None:
            raise InvalidParameterValue(f"Value ({each}) for parameter {name} is invalid.")
    return tuple(given)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "GetInstanceTypesFromInstanceRequirements": operation(
        types_with,
        *("ArchitectureTypes", "VirtualizationTypes", "InstanceRequirements"),
        *("MaxResults", "NextToken"),
        partly="no prices, no bandwidths",
    ),
}
