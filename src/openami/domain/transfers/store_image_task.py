"""The storing of an image in a bucket: a task and its states.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-store-restore.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openami.domain.ids import AccountId, ImageId, Region, StoreImageTaskId
from openami.domain.lifecycle import advance

TOLD_FOR: Final = timedelta(days=31)
"""So long DescribeStoreImageTasks tells of a task that began."""


class StoreTaskState(StrEnum):
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"


class StoreTaskEvent(StrEnum):
    UPLOADED = "the end of its upload"
    FAIL = "its failure"


S, E = StoreTaskState, StoreTaskEvent

TRANSITIONS: Final[Mapping[tuple[StoreTaskState, StoreTaskEvent], StoreTaskState]] = {
    (S.IN_PROGRESS, E.UPLOADED): S.COMPLETED,
    (S.IN_PROGRESS, E.FAIL): S.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreImageTask:
    """`head` is what the object says of the image, as it was when the task began: stored_image."""

    id: StoreImageTaskId
    region: Region
    owner: AccountId
    image_id: ImageId
    bucket: str
    key: str
    object_tags: Mapping[str, str]
    head: str
    size_gib: int
    state: StoreTaskState
    started_at: datetime
    progress_percent: int = 0
    failure_reason: str | None = None

    def completed(self) -> "StoreImageTask":
        state = advance(TRANSITIONS, self.image_id, self.state, E.UPLOADED)
        return replace(self, state=state, progress_percent=100)

    def failed(self, reason: str) -> "StoreImageTask":
        state = advance(TRANSITIONS, self.image_id, self.state, E.FAIL)
        return replace(self, state=state, failure_reason=reason)

    @property
    def place(self) -> str:
        """Where it is in a listing: the latest first."""
        return f"{self.started_at.isoformat()} {self.id}"
