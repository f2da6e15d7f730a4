"""What may refer to an image, and reports of which other accounts use one.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/your-ec2-ami-usage.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from openami.domain.errors import InvalidParameterValue
from openami.domain.ids import AccountId, ImageId, ImageUsageReportId, Region
from openami.domain.instance import InstanceState
from openami.domain.launch_template import VERSIONS_MAX
from openami.domain.lifecycle import advance


class Referrer(StrEnum):
    """A type of resource that may name an image. Of Image Builder's openami has none."""

    INSTANCE = "ec2:Instance"
    TEMPLATE = "ec2:LaunchTemplate"
    PARAMETER = "ssm:Parameter"
    IMAGE_RECIPE = "imagebuilder:ImageRecipe"
    CONTAINER_RECIPE = "imagebuilder:ContainerRecipe"


STATE_NAME: Final = "state-name"
VERSION_DEPTH: Final = "version-depth"
EVERY_STATE: Final = frozenset(InstanceState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which resources are looked at: of instances those in `states`, of a launch template its
    `version_depth` newest versions."""

    version_depth: int
    types: frozenset[Referrer] = frozenset(Referrer)
    states: frozenset[InstanceState] = EVERY_STATE


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A resource that names the image. A parameter's `resource` is its name, else it is an id."""

    image_id: ImageId
    type: Referrer
    resource: str
    owner: AccountId
    region: Region

    @property
    def place(self) -> str:
        """Where it stands in a listing."""
        return f"{self.image_id} {self.type} {self.resource}"

    @property
    def arn(self) -> str:
        service, noun, name = {
            Referrer.INSTANCE: ("ec2", "instance", self.resource),
            Referrer.TEMPLATE: ("ec2", "launch-template", self.resource),
            Referrer.PARAMETER: ("ssm", "parameter", self.resource.removeprefix("/")),
        }[self.type]
        return f"arn:aws:{service}:{self.region}:{self.owner}:{noun}/{name}"


def checked_referrer(name: str, allowed: Sequence[Referrer]) -> Referrer:
    """Raises InvalidParameterValue."""
    for each in allowed:
        if each == name:
            return each
    raise InvalidParameterValue(
        f"Value ({name}) for parameter resourceType is invalid. Valid values: {', '.join(allowed)}"
    )


def checked_states(texts: Sequence[str]) -> frozenset[InstanceState]:
    """The values of the option state-name. Raises InvalidParameterValue."""
    known = {str(each): each for each in InstanceState}
    wrong = [text for text in texts if text not in known]
    if wrong or not texts:
        raise InvalidParameterValue(
            f"Value ({', '.join(wrong)}) for option {STATE_NAME} is invalid."
            f" Valid values: {', '.join(known)}"
        )
    return frozenset(known[text] for text in texts)


def checked_depth(texts: Sequence[str]) -> int:
    """The value of the option version-depth. Raises InvalidParameterValue."""
    if len(texts) == 1 and texts[0].isascii() and texts[0].isdecimal() and len(texts[0]) <= 5:
        depth = int(texts[0])
        if 1 <= depth <= VERSIONS_MAX:
            return depth
    raise InvalidParameterValue(
        f"Value ({', '.join(texts)}) for option {VERSION_DEPTH} is invalid."
        f" It is one integer between 1 and {VERSIONS_MAX}."
    )


REPORT_KEPT: Final = timedelta(days=30)
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
