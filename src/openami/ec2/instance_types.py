"""DescribeInstanceTypes and DescribeInstanceTypeOfferings: a table, told in EC2's shape."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.filter import selected
from openami.domain.instance_type import TYPES, InstanceType
from openami.domain.zone import availability_zones, zone_id
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, page, paged
from openami.services import Services

Shape = dict[str, Any]
Texts = Callable[[InstanceType], Iterable[str]]


def describe_instance_types(svc: Services, caller: Caller, request: Request) -> Result:
    del svc, caller  # every account has the same types in every region
    asked = page(request, 5, 100, ids="InstanceTypes")
    wanted = request.get("InstanceTypes", ())
    unknown = [name for name in wanted if name not in TYPES]
    if unknown:
        raise EC2Error.of(
            "InvalidInstanceType",
            f"The following supplied instance types do not exist: [{', '.join(unknown)}]",
        )
    offered = [TYPES[name] for name in sorted(set(wanted) or TYPES)]
    found = selected(offered, filters(request), _FILTERS)
    if asked.after is not None:
        found = [each for each in found if each.name > asked.after]
    shown, token = paged(found, asked, "name")
    return {"InstanceTypes": [_shape(each) for each in shown], **token}


def _flag(value: bool) -> list[str]:
    return ["true" if value else "false"]


_FILTERS: Final[Mapping[str, Texts]] = {
    "instance-type": lambda each: [each.name],
    "current-generation": lambda each: _flag(each.current_generation),
    "free-tier-eligible": lambda each: _flag(each.free_tier),
    "burstable-performance-supported": lambda each: _flag(each.burstable),
    "bare-metal": lambda _: _flag(False),
    "hypervisor": lambda each: [each.hypervisor],
    "instance-storage-supported": lambda each: _flag(each.instance_store is not None),
    "memory-info.size-in-mib": lambda each: [str(each.memory_mib)],
    "processor-info.supported-architecture": lambda _: ["x86_64"],
    "supported-boot-mode": lambda each: each.boot_modes,
    "supported-root-device-type": lambda _: ["ebs"],
    "supported-usage-class": lambda _: ["on-demand"],
    "supported-virtualization-type": lambda _: ["hvm"],
    "vcpu-info.default-vcpus": lambda each: [str(each.vcpus)],
    "vcpu-info.default-cores": lambda each: [str(each.cores)],
    "vcpu-info.default-threads-per-core": lambda each: [str(each.threads_per_core)],
    "ebs-info.ebs-optimized-support": lambda each: [each.ebs_optimized],
    "network-info.ena-support": lambda each: [_ena(each)],
    "network-info.network-performance": lambda each: [each.network],
}


def _ena(kind: InstanceType) -> str:
    return "required" if kind.hypervisor == "nitro" else "unsupported"


def _shape(kind: InstanceType) -> Shape:
    return {
        "InstanceType": kind.name,
        "CurrentGeneration": kind.current_generation,
        "FreeTierEligible": kind.free_tier,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": kind.hypervisor,
        "ProcessorInfo": {
            "SupportedArchitectures": ["x86_64"],
            "SustainedClockSpeedInGhz": kind.clock_ghz,
            "Manufacturer": kind.manufacturer,
        },
        "VCpuInfo": {
            "DefaultVCpus": kind.vcpus,
            "DefaultCores": kind.cores,
            "DefaultThreadsPerCore": kind.threads_per_core,
            "ValidCores": kind.valid_cores,
            "ValidThreadsPerCore": kind.valid_threads,
        },
        "MemoryInfo": {"SizeInMiB": kind.memory_mib},
        "InstanceStorageSupported": kind.instance_store is not None,
        "InstanceStorageInfo": _storage(kind),
        "EbsInfo": {
            "EbsOptimizedSupport": kind.ebs_optimized,
            "EncryptionSupport": "unsupported",
            "NvmeSupport": "unsupported",
        },
        "NetworkInfo": _network(kind),
        "PlacementGroupInfo": {"SupportedStrategies": []},
        "HibernationSupported": False,
        "BurstablePerformanceSupported": kind.burstable,
        "DedicatedHostsSupported": False,
        "AutoRecoverySupported": False,
        "SupportedBootModes": list(kind.boot_modes),
        "NitroEnclavesSupport": "unsupported",
        "NitroTpmSupport": "unsupported",
        "PhcSupport": "unsupported",
    }


def _storage(kind: InstanceType) -> Shape | None:
    if kind.instance_store is None:
        return None
    count, size_gb = kind.instance_store
    return {
        "TotalSizeInGB": count * size_gb,
        "Disks": [{"SizeInGB": size_gb, "Count": count, "Type": kind.store_kind}],
        "NvmeSupport": "unsupported",
        "EncryptionSupport": "unsupported",
    }


def _network(kind: InstanceType) -> Shape:
    return {
        "NetworkPerformance": kind.network,
        "MaximumNetworkInterfaces": 1,
        "MaximumNetworkCards": 1,
        "DefaultNetworkCardIndex": 0,
        "NetworkCards": [
            {
                "NetworkCardIndex": 0,
                "NetworkPerformance": kind.network,
                "MaximumNetworkInterfaces": 1,
            }
        ],
        "Ipv4AddressesPerInterface": 1,
        "Ipv6AddressesPerInterface": 0,
        "Ipv6Supported": False,
        "EnaSupport": _ena(kind),
        "EfaSupported": False,
        "EncryptionInTransitSupported": False,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """A type at a place. Its order is by place and then by type."""

    location: str
    kind: InstanceType

    @property
    def place(self) -> str:
        return f"{self.location} {self.kind.name}"


def describe_instance_type_offerings(svc: Services, caller: Caller, request: Request) -> Result:
    del svc
    asked = page(request, 5, 1000)
    location_type = request.get("LocationType", "region")
    zones = availability_zones(caller.region)
    places = {
        "region": (str(caller.region),),
        "availability-zone": zones,
        "availability-zone-id": tuple(map(zone_id, zones)),
    }
    if location_type not in places:
        raise InvalidParameterValue(
            f"Value ({location_type}) for parameter locationType is invalid."
        )
    every = [
        Offering(location=place, kind=TYPES[name])
        for place in places[location_type]
        for name in sorted(TYPES)
    ]
    table: Mapping[str, Callable[[Offering], Iterable[str]]] = {
        "instance-type": lambda each: [each.kind.name],
        "location": lambda each: [each.location],
    }
    found = selected(every, filters(request), table)
    if asked.after is not None:
        found = [each for each in found if each.place > asked.after]
    shown, token = paged(found, asked, "place")
    offerings = [
        {
            "InstanceType": each.kind.name,
            "LocationType": location_type,
            "Location": each.location,
        }
        for each in shown
    ]
    return {"InstanceTypeOfferings": offerings, **token}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "DescribeInstanceTypes": operation(
        describe_instance_types, "InstanceTypes", "Filters", "MaxResults", "NextToken"
    ),
    "DescribeInstanceTypeOfferings": operation(
        describe_instance_type_offerings, "LocationType", "Filters", "MaxResults", "NextToken"
    ),
}
