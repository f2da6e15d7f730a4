"""A volume: a writable disk in one availability zone, and at most one attachment."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.ids import AccountId, InstanceId, Region, SnapshotId, VolumeId
from openami.domain.lifecycle import advance


class VolumeState(StrEnum):
    CREATING = "creating"
    AVAILABLE = "available"
    IN_USE = "in-use"
    DELETING = "deleting"
    DELETED = "deleted"  # told for a moment by clients; the row is gone
    ERROR = "error"
    RECYCLED = "recycled"  # in the Recycle Bin: nothing but its restoration sees it


class VolumeEvent(StrEnum):
    CREATED = "the end of its creation"
    CREATION_FAILED = "the failure of its creation"
    ATTACH = "AttachVolume"
    DETACHED = "the end of its detachment"
    DELETE = "DeleteVolume"
    RECYCLE = "the move to the Recycle Bin"
    RESTORE = "RestoreVolumeFromRecycleBin"


S, E = VolumeState, VolumeEvent

TRANSITIONS: Final[Mapping[tuple[VolumeState, VolumeEvent], VolumeState]] = {
    (S.CREATING, E.CREATED): S.AVAILABLE,
    (S.CREATING, E.CREATION_FAILED): S.ERROR,
    (S.CREATING, E.ATTACH): S.IN_USE,  # the volumes of a launch are born attached
    (S.AVAILABLE, E.ATTACH): S.IN_USE,
    (S.IN_USE, E.DETACHED): S.AVAILABLE,
    (S.AVAILABLE, E.DELETE): S.DELETING,
    (S.ERROR, E.DELETE): S.DELETING,
    (S.CREATING, E.DELETE): S.DELETING,
    (S.AVAILABLE, E.RECYCLE): S.RECYCLED,
    (S.IN_USE, E.RECYCLE): S.RECYCLED,  # of an instance that is terminated
    (S.RECYCLED, E.RESTORE): S.AVAILABLE,
    (S.RECYCLED, E.DELETE): S.DELETING,
}


class AttachmentState(StrEnum):
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A volume at an instance, under a device name."""

    instance_id: InstanceId
    device_name: str
    state: AttachmentState
    attached_at: datetime
    delete_on_termination: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """`root` is the manifest root (text) the volume started from; None for a blank one."""

    id: VolumeId
    region: Region
    availability_zone: str
    owner: AccountId
    size_gib: int
    state: VolumeState
    created_at: datetime
    volume_type: str = "gp2"
    iops: int | None = None
    throughput: int | None = None
    snapshot_id: SnapshotId | None = None
    root: str | None = None
    source_volume_id: VolumeId | None = None  # of a copy
    fast_restored: bool = False  # its snapshot was kept at hand when it was made
    attachment: Attachment | None = None

    @property
    def effective_iops(self) -> int | None:
        """As EC2 tells it: gp2 has 3 per GiB, gp3 has 3000 if nothing else was asked for.

        https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
        """
        if self.volume_type == "gp2":
            return min(16000, max(100, 3 * self.size_gib))
        return self.iops or 3000 if self.volume_type == "gp3" else self.iops

    @property
    def effective_throughput(self) -> int | None:
        """MiB/s, of gp3 only."""
        return self.throughput or 125 if self.volume_type == "gp3" else None

    def after(self, event: VolumeEvent) -> "Volume":
        return replace(self, state=advance(TRANSITIONS, self.id, self.state, event))

    def recycled(self) -> "Volume":
        return replace(self.after(VolumeEvent.RECYCLE), attachment=None)

    def attached(self, attachment: Attachment) -> "Volume":
        return replace(self.after(VolumeEvent.ATTACH), attachment=attachment)

    def detached(self) -> "Volume":
        return replace(self.after(VolumeEvent.DETACHED), attachment=None)
