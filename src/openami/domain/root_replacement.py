"""The replacement of a running instance's root volume: a task, its states, what it changes.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/replace-root.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from openami.domain.ids import (
    AccountId,
    ImageId,
    InstanceId,
    Region,
    ReplaceRootVolumeTaskId,
    SnapshotId,
    VolumeId,
)
from openami.domain.instance import Instance
from openami.domain.lifecycle import advance


class TaskState(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILING = "failing"
    FAILED = "failed"
    FAILED_DETACHED = "failed-detached"


class TaskEvent(StrEnum):
    VOLUME_READY = "the end of its volume's creation"
    REPLACED = "the start from its volume"
    FAIL = "its failure"
    ROOT_KEPT = "the return of the original root volume"
    ROOT_GONE = "the loss of the root volume"


S, E = TaskState, TaskEvent

TRANSITIONS: Final[Mapping[tuple[TaskState, TaskEvent], TaskState]] = {
    (S.PENDING, E.VOLUME_READY): S.IN_PROGRESS,
    (S.IN_PROGRESS, E.REPLACED): S.SUCCEEDED,
    (S.PENDING, E.FAIL): S.FAILING,
    (S.IN_PROGRESS, E.FAIL): S.FAILING,
    (S.FAILING, E.ROOT_KEPT): S.FAILED,
    (S.FAILING, E.ROOT_GONE): S.FAILED_DETACHED,
}

UNFINISHED: Final = (S.PENDING, S.IN_PROGRESS, S.FAILING)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromImage:
    """What an instance has from the image of its root: another image changes it."""

    image_id: ImageId
    current_boot_mode: str
    ena_support: bool
    boot_mode: str | None = None

    @staticmethod
    def of(instance: Instance) -> "FromImage":
        return FromImage(
            image_id=instance.image_id,
            boot_mode=instance.boot_mode,
            current_boot_mode=instance.current_boot_mode,
            ena_support=instance.ena_support,
        )

    def given_to(self, instance: Instance) -> Instance:
        return replace(
            instance,
            image_id=self.image_id,
            boot_mode=self.boot_mode,
            current_boot_mode=self.current_boot_mode,
            ena_support=self.ena_support,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceRootVolumeTask:
    """`made_volume` says that the new volume was made for the task, and goes when it fails."""

    id: ReplaceRootVolumeTaskId
    region: Region
    owner: AccountId
    instance_id: InstanceId
    state: TaskState
    started_at: datetime
    old_volume_id: VolumeId
    new_volume_id: VolumeId
    made_volume: bool
    before: FromImage
    later: FromImage
    image_id: ImageId | None = None
    snapshot_id: SnapshotId | None = None
    delete_replaced: bool = False
    completed_at: datetime | None = None

    def after(self, event: TaskEvent) -> "ReplaceRootVolumeTask":
        return replace(self, state=advance(TRANSITIONS, self.id, self.state, event))

    def ended(self, event: TaskEvent, at: datetime) -> "ReplaceRootVolumeTask":
        return replace(self.after(event), completed_at=at)
