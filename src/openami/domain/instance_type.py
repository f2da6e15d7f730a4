"""The instance types openami offers: what a machine of each gets, and what it can boot.

Names, processors, memory and instance storage are EC2's:
https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-types.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from openami.domain.errors import InvalidParameterValue

LEGACY_ONLY: Final = ("legacy-bios",)
BOTH_MODES: Final = ("legacy-bios", "uefi")
DEFAULT_TYPE: Final = "m1.small"
"""What RunInstances takes when no type is given (API reference, parameter InstanceType)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """`instance_store` is how many disks, and the size of each in GB, or None."""

    name: str
    vcpus: int
    memory_mib: int
    boot_modes: tuple[str, ...] = BOTH_MODES
    hypervisor: str = "nitro"
    threads_per_core: int = 2
    clock_ghz: float = 2.5
    manufacturer: str = "Intel"
    burstable: bool = False
    current_generation: bool = True
    free_tier: bool = False
    ebs_optimized: str = "default"  # "default", "supported" or "unsupported"
    network: str = "Up to 5 Gigabit"
    instance_store: tuple[int, int] | None = None
    store_kind: str = "ssd"

    @property
    def family(self) -> str:
        return self.name.partition(".")[0]

    @property
    def cores(self) -> int:
        return max(1, self.vcpus // self.threads_per_core)

    @property
    def has_cpu_options(self) -> bool:
        """Those whose processors have two threads: all but the ones of the Xen hypervisor."""
        return self.threads_per_core == 2

    @property
    def valid_cores(self) -> tuple[int, ...]:
        """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/cpu-options-supported-instances-values.html"""
        even = tuple(range(2, self.cores + 1, 2))
        return even if self.has_cpu_options and even else (self.cores,)

    @property
    def valid_threads(self) -> tuple[int, ...]:
        return tuple(range(1, self.threads_per_core + 1))

    @property
    def ephemeral_sizes_gb(self) -> tuple[int, ...]:
        count, size_gb = self.instance_store or (0, 0)
        return (size_gb,) * count


_BURSTABLE_MIB: Final = {
    "nano": 512,
    "micro": 1024,
    "small": 2048,
    "medium": 4096,
    "large": 8192,
    "xlarge": 16384,
    "2xlarge": 32768,
}
_VCPUS: Final = {"large": 2, "xlarge": 4, "2xlarge": 8}


def _t2(size: str, memory_mib: int) -> InstanceType:
    vcpus = {"nano": 1, "micro": 1, "small": 1}.get(size) or _VCPUS.get(size, 2)
    return InstanceType(
        name=f"t2.{size}",
        vcpus=vcpus,
        memory_mib=memory_mib,
        boot_modes=LEGACY_ONLY,
        hypervisor="xen",
        threads_per_core=1,
        clock_ghz=2.3,
        burstable=True,
        free_tier=size == "micro",
        ebs_optimized="unsupported",
        network="Low to Moderate",
    )


def _t3(family: str, manufacturer: str, size: str, memory_mib: int) -> InstanceType:
    return InstanceType(
        name=f"{family}.{size}",
        vcpus=_VCPUS.get(size, 2),
        memory_mib=memory_mib,
        manufacturer=manufacturer,
        burstable=True,
        free_tier=size == "micro",
    )


def _fixed(family: str, mib_per_vcpu: int, clock_ghz: float, maker: str) -> list[InstanceType]:
    return [
        InstanceType(
            name=f"{family}.{size}",
            vcpus=vcpus,
            memory_mib=vcpus * mib_per_vcpu,
            clock_ghz=clock_ghz,
            manufacturer=maker,
            network="Up to 10 Gigabit",
        )
        for size, vcpus in _VCPUS.items()
    ]


def _with_store(family: str, mib_per_vcpu: int, gb_per_vcpu: float) -> list[InstanceType]:
    return [
        InstanceType(
            name=f"{family}.{size}",
            vcpus=vcpus,
            memory_mib=vcpus * mib_per_vcpu,
            clock_ghz=3.1,
            network="Up to 10 Gigabit",
            instance_store=(1, int(vcpus * gb_per_vcpu)),
        )
        for size, vcpus in _VCPUS.items()
    ]


_M1_SMALL: Final = InstanceType(
    name="m1.small",
    vcpus=1,
    memory_mib=1740,
    boot_modes=LEGACY_ONLY,
    hypervisor="xen",
    threads_per_core=1,
    clock_ghz=1.8,
    current_generation=False,
    ebs_optimized="unsupported",
    network="Low",
    instance_store=(1, 160),
    store_kind="hdd",
)

_ALL: Final = (
    _M1_SMALL,
    *(_t2(size, mib) for size, mib in _BURSTABLE_MIB.items()),
    *(_t3("t3", "Intel", size, mib) for size, mib in _BURSTABLE_MIB.items()),
    *(_t3("t3a", "AMD", size, mib) for size, mib in _BURSTABLE_MIB.items()),
    *_fixed("m5", 4096, 3.1, "Intel"),
    *_fixed("m5a", 4096, 2.5, "AMD"),
    *_fixed("m6i", 4096, 3.5, "Intel"),
    *_fixed("c5", 2048, 3.4, "Intel"),
    *_fixed("c6i", 2048, 3.5, "Intel"),
    *_fixed("r5", 8192, 3.1, "Intel"),
    *_fixed("r6i", 8192, 3.5, "Intel"),
    *_with_store("m5d", 4096, 37.5),
    *_with_store("c5d", 2048, 25),
    *_with_store("r5d", 8192, 37.5),
)

TYPES: Final[Mapping[str, InstanceType]] = {each.name: each for each in _ALL}


def known_type(name: str) -> InstanceType:
    """The type of that name. Raises what RunInstances and ModifyInstanceAttribute raise."""
    found = TYPES.get(name)
    if found is None:
        raise InvalidParameterValue(f"Invalid value '{name}' for InstanceType.")
    return found
