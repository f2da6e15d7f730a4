"""How much an account may have: each quota with its default, and EC2's words for one too many.

The defaults are AWS's where a service quota of AWS exists that suits a host of one's own; 0 is no
limit.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-quotas.html
https://docs.aws.amazon.com/ebs/latest/userguide/ebs-resource-quotas.html
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from openami.domain.errors import EC2Error


class Quota(StrEnum):
    """By the name that the setting has."""

    IMAGES = "images"
    PUBLIC_IMAGES = "public-images"
    IMAGE_SHARES = "image-shares"
    SNAPSHOTS = "snapshots"
    STORAGE_GIB = "storage-gib"
    INSTANCES = "instances"
    VCPUS = "vcpus"
    LAUNCH_TEMPLATES = "launch-templates"
    LAUNCH_TEMPLATE_VERSIONS = "launch-template-versions"
    KEY_PAIRS = "key-pairs"
    EVENT_WINDOWS = "event-windows"
    RETENTION_RULES = "retention-rules"
    LIFECYCLE_POLICIES = "lifecycle-policies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    default: int
    code: str
    sentence: str  # {limit} stands for the limit
    status: int = 400
    details: Mapping[str, str] = field(default_factory=dict[str, str])


_COMMON: Final = "ResourceLimitExceeded"

RULES: Final[Mapping[Quota, Rule]] = {
    Quota.IMAGES: Rule(
        default=50_000,
        code=_COMMON,
        sentence="You have reached your quota of {limit} AMIs for this Region. Deregister unused"
        " AMIs or request an increase.",
    ),
    Quota.PUBLIC_IMAGES: Rule(
        default=0,
        code=_COMMON,
        sentence="You have reached your quota of {limit} public AMIs for this Region.",
    ),
    Quota.IMAGE_SHARES: Rule(
        default=1_000,
        code=_COMMON,
        sentence="An AMI can be shared with {limit} accounts, organizations and organizational"
        " units.",
    ),
    Quota.SNAPSHOTS: Rule(
        default=100_000,
        code="SnapshotLimitExceeded",
        sentence="The maximum number of snapshots has been reached ({limit}).",
    ),
    Quota.STORAGE_GIB: Rule(
        default=0,
        code="VolumeLimitExceeded",
        sentence="You have exceeded the maximum amount of EBS storage of {limit} GiB.",
    ),
    Quota.INSTANCES: Rule(
        default=0,
        code="InstanceLimitExceeded",
        sentence="You have requested more instances than your current instance limit of {limit}"
        " allows.",
    ),
    Quota.VCPUS: Rule(
        default=0,
        code="VcpuLimitExceeded",
        sentence="You have requested more vCPU capacity than your current vCPU limit of {limit}"
        " allows for the instance bucket that the specified instance type belongs to.",
    ),
    Quota.LAUNCH_TEMPLATES: Rule(
        default=5_000,
        code="LaunchTemplateLimitExceeded",
        sentence="At most {limit} launch templates.",
    ),
    Quota.LAUNCH_TEMPLATE_VERSIONS: Rule(
        default=10_000,
        code="LaunchTemplateVersionLimitExceeded",
        sentence="A launch template has at most {limit} versions.",
    ),
    Quota.KEY_PAIRS: Rule(
        default=5_000,
        code=_COMMON,
        sentence="You have reached your quota of {limit} key pairs for this Region.",
    ),
    Quota.EVENT_WINDOWS: Rule(
        default=200, code=_COMMON, sentence="At most {limit} event windows in a Region."
    ),
    Quota.RETENTION_RULES: Rule(
        default=250,
        code="ServiceQuotaExceededException",
        sentence="There are {limit} retention rules in the region already.",
        status=402,
        details={"Reason": "SERVICE_QUOTA_EXCEEDED"},
    ),
    Quota.LIFECYCLE_POLICIES: Rule(
        default=100,
        code="LimitExceededException",
        sentence="A Region has at most {limit} custom policies",
        status=429,
        details={"Code": "LimitExceededException", "ResourceType": "policy"},
    ),
}


def limits(said: Iterable[str]) -> Mapping[Quota, int]:
    """All limits, from the `name=number` that are `said` and the defaults. Raises ValueError."""
    found = {quota: rule.default for quota, rule in RULES.items()}
    for each in said:
        name, _, number = each.partition("=")
        found[Quota(name.strip())] = int(number)
    return found


def check(quota: Quota, limit: int, wanted: int) -> None:
    """Raises the quota's error where `wanted` is more than the limit."""
    if limit and wanted > limit:
        rule = RULES[quota]
        sentence = rule.sentence.format(limit=limit)
        raise EC2Error.of(rule.code, sentence, rule.status, **rule.details)
