"""Disks on their way into buckets as files: of images (ExportImage) and of instances.

https://docs.aws.amazon.com/vm-import/latest/userguide/vmexport.html and vmexport_image.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.block import GIB
from openami.domain.errors import EC2Error
from openami.domain.ids import AccountId, ExportTaskId, ImageId, InstanceId, Region, VolumeId
from openami.domain.lifecycle import advance

SIZE_GIB_MAX: Final = 1024
"""No larger disk is exported. vmexport-limits.html, limits-image-export.html"""


class ExportState(StrEnum):
    ACTIVE = "active"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


class ExportEvent(StrEnum):
    UPLOADED = "the end of its upload"
    CANCEL = "CancelExportTask"
    REMOVED = "the removal of what it made"


S, E = ExportState, ExportEvent

TRANSITIONS: Final[Mapping[tuple[ExportState, ExportEvent], ExportState]] = {
    (S.ACTIVE, E.UPLOADED): S.COMPLETED,
    (S.ACTIVE, E.CANCEL): S.CANCELLING,
    (S.ACTIVE, E.REMOVED): S.CANCELLED,
    (S.CANCELLING, E.REMOVED): S.CANCELLED,
}

STATUS: Final[Mapping[ExportState, str]] = {
    S.ACTIVE: "active",
    S.CANCELLING: "deleting",
    S.CANCELLED: "deleted",
    S.COMPLETED: "completed",
}
"""What the export of an image calls its states."""


class DiskImageFormat(StrEnum):
    VMDK = "VMDK"
    RAW = "RAW"
    VHD = "VHD"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTask:
    """Of an image or of an instance's root volume, which then is copied first.

    `root` names the content, once it is known; `cancel_message` is why a task failed.
    """

    id: ExportTaskId
    region: Region
    owner: AccountId
    image_id: ImageId | None = None
    instance_id: InstanceId | None = None
    volume_id: VolumeId | None = None
    disk_format: DiskImageFormat
    as_ova: bool = False
    target_environment: str | None = None
    bucket: str
    prefix: str
    role_name: str | None = None
    description: str | None = None
    size_gib: int
    root: str | None = None
    state: ExportState
    started_at: datetime
    progress_percent: int = 0
    status_message: str | None = None

    @property
    def key(self) -> str:
        """Where in the bucket the file goes."""
        return f"{self.prefix}{self.id}.{'ova' if self.as_ova else self.disk_format.lower()}"

    @property
    def size_bytes(self) -> int:
        return self.size_gib * GIB

    def after(self, event: ExportEvent) -> "ExportTask":
        return replace(self, state=advance(TRANSITIONS, self.id, self.state, event))

    def completed(self) -> "ExportTask":
        done = self.after(E.UPLOADED)
        return replace(done, progress_percent=100, status_message=None, root=None)

    def removed(self, why: str | None) -> "ExportTask":
        """Nothing of it is left; `why` is of a failure."""
        gone = self.after(E.REMOVED)
        if self.state is S.CANCELLING:
            why = "Cancelled"
        return replace(gone, status_message=why, root=None)


def export_task_not_found(*task_ids: str) -> EC2Error:
    return EC2Error.of(
        "InvalidExportTaskID.NotFound", f"The export task '{', '.join(task_ids)}' does not exist"
    )
