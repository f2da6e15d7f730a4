"""EC2's token buckets: a burst is free, then requests come at the rate of the refill.

Every operation has buckets of its own in each account and region; how large they are goes by the
kind of the operation. Some also take a token for each instance they start or end.
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from openami.domain.caller import Caller
from openami.domain.errors import EC2Error


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """So many tokens at most, and so many more each second."""

    capacity: float
    per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What was in a bucket at a moment, in seconds of some clock."""

    tokens: float
    at_s: float


Key = tuple[str, str, str, str]
"""Account, region, service, and the operation, which may name its second bucket."""

READING: Final = Bucket(capacity=100, per_s=20)
READING_ALL: Final = Bucket(capacity=50, per_s=10)
CHANGING: Final = Bucket(capacity=50, per_s=5)

_READ: Final = ("Describe", "Get", "List", "Search")
# A call of these that names no filter, no page and no resource takes from a smaller bucket.
_HEAVY_WHEN_ALL: Final = frozenset(
    {"DescribeInstances", "DescribeInstanceStatus", "DescribeNetworkInterfaces"}
    | {"DescribeSecurityGroups", "DescribeSnapshots", "DescribeVolumes"}
)
_NARROWS: Final = ("Filters", "MaxResults", "NextToken")
_OWN: Final[Mapping[str, Bucket]] = {
    **dict.fromkeys(("RunInstances", "StartInstances"), Bucket(capacity=5, per_s=2)),
    **dict.fromkeys(("CreateTags", "DeleteTags"), Bucket(capacity=100, per_s=10)),
    **dict.fromkeys(
        (
            *("AttachVolume", "CreateLaunchTemplateVersion", "CreateSnapshot", "CreateSnapshots"),
            *("CreateVolume", "DeleteSnapshot", "DeleteVolume", "DetachVolume"),
            *("ModifyInstanceMetadataOptions", "ModifyLaunchTemplate", "ModifySnapshotAttribute"),
            *("ModifyVolume", "MonitorInstances", "TerminateInstances", "UnmonitorInstances"),
        ),
        Bucket(capacity=100, per_s=5),
    ),
    **dict.fromkeys(
        ("CreateRestoreImageTask", "CreateStoreImageTask"), Bucket(capacity=50, per_s=0.1)
    ),
    **dict.fromkeys(
        (
            *("DisableImageBlockPublicAccess", "DisableSnapshotBlockPublicAccess"),
            *("EnableImageBlockPublicAccess", "EnableSnapshotBlockPublicAccess"),
        ),
        Bucket(capacity=1, per_s=0.1),
    ),
}
# https://docs.aws.amazon.com/general/latest/gr/ebs-service.html
_DIRECT: Final[Mapping[str, Bucket]] = {
    **dict.fromkeys(("GetSnapshotBlock", "PutSnapshotBlock"), Bucket(capacity=1000, per_s=1000)),
    **dict.fromkeys(("ListChangedBlocks", "ListSnapshotBlocks"), Bucket(capacity=50, per_s=50)),
    **dict.fromkeys(("CompleteSnapshot", "StartSnapshot"), Bucket(capacity=10, per_s=10)),
}
_BY_INSTANCE: Final[Mapping[str, Bucket]] = {
    "RunInstances": Bucket(capacity=1000, per_s=2),
    "StartInstances": Bucket(capacity=1000, per_s=2),
    "StopInstances": Bucket(capacity=1000, per_s=20),
    "TerminateInstances": Bucket(capacity=1000, per_s=20),
}
# Parameter Store's standard throughput; the other services say nothing and go by EC2's kinds.
# https://docs.aws.amazon.com/general/latest/gr/ssm.html
_PARAMETERS: Final = Bucket(capacity=40, per_s=40)

KEPT_MAX: Final = 10_000


def wanted(
    service: str, operation: str, request: Mapping[str, Any]
) -> tuple[tuple[str, Bucket, int], ...]:
    """What a request takes: the name of each bucket, its size, and the tokens."""
    if service == "ssm":
        return ((operation, _PARAMETERS, 1),)
    if service == "ebs":
        return ((operation, _DIRECT[operation], 1),)
    taken = [(*_bucket(operation, request), 1)]
    if operation in _BY_INSTANCE:
        told = request.get("MaxCount") or len(request.get("InstanceIds", ()))
        instances = max(1, told)  # a number that is refused later gives nothing back
        taken.append((f"{operation} instances", _BY_INSTANCE[operation], instances))
    return tuple(taken)


def _bucket(operation: str, request: Mapping[str, Any]) -> tuple[str, Bucket]:
    if operation in _OWN:
        return operation, _OWN[operation]
    if not operation.startswith(_READ):
        return operation, CHANGING
    narrowed = any(name in _NARROWS or name.endswith("Ids") for name in request)
    if operation in _HEAVY_WHEN_ALL and not narrowed:
        return f"{operation} of all", READING_ALL
    return operation, READING


def level_now(bucket: Bucket, before: Level | None, now_s: float) -> Level:
    """The bucket, refilled. One that nobody took from is full; a clock set back fills nothing."""
    if before is None:
        return Level(tokens=bucket.capacity, at_s=now_s)
    refilled = before.tokens + max(0.0, now_s - before.at_s) * bucket.per_s
    return Level(tokens=min(bucket.capacity, refilled), at_s=now_s)


class Throttle:
    """The buckets of a server. A bucket that is full again need not be remembered.

    `lock` keeps requests that come at once apart.
    """

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        self._levels: dict[Key, tuple[Bucket, Level]] = {}

    def admit(
        self,
        caller: Caller,
        service: str,
        operation: str,
        request: Mapping[str, Any],
        now_s: float,
    ) -> None:
        """Take what the request takes, of all its buckets or of none. Raises RequestLimitExceeded.

        In the services other than EC2 it is called ThrottlingException.
        """
        with self._lock:
            after: dict[Key, tuple[Bucket, Level]] = {}
            for name, bucket, tokens in wanted(service, operation, request):
                key = (caller.account, caller.region, service, name)
                known = self._levels.get(key)
                level = level_now(bucket, known and known[1], now_s)
                if level.tokens < tokens:
                    raise _refusal(service)
                after[key] = bucket, Level(tokens=level.tokens - tokens, at_s=now_s)
            self._levels |= after
            if len(self._levels) > KEPT_MAX:
                self._forget_full(now_s)

    def _forget_full(self, now_s: float) -> None:
        self._levels = {
            key: (bucket, level)
            for key, (bucket, level) in self._levels.items()
            if level_now(bucket, level, now_s).tokens < bucket.capacity
        }

    def __len__(self) -> int:
        return len(self._levels)


def _refusal(service: str) -> EC2Error:
    """SDKs know both by their names and try again later."""
    if service == "ec2":
        return EC2Error.of("RequestLimitExceeded", "Request limit exceeded.", 503)
    return EC2Error.of("ThrottlingException", "Rate exceeded")
