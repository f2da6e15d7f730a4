"""A change of a volume's size, type or speed, and how far it is.

https://docs.aws.amazon.com/ebs/latest/userguide/ebs-modify-volume.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.block_device import EbsDevice, check_volume
from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import AccountId, Region, VolumeId
from openami.domain.lifecycle import advance
from openami.domain.volume import Volume


class ModificationState(StrEnum):
    MODIFYING = "modifying"
    OPTIMIZING = "optimizing"
    COMPLETED = "completed"
    FAILED = "failed"


class ModificationEvent(StrEnum):
    CHANGED = "the change of its volume"
    OPTIMIZED = "the end of its optimization"
    FAIL = "its failure"


S, E = ModificationState, ModificationEvent

TRANSITIONS: Final[Mapping[tuple[ModificationState, ModificationEvent], ModificationState]] = {
    (S.MODIFYING, E.CHANGED): S.OPTIMIZING,
    (S.OPTIMIZING, E.OPTIMIZED): S.COMPLETED,
    (S.MODIFYING, E.FAIL): S.FAILED,
}

UNFINISHED: Final = (S.MODIFYING, S.OPTIMIZING)
_DEFAULT_IOPS: Final = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a volume may be modified. IOPS and throughput are None where the type has none."""

    size_gib: int
    volume_type: str
    iops: int | None
    throughput: int | None

    @staticmethod
    def of(volume: Volume) -> "Shape":
        return Shape(
            size_gib=volume.size_gib,
            volume_type=volume.volume_type,
            iops=volume.effective_iops,
            throughput=volume.effective_throughput,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeModification:
    """`latest` is true of the newest one of each volume: the only one that is told of."""

    id: str
    volume_id: VolumeId
    region: Region
    owner: AccountId
    state: ModificationState
    started_at: datetime
    latest: bool
    original_size_gib: int
    original_volume_type: str
    original_iops: int | None
    original_throughput: int | None
    target_size_gib: int
    target_volume_type: str
    target_iops: int | None
    target_throughput: int | None
    message: str | None = None
    ended_at: datetime | None = None

    def after(self, event: ModificationEvent) -> "VolumeModification":
        return replace(self, state=advance(TRANSITIONS, self.volume_id, self.state, event))

    def ended(
        self, event: ModificationEvent, at: datetime, message: str | None = None
    ) -> "VolumeModification":
        return replace(self.after(event), ended_at=at, message=message)

    @property
    def progress_percent(self) -> int:
        return 100 if self.state is S.COMPLETED else 0

    def applied_to(self, volume: Volume) -> Volume:
        return replace(
            volume,
            size_gib=self.target_size_gib,
            volume_type=self.target_volume_type,
            iops=None if self.target_volume_type == "gp2" else self.target_iops,
            throughput=self.target_throughput,
        )


def target_of(volume: Volume, change: EbsDevice) -> Shape:
    """What the volume becomes, with EC2's defaults for what the change leaves open.

    Raises InvalidParameterValue or InvalidParameterCombination for what EBS does not have.
    """
    volume_type = change.volume_type or volume.volume_type
    same = volume_type == volume.volume_type
    size_gib = volume.size_gib if change.volume_size_gib is None else change.volume_size_gib
    if size_gib < volume.size_gib:
        raise InvalidParameterValue("New size cannot be smaller than existing size")
    iops = change.iops
    if iops is None and volume_type in ("io1", "io2", "gp3"):
        iops = (volume.effective_iops if same else None) or _DEFAULT_IOPS
    throughput = change.throughput
    if throughput is None and same:
        throughput = volume.throughput
    check_volume(
        EbsDevice(
            volume_size_gib=size_gib, volume_type=volume_type, iops=iops, throughput=throughput
        )
    )
    after = replace(
        volume, size_gib=size_gib, volume_type=volume_type, iops=iops, throughput=throughput
    )
    return Shape.of(after)
