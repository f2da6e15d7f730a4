"""Usage reports of images: which other accounts use an image, and how often.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/your-ec2-ami-usage.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openami.domain.ids import AccountId, ImageId, ImageUsageReportId, Region
from openami.domain.image_reference import Referrer, Sought
from openami.domain.lifecycle import advance

KEPT: Final = timedelta(days=30)
ACCOUNTS_MAX: Final = 200


class ReportState(StrEnum):
    PENDING = "pending"
    AVAILABLE = "available"
    ERROR = "error"


class ReportEvent(StrEnum):
    COUNTED = "the count of what uses its image"
    FAILED = "the failure of that count"


TRANSITIONS: Final[Mapping[tuple[ReportState, ReportEvent], ReportState]] = {
    (ReportState.PENDING, ReportEvent.COUNTED): ReportState.AVAILABLE,
    (ReportState.PENDING, ReportEvent.FAILED): ReportState.ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUsageReport:
    """Without `account_ids` it is of every account but the image's owner."""

    id: ImageUsageReportId
    region: Region
    owner: AccountId
    image_id: ImageId
    types: tuple[Referrer, ...]
    version_depth: int
    account_ids: tuple[AccountId, ...]
    created_at: datetime
    expires_at: datetime
    state: ReportState = ReportState.PENDING
    state_reason: str | None = None

    def after(self, event: ReportEvent, reason: str | None = None) -> "ImageUsageReport":
        state = advance(TRANSITIONS, self.id, self.state, event)
        return replace(self, state=state, state_reason=reason)

    @property
    def sought(self) -> Sought:
        return Sought(types=frozenset(self.types), version_depth=self.version_depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEntry:
    """How many resources of one type the account has that name the report's image."""

    report_id: ImageUsageReportId
    account: AccountId
    type: Referrer
    usage_count: int
    image_id: ImageId
    reported_at: datetime

    @property
    def place(self) -> str:
        """Where it stands in a listing."""
        return f"{self.report_id} {self.account} {self.type}"
