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
    PENDING_SNAPSHOTS = "pending-snapshots"
    PENDING_SNAPSHOTS_HDD = "pending-snapshots-hdd"
    STORAGE_GIB = "storage-gib"
    INSTANCES = "instances"
    VCPUS = "vcpus"
    LAUNCH_TEMPLATES = "launch-templates"
    LAUNCH_TEMPLATE_VERSIONS = "launch-template-versions"
    KEY_PAIRS = "key-pairs"
    EVENT_WINDOWS = "event-windows"
    RETENTION_RULES = "retention-rules"
    LIFECYCLE_POLICIES = "lifecycle-policies"


@dataclass(frozen=True, slots=True)
class Rule:
    default: int
    sentence: str  # {limit} stands for the limit
    code: str = "ResourceLimitExceeded"
    status: int = 400
    details: Mapping[str, str] = field(default_factory=dict[str, str])


_TOO_MANY_PENDING: Final = "Maximum allowed in-progress snapshots for a single volume exceeded."
_HDD: Final = ("st1", "sc1")

RULES: Final[Mapping[Quota, Rule]] = {
    Quota.IMAGES: Rule(
        50_000,
        "You have reached your quota of {limit} AMIs for this Region. Deregister unused AMIs or"
        " request an increase.",
    ),
    Quota.PUBLIC_IMAGES: Rule(
        0, "You have reached your quota of {limit} public AMIs for this Region."
    ),
    Quota.IMAGE_SHARES: Rule(
        1_000,
        "An AMI can be shared with {limit} accounts, organizations and organizational units.",
    ),
    Quota.SNAPSHOTS: Rule(
        100_000,
        "The maximum number of snapshots has been reached ({limit}).",
        "SnapshotLimitExceeded",
    ),
    Quota.PENDING_SNAPSHOTS: Rule(5, _TOO_MANY_PENDING, "ConcurrentSnapshotLimitExceeded"),
    Quota.PENDING_SNAPSHOTS_HDD: Rule(1, _TOO_MANY_PENDING, "ConcurrentSnapshotLimitExceeded"),
    Quota.STORAGE_GIB: Rule(
        0,
        "You have exceeded the maximum amount of EBS storage of {limit} GiB.",
        "VolumeLimitExceeded",
    ),
    Quota.INSTANCES: Rule(
        0,
        "You have requested more instances than your current instance limit of {limit} allows.",
        "InstanceLimitExceeded",
    ),
    Quota.VCPUS: Rule(
        0,
        "You have requested more vCPU capacity than your current vCPU limit of {limit} allows for"
        " the instance bucket that the specified instance type belongs to.",
        "VcpuLimitExceeded",
    ),
    Quota.LAUNCH_TEMPLATES: Rule(
        5_000, "At most {limit} launch templates.", "LaunchTemplateLimitExceeded"
    ),
    Quota.LAUNCH_TEMPLATE_VERSIONS: Rule(
        10_000,
        "A launch template has at most {limit} versions.",
        "LaunchTemplateVersionLimitExceeded",
    ),
    Quota.KEY_PAIRS: Rule(
        5_000, "You have reached your quota of {limit} key pairs for this Region."
    ),
    Quota.EVENT_WINDOWS: Rule(200, "At most {limit} event windows in a Region."),
    Quota.RETENTION_RULES: Rule(
        250,
        "There are {limit} retention rules in the region already.",
        "ServiceQuotaExceededException",
        402,
        {"Reason": "SERVICE_QUOTA_EXCEEDED"},
    ),
    Quota.LIFECYCLE_POLICIES: Rule(
        100,
        "A Region has at most {limit} custom policies",
        "LimitExceededException",
        429,
        {"Code": "LimitExceededException", "ResourceType": "policy"},
    ),
}


def pending_snapshots(volume_type: str) -> Quota:
    """The quota of the snapshots that are being made of one volume."""
    return Quota.PENDING_SNAPSHOTS_HDD if volume_type in _HDD else Quota.PENDING_SNAPSHOTS


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
