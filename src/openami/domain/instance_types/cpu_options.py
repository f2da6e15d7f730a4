"""How many of its type's processors an instance has.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-optimize-cpu.html
"""

from dataclasses import dataclass

from openami.domain.errors import InvalidParameterValue, UnsupportedOperation
from openami.domain.instance import Instance
from openami.domain.instance_type import InstanceType, known_type


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuOptions:
    core_count: int
    threads_per_core: int

    @property
    def vcpus(self) -> int:
        return self.core_count * self.threads_per_core


def cpu_options_of(instance: Instance) -> CpuOptions:
    """What was chosen for the instance, or what its type has."""
    kind = known_type(instance.instance_type)
    return CpuOptions(
        core_count=instance.core_count or kind.cores,
        threads_per_core=instance.threads_per_core or kind.threads_per_core,
    )


def checked_cpu_options(options: CpuOptions, kind: InstanceType) -> CpuOptions:
    """Raises UnsupportedOperation, InvalidParameterValue."""
    if not kind.has_cpu_options:
        raise UnsupportedOperation(f"The instance type '{kind.name}' has no CPU options.")
    if options.core_count not in kind.valid_cores:
        raise InvalidParameterValue(
            f"Value ({options.core_count}) for parameter coreCount is invalid for the instance"
            f" type '{kind.name}'. It must be one of {', '.join(map(str, kind.valid_cores))}."
        )
    if options.threads_per_core not in kind.valid_threads:
        raise InvalidParameterValue(
            f"Value ({options.threads_per_core}) for parameter threadsPerCore is invalid for the"
            f" instance type '{kind.name}'."
            f" It must be one of {', '.join(map(str, kind.valid_threads))}."
        )
    return options
