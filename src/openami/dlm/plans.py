"""PolicyDetails from DLM's names to a plan. What openami has not is refused by name.

https://docs.aws.amazon.com/dlm/latest/APIReference/API_PolicyDetails.html
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from openami.domain.errors import EC2Error
from openami.domain.ids import Region, parse_account_id
from openami.domain.lifecycle_policy import (
    CopyRule,
    CreateRule,
    CustomPlan,
    DefaultPlan,
    Exclusions,
    FastRestoreRule,
    Limit,
    Pairs,
    Period,
    Plan,
    PolicyType,
    Schedule,
    ShareRule,
    Target,
    Unit,
)
from openami.domain.lifecycle_rules import InvalidLifecycleRequest, exclusive, missing, refuse
from openami.doors.operation import only

Raw = Mapping[str, Any]
Choice = TypeVar("Choice", bound=StrEnum)

DEFAULTS_MEMBERS: Final = (
    *("CreateInterval", "RetainInterval", "CopyTags", "ExtendDeletion"),
    *("CrossRegionCopyTargets", "Exclusions"),
)
"""Members that a default policy takes in the request itself as well as in PolicyDetails."""

_CUSTOM_MEMBERS: Final = (
    *("PolicyType", "ResourceTypes", "ResourceLocations", "TargetTags", "Schedules"),
    *("Parameters", "PolicyLanguage"),
)
_DEFAULT_MEMBERS: Final = ("PolicyType", "PolicyLanguage", "ResourceType", *DEFAULTS_MEMBERS)
_SCHEDULE_MEMBERS: Final = frozenset(
    {
        *("Name", "CopyTags", "TagsToAdd", "VariableTags", "CreateRule", "RetainRule"),
        *("DeprecateRule", "CrossRegionCopyRules", "ShareRules"),
        *("FastRestoreRule", "ArchiveRule"),
    }
)


def chosen(kind: type[Choice], name: str, value: str) -> Choice:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(each.value for each in kind)
        raise InvalidLifecycleRequest(
            f"{name} '{value}' is not supported; it is one of {choices}"
        ) from None


def plan(request: Raw) -> Plan:
    """The plan of CreateLifecyclePolicy. Raises InvalidLifecycleRequest, UnsupportedOperation."""
    details: Raw = request.get("PolicyDetails") or {}
    beside = [name for name in DEFAULTS_MEMBERS if name in request]
    kind = request.get("DefaultPolicy")
    if kind is None and details.get("PolicyLanguage") != "SIMPLIFIED":
        refuse(bool(beside), f"{', '.join(beside)} can only be specified for a default policy")
        if not details:
            raise missing("PolicyDetails")
        return custom(details)
    if details and beside:
        raise exclusive("PolicyDetails", *beside)
    if kind is None:
        kind = details.get("ResourceType")
        if kind is None:
            raise missing("ResourceType")
    refuse(
        details.get("ResourceType", kind) != kind, "ResourceType and DefaultPolicy are different"
    )
    given = details or {name: request[name] for name in beside}
    return default(DefaultPlan(target=chosen(Target, "DefaultPolicy", kind)), given)


def default(plan: DefaultPlan, given: Raw) -> DefaultPlan:
    """The default plan with what is given in the place of what it had."""
    for name in ("TargetTags", "Schedules", "Parameters", "ResourceTypes", "ResourceLocations"):
        refuse(name in given, f"{name} cannot be specified for a default policy")
    only(given, "PolicyDetails.", frozenset(_DEFAULT_MEMBERS))
    policy_type = given.get("PolicyType", plan.policy_type)
    refuse(policy_type != plan.policy_type, f"The PolicyType of this is {plan.policy_type}")
    regions = tuple(
        Region(each.get("TargetRegion", "")) for each in given.get("CrossRegionCopyTargets", ())
    )
    return DefaultPlan(
        target=plan.target,
        create_days=given.get("CreateInterval", plan.create_days),
        retain_days=given.get("RetainInterval", plan.retain_days),
        copy_tags=given.get("CopyTags", plan.copy_tags),
        extend_deletion=given.get("ExtendDeletion", plan.extend_deletion),
        copy_regions=regions if "CrossRegionCopyTargets" in given else plan.copy_regions,
        exclusions=_exclusions(given["Exclusions"]) if "Exclusions" in given else plan.exclusions,
    )


def _exclusions(raw: Raw) -> Exclusions:
    return Exclusions(
        boot_volumes=raw.get("ExcludeBootVolumes"),
        volume_types=tuple(raw.get("ExcludeVolumeTypes", ())),
        tags=pairs(raw.get("ExcludeTags", ())),
    )


def custom(details: Raw) -> CustomPlan:
    """The plan of a custom policy."""
    refuse(
        details.get("PolicyType") == "EVENT_BASED_POLICY",
        "Policies on events are not supported by openami",
    )
    for name in (*DEFAULTS_MEMBERS, "ResourceType"):
        refuse(name in details, f"{name} can only be specified for a default policy")
    only(details, "PolicyDetails.", frozenset(_CUSTOM_MEMBERS))
    policy_type = chosen(PolicyType, "PolicyType", details.get("PolicyType", PolicyType.SNAPSHOTS))
    types = details.get("ResourceTypes")
    if not types:
        raise missing("ResourceTypes")
    refuse(len(types) > 1, "A policy has one of ResourceTypes")
    target = chosen(Target, "ResourceTypes", types[0])
    refuse(
        policy_type is PolicyType.IMAGES and target is not Target.INSTANCE,
        "ResourceTypes of an IMAGE_MANAGEMENT policy is INSTANCE",
    )
    refuse(
        list(details.get("ResourceLocations", ["CLOUD"])) != ["CLOUD"],
        "ResourceLocations other than CLOUD are not supported by openami",
    )
    parameters: Raw = details.get("Parameters") or {}
    left_out = parameters.get("ExcludeDataVolumeTags")
    return CustomPlan(
        policy_type=policy_type,
        target=target,
        target_tags=pairs(details.get("TargetTags", ())),
        schedules=tuple(
            _schedule(each, place, policy_type)
            for place, each in enumerate(details.get("Schedules", ()), 1)
        ),
        no_reboot=parameters.get("NoReboot"),
        exclude_boot_volume=parameters.get("ExcludeBootVolume"),
        exclude_data_volume_tags=None if left_out is None else pairs(left_out),
    )


def pairs(raw: Sequence[Raw]) -> Pairs:
    return tuple((tag["Key"], tag["Value"]) for tag in raw)


def _schedule(raw: Raw, place: int, policy_type: PolicyType) -> Schedule:
    only(raw, "Schedule.", _SCHEDULE_MEMBERS)
    for name in ("CreateRule", "RetainRule"):
        if not raw.get(name):
            raise missing(name)
    copies = raw.get("CrossRegionCopyRules", ())
    archive = _archive_rule(raw.get("ArchiveRule"))
    return Schedule(
        name=raw.get("Name") or f"Schedule {place}",
        named=bool(raw.get("Name")),
        create=_create_rule(raw["CreateRule"], policy_type),
        retain=_limit(raw["RetainRule"], at_once=archive is not None),
        copy_tags=bool(raw.get("CopyTags")),
        tags_to_add=pairs(raw.get("TagsToAdd", ())),
        variable_tags=pairs(raw.get("VariableTags", ())),
        deprecate=_limit(raw["DeprecateRule"]) if raw.get("DeprecateRule") else None,
        copies=tuple(_copy_rule(each, policy_type) for each in copies),
        shares=tuple(_share_rule(each) for each in raw.get("ShareRules", ())),
        fast_restore=_fast_restore_rule(raw.get("FastRestoreRule")),
        archive=archive,
    )


def _create_rule(raw: Raw, policy_type: PolicyType) -> CreateRule:
    only(raw, "CreateRule.", {"Interval", "IntervalUnit", "Times", "CronExpression", "Location"})
    if "Location" in raw:
        refuse(policy_type is PolicyType.IMAGES, "Location is for snapshot policies only")
        refuse(raw["Location"] != "CLOUD", "A Location other than CLOUD is not supported")
    unit = raw.get("IntervalUnit")
    if (unit is None) != (raw.get("Interval") is None):
        raise missing("Interval", "IntervalUnit")
    refuse(unit not in (None, "HOURS"), "The IntervalUnit of a CreateRule is HOURS")
    times = raw.get("Times") or ()
    refuse(len(times) > 1, "A CreateRule has at most one of Times")
    return CreateRule(
        interval_hours=raw.get("Interval"),
        time=times[0] if times else None,
        cron=raw.get("CronExpression"),
    )


def _limit(raw: Raw, at_once: bool = False) -> Limit:
    """With `at_once` a count of 0 is one; else it is how clients written in Go say nothing."""
    count, age = raw.get("Count"), _period(raw)
    if count == 0 and not (at_once and age is None):
        count = None
    return Limit(count=count, age=age)


def _archive_rule(raw: Raw | None) -> Limit | None:
    if not raw:
        return None
    retain: Raw = raw.get("RetainRule") or {}
    rule: Raw | None = retain.get("RetentionArchiveTier")
    if not rule:
        raise missing("RetentionArchiveTier")
    return _limit(rule)


def _fast_restore_rule(raw: Raw | None) -> FastRestoreRule | None:
    if not raw:
        return None
    names: Sequence[str] = raw.get("AvailabilityZones") or ()
    ids: Sequence[str] = raw.get("AvailabilityZoneIds") or ()
    if names and ids:
        raise exclusive("AvailabilityZones", "AvailabilityZoneIds")
    if not names and not ids:
        raise missing("AvailabilityZones")
    return FastRestoreRule(zones=tuple(names or ids), by_id=bool(ids), lasts=_limit(raw))


def _period(raw: Raw | None, prefix: str = "") -> Period | None:
    interval = (raw or {}).get(f"{prefix}Interval")
    unit = (raw or {}).get(f"{prefix}IntervalUnit")
    if not interval and not unit:
        return None
    if interval is None or unit is None:
        raise missing(f"{prefix}Interval", f"{prefix}IntervalUnit")
    return Period(interval=interval, unit=chosen(Unit, f"{prefix}IntervalUnit", unit))


def _copy_rule(raw: Raw, policy_type: PolicyType) -> CopyRule:
    images = policy_type is PolicyType.IMAGES
    if raw.get("Target") and raw.get("TargetRegion"):
        raise exclusive("Target", "TargetRegion")
    name = "TargetRegion" if images else "Target"
    if not raw.get(name):
        raise missing(name)
    refuse(bool(raw.get("Encrypted")), "openami does not encrypt volumes yet: Encrypted is false")
    refuse(bool(raw.get("CmkArn")), "CmkArn needs Encrypted")
    return CopyRule(
        region=Region(raw[name]),
        copy_tags=bool(raw.get("CopyTags")),
        retain=_period(raw.get("RetainRule")),
        deprecate=_period(raw.get("DeprecateRule")),
    )


def _share_rule(raw: Raw) -> ShareRule:
    try:
        accounts = tuple(parse_account_id(each) for each in raw.get("TargetAccounts", ()))
    except EC2Error as malformed:
        raise InvalidLifecycleRequest(str(malformed)) from malformed
    return ShareRule(accounts=accounts, unshare=_period(raw, "Unshare"))
