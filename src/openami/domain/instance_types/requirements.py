"""Which instance types have the attributes that somebody requires.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceRequirementsRequest.html
"""

from dataclasses import dataclass
from typing import Final

from openami.domain.filter import as_regex
from openami.domain.instance_type import InstanceType

INTERFACES: Final = 1
"""Network interfaces of an instance of any type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Both ends belong to it; None is no end."""

    least: float | None = None
    most: float | None = None

    def __contains__(self, value: float) -> bool:
        return (self.least is None or self.least <= value) and (
            self.most is None or value <= self.most
        )


_ANY: Final = Range()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRequirements:
    """`bare_metal`, `burstable` and `local_storage` are included, required or excluded.

    `allowed` and `excluded` are names with `*`. `accelerators_named` says that an accelerator
    is wanted by its name, kind, maker or memory: no type has any.
    """

    vcpus: Range
    memory_mib: Range
    memory_gib_per_vcpu: Range = _ANY
    network_interfaces: Range = _ANY
    local_storage_gb: Range = _ANY
    accelerators: Range = _ANY
    accelerators_named: bool = False
    manufacturers: tuple[str, ...] = ()
    generations: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    bare_metal: str = "excluded"
    burstable: str = "excluded"
    local_storage: str = "included"
    local_storage_types: tuple[str, ...] = ()
    hibernation: bool = False
    encryption_in_transit: bool = False

    def met_by(self, kind: InstanceType) -> bool:
        return self._sized(kind) and self._made(kind) and self._named(kind) and self._possible()

    def _sized(self, kind: InstanceType) -> bool:
        return (
            kind.vcpus in self.vcpus
            and kind.memory_mib in self.memory_mib
            and kind.memory_mib / 1024 / kind.vcpus in self.memory_gib_per_vcpu
            and sum(kind.ephemeral_sizes_gb) in self.local_storage_gb
        )

    def _made(self, kind: InstanceType) -> bool:
        generation = "current" if kind.current_generation else "previous"
        return (
            _fits(self.burstable, has=kind.burstable)
            and _fits(self.local_storage, has=kind.instance_store is not None)
            and (not self.manufacturers or kind.manufacturer.lower() in self.manufacturers)
            and (not self.generations or generation in self.generations)
            and self._stores(kind)
        )

    def _stores(self, kind: InstanceType) -> bool:
        """The type of storage matters only of a type that has some."""
        if not self.local_storage_types or kind.instance_store is None:
            return True
        return kind.store_kind in self.local_storage_types

    def _named(self, kind: InstanceType) -> bool:
        if self.allowed:
            return _any_matches(self.allowed, kind.name)
        return not _any_matches(self.excluded, kind.name)

    def _possible(self) -> bool:
        """What is the same for all types."""
        return (
            _fits(self.bare_metal, has=False)
            and INTERFACES in self.network_interfaces
            and 0 in self.accelerators
            and not (self.accelerators_named or self.hibernation or self.encryption_in_transit)
        )


def _fits(wish: str, *, has: bool) -> bool:
    return wish == "included" or (wish == "required") == has


def _any_matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(as_regex(pattern).fullmatch(name) for pattern in patterns)
