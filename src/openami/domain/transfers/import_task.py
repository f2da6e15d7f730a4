"""The import of disks from outside: as a snapshot, or as an image of one or more of them.

https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-image-import.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

from openami.domain.errors import EC2Error, MalformedId
from openami.domain.ids import AccountId, ImageId, Region, SnapshotId, is_id
from openami.domain.lifecycle import advance

ImportTaskId = NewType("ImportTaskId", str)
SNAPSHOT_PREFIX: Final = "import-snap"
IMAGE_PREFIX: Final = "import-ami"


class ImportState(StrEnum):
    ACTIVE = "active"
    COMPLETED = "completed"
    DELETING = "deleting"  # cancelled; its work ends
    DELETED = "deleted"  # cancelled or failed


class ImportEvent(StrEnum):
    DONE = "its completion"
    FAILED = "its failure"
    CANCEL = "CancelImportTask"
    CLEARED = "the end of its work"


S, E = ImportState, ImportEvent

TRANSITIONS: Final[Mapping[tuple[ImportState, ImportEvent], ImportState]] = {
    (S.ACTIVE, E.DONE): S.COMPLETED,
    (S.ACTIVE, E.FAILED): S.DELETED,
    (S.ACTIVE, E.CANCEL): S.DELETING,
    (S.DELETING, E.CLEARED): S.DELETED,
}
UNFINISHED: Final = (S.ACTIVE, S.DELETING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedDisk:
    """One disk: the container of the request that names it, and what became of it so far.

    It is an object, a file of the server, or a snapshot that is there already. `format` is EC2's
    name in capitals (or QCOW2), None to go by the content. `size_bytes` and `etag` are those of
    the object when it was first looked at: another content is not read. `root` names the
    content in the store, when it is there.
    """

    format: str | None = None
    description: str | None = None
    device_name: str | None = None
    url: str | None = None  # as it was given
    bucket: str | None = None
    key: str | None = None
    path: str | None = None
    snapshot_id: SnapshotId | None = None
    is_given: bool = False  # the snapshot is the request's
    size_bytes: int = 0
    etag: str | None = None
    root: str | None = None

    @property
    def name(self) -> str:
        """As its sender knows it."""
        if self.url is not None:
            return self.url
        return f"s3://{self.bucket}/{self.key}" if self.bucket else str(self.snapshot_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportTask:
    """`architecture`, `platform` and `boot_mode` are what the request says, and what was found
    when the task is done. `image_id` is there when it is done."""

    id: ImportTaskId
    region: Region
    owner: AccountId
    state: ImportState
    created_at: datetime
    disks: tuple[ImportedDisk, ...]
    description: str | None = None
    status_message: str | None = "pending"
    progress_percent: int = 0
    architecture: str | None = None
    platform: str | None = None
    boot_mode: str | None = None
    image_id: ImageId | None = None
    ended_at: datetime | None = None

    @property
    def makes_image(self) -> bool:
        return self.id.startswith(IMAGE_PREFIX)

    @property
    def makes_snapshots(self) -> int:
        """How many it is still to make."""
        return sum(disk.snapshot_id is None for disk in self.disks)

    def with_disk(self, number: int, disk: ImportedDisk) -> "ImportTask":
        disks = (*self.disks[:number], disk, *self.disks[number + 1 :])
        return replace(self, disks=disks)

    def after(
        self, event: ImportEvent, message: str | None, ended_at: datetime | None = None
    ) -> "ImportTask":
        """Raises IncorrectState."""
        state = advance(TRANSITIONS, self.id, self.state, event)
        return replace(self, state=state, status_message=message, ended_at=ended_at)

    def completed(self, at: datetime) -> "ImportTask":
        return replace(self.after(ImportEvent.DONE, None, at), progress_percent=100)


def parse_import_task_id(text: str, *prefixes: str) -> ImportTaskId:
    """The id of a task of these kinds. Raises InvalidConversionTaskId.Malformed."""
    if any(is_id(prefix, text) for prefix in prefixes):
        return ImportTaskId(text)
    raise MalformedId("InvalidConversionTaskId.Malformed", prefixes[0], text)


def import_task_not_found(*task_ids: str) -> EC2Error:
    return EC2Error.of(
        "InvalidConversionTaskId",
        f"The import task ID(s) '{', '.join(task_ids)}' do not exist",
    )
