"""What a lifecycle policy may say: the limits of Data Lifecycle Manager, and its refusals.

https://docs.aws.amazon.com/dlm/latest/APIReference/API_Schedule.html and the pages it names.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from openami.domain import cron
from openami.domain.errors import EC2Error
from openami.domain.ids import Region
from openami.domain.lifecycle_policy import (
    CopyRule,
    CreateRule,
    CustomPlan,
    DefaultPlan,
    LifecyclePolicy,
    Limit,
    Period,
    PolicyType,
    Schedule,
    Target,
)

INTERVALS_HOURS: Final = (1, 2, 3, 4, 6, 8, 12, 24)
SCHEDULES_MAX: Final = 4
COUNT_MAX: Final = 1000
RETAINED_MAX_DAYS: Final = 36500
DEPRECATED_MAX_DAYS: Final = 3650
TAGS_TO_ADD_MAX: Final = 45
COPIES_MAX: Final = 3
ZONES_MAX: Final = 10
POLICY_TAGS_MAX: Final = 50
TARGET_TAGS_MAX: Final = 50
VARIABLES: Final = ("$(instance-id)", "$(timestamp)")

_ROLE: Final = re.compile(r"arn:aws(-[a-z]{1,3}){0,2}:iam::\d+:role/.*")
_DESCRIPTION: Final = re.compile(r"[0-9A-Za-z _-]{0,500}")
_NAME: Final = re.compile(r"[0-9A-Za-z _-]{1,120}")
_TIME: Final = re.compile(r"(0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]")


class InvalidLifecycleRequest(EC2Error):
    """DLM's refusal of what it is asked; `details` stand in the answer beside the message."""

    code = "InvalidRequestException"

    def __init__(
        self, message: str, *, required: Sequence[str] = (), exclusive: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        named = {"RequiredParameters": required, "MutuallyExclusiveParameters": exclusive}
        self.details = {
            "Code": self.code,
            **{name: list(names) for name, names in named.items() if names},
        }


class PolicyNotFound(EC2Error):
    code = "ResourceNotFoundException"
    status = 404

    def __init__(self, *ids: str) -> None:
        super().__init__(f"The following resources were not found: {', '.join(ids)}")
        self.details = {
            "Code": self.code,
            "ResourceType": "policy",
            "ResourceIds": list(ids),
        }


class PolicyLimitExceeded(EC2Error):
    code = "LimitExceededException"
    status = 429

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.details = {"Code": self.code, "ResourceType": "policy"}


def missing(*parameters: str) -> InvalidLifecycleRequest:
    return InvalidLifecycleRequest(
        f"The following parameters are required: {', '.join(parameters)}", required=parameters
    )


def exclusive(*parameters: str) -> InvalidLifecycleRequest:
    return InvalidLifecycleRequest(
        f"The following parameters cannot be specified together: {', '.join(parameters)}",
        exclusive=parameters,
    )


def refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise InvalidLifecycleRequest(message)


def check_policy(policy: LifecyclePolicy) -> None:
    """All but its plan. Raises InvalidLifecycleRequest for what DLM does not take."""
    refuse(
        _ROLE.fullmatch(policy.execution_role_arn) is None,
        f"ExecutionRoleArn '{policy.execution_role_arn}' is not the ARN of an IAM role",
    )
    refuse(
        _DESCRIPTION.fullmatch(policy.description) is None,
        "Description has at most 500 letters, digits, spaces, '_' and '-'",
    )
    check_policy_tags(policy.tags)


def check_policy_tags(tags: Mapping[str, str]) -> None:
    refuse(len(tags) > POLICY_TAGS_MAX, f"A policy has at most {POLICY_TAGS_MAX} tags")
    for key, value in tags.items():
        _check_tag("Tags", key, value)


def check_change(before: LifecyclePolicy, after: LifecyclePolicy) -> None:
    """https://docs.aws.amazon.com/ebs/latest/userguide/modify.html"""
    counted = {each.name for each in before.schedules if each.retain.count is not None}
    refuse(
        any(each.name in counted and each.retain.count is None for each in after.schedules),
        "The RetainRule of a Schedule cannot change from a count to an age: make a new policy",
    )


def check_plan(policy: LifecyclePolicy, regions: Collection[str], now: datetime) -> None:
    """Raises InvalidLifecycleRequest for what DLM does not take, at this time."""
    plan = policy.plan
    if isinstance(plan, DefaultPlan):
        _check_default(plan, policy, regions)
        return
    if not plan.target_tags:
        raise missing("TargetTags")
    refuse(
        len(plan.target_tags) > TARGET_TAGS_MAX,
        f"A policy has at most {TARGET_TAGS_MAX} TargetTags",
    )
    if not plan.schedules:
        raise missing("Schedules")
    refuse(len(plan.schedules) > SCHEDULES_MAX, f"A policy has at most {SCHEDULES_MAX} Schedules")
    names = [schedule.name for schedule in plan.schedules]
    refuse(len(set(names)) < len(names), "The Names of a policy's Schedules must be different")
    for schedule in plan.schedules:
        _check_schedule(plan, schedule, policy.region, now)
        _check_copies([rule.region for rule in schedule.copies], policy, regions)
    _check_parameters(plan)


def _check_default(plan: DefaultPlan, policy: LifecyclePolicy, regions: Collection[str]) -> None:
    refuse(not 1 <= plan.create_days <= 7, "CreateInterval is from 1 to 7 days")
    refuse(not 2 <= plan.retain_days <= 14, "RetainInterval is from 2 to 14 days")
    refuse(
        plan.retain_days <= plan.create_days, "RetainInterval must be greater than CreateInterval"
    )
    _check_copies(plan.copy_regions, policy, regions)
    left_out = plan.exclusions
    if left_out is not None and plan.target is Target.INSTANCE:
        refuse(
            bool(left_out.boot_volumes or left_out.volume_types),
            "ExcludeBootVolumes and ExcludeVolumeTypes are for default policies of volumes only",
        )


def _check_copies(asked: Sequence[str], policy: LifecyclePolicy, regions: Collection[str]) -> None:
    refuse(len(asked) > COPIES_MAX, f"At most {COPIES_MAX} cross-Region copies can be made")
    refuse(len(set(asked)) < len(asked), "A cross-Region copy can be made once per Region")
    for region in asked:
        refuse(region not in regions, f"Region '{region}' is not one of this service")
        refuse(region == policy.region, "A cross-Region copy must go to another Region")


def _check_parameters(plan: CustomPlan) -> None:
    images = plan.policy_type is PolicyType.IMAGES
    refuse(plan.no_reboot is not None and not images, "NoReboot is for IMAGE_MANAGEMENT only")
    refuse(
        not plan.makes_sets
        and (plan.exclude_boot_volume is not None or plan.exclude_data_volume_tags is not None),
        "ExcludeBootVolume and ExcludeDataVolumeTags are for snapshot policies of instances only",
    )


def _check_schedule(plan: CustomPlan, schedule: Schedule, region: Region, now: datetime) -> None:
    refuse(
        _NAME.fullmatch(schedule.name) is None,
        "The Name of a Schedule has at most 120 letters, digits, spaces, '_' and '-'",
    )
    _check_create(schedule.create, now)
    _check_limit("RetainRule", schedule.retain, RETAINED_MAX_DAYS, least=_least(schedule))
    _check_archive(plan, schedule)
    _check_fast_restore(plan, schedule, region)
    images = plan.policy_type is PolicyType.IMAGES
    if schedule.deprecate is not None:
        refuse(not images, "DeprecateRule is for IMAGE_MANAGEMENT only")
        _check_limit("DeprecateRule", schedule.deprecate, DEPRECATED_MAX_DAYS, schedule.retain)
    _check_schedule_tags(plan, schedule)
    for rule in schedule.copies:
        _check_copy(rule, images)
    refuse(len(schedule.shares) > 1, "A Schedule has at most one ShareRule")
    for share in schedule.shares:
        refuse(images, "ShareRules are for EBS_SNAPSHOT_MANAGEMENT only")
        refuse(not share.accounts, "A ShareRule names at least one account")
        if share.unshare is not None:
            _check_period("ShareRule.Unshare", share.unshare, RETAINED_MAX_DAYS)


def _check_schedule_tags(plan: CustomPlan, schedule: Schedule) -> None:
    refuse(
        len(schedule.tags_to_add) + len(schedule.variable_tags) > TAGS_TO_ADD_MAX,
        f"A Schedule adds at most {TAGS_TO_ADD_MAX} tags",
    )
    for key, value in schedule.tags_to_add:
        _check_tag("TagsToAdd", key, value)
    refuse(
        bool(schedule.variable_tags) and plan.target is not Target.INSTANCE,
        "VariableTags are for policies of instances only",
    )
    for key, value in schedule.variable_tags:
        _check_tag("VariableTags", key, value)
        refuse(value not in VARIABLES, f"A variable tag is {' or '.join(VARIABLES)}, not {value}")
    keys = [key for key, _ in schedule.tags_to_add + schedule.variable_tags]
    refuse(len(set(keys)) < len(keys), "A tag key can be added only once")


def _check_tag(where: str, key: str, value: str) -> None:
    refuse(not 1 <= len(key) <= 128, f"A key of {where} has from 1 to 128 characters")
    refuse(len(value) > 256, f"A value of {where} has at most 256 characters")
    refuse(key.lower().startswith("aws:"), f"{where} cannot have keys that begin with aws:")


def _check_create(rule: CreateRule, now: datetime) -> None:
    if rule.cron is not None:
        if rule.interval_hours is not None or rule.time is not None:
            raise exclusive("CronExpression", "Interval", "IntervalUnit", "Times")
        _check_cron(rule.cron, now)
        return
    if rule.interval_hours is None:
        raise missing("Interval", "IntervalUnit")
    refuse(
        rule.interval_hours not in INTERVALS_HOURS,
        f"Interval is one of {', '.join(map(str, INTERVALS_HOURS))} hours",
    )
    if rule.time is not None:
        refuse(_TIME.fullmatch(rule.time) is None, f"Times '{rule.time}' is not of the form hh:mm")


def _check_cron(text: str, now: datetime) -> None:
    """The schedule interval must be between 1 hour and 1 year."""
    try:
        expression = cron.parse(text)
    except cron.BadCron as bad:
        raise InvalidLifecycleRequest(f"CronExpression is invalid: {bad}") from bad
    refuse(len(expression.minutes) > 1, "CronExpression runs more than once an hour")
    first = expression.next_after(now)
    refuse(first is None, "CronExpression never runs")
    assert first is not None
    second = expression.next_after(first)
    refuse(
        second is not None and second - first > timedelta(days=366),
        "CronExpression runs less than once a year",
    )


def _least(schedule: Schedule) -> int:
    """0 is for what goes into the archive at once, and is not needed for anything before."""
    needed = schedule.fast_restore or schedule.shares or schedule.copies
    return 1 if needed or schedule.archive is None else 0


def _check_archive(plan: CustomPlan, schedule: Schedule) -> None:
    if schedule.archive is None:
        return
    of_volumes = plan.policy_type is PolicyType.SNAPSHOTS and plan.target is Target.VOLUME
    refuse(not of_volumes, "ArchiveRule is for snapshot policies of volumes only")
    _check_limit("ArchiveRule", schedule.archive, RETAINED_MAX_DAYS)
    _check_same_kind("ArchiveRule", schedule.archive, schedule.retain)


def _check_fast_restore(plan: CustomPlan, schedule: Schedule, region: Region) -> None:
    rule = schedule.fast_restore
    if rule is None:
        return
    refuse(
        plan.policy_type is PolicyType.IMAGES,
        "FastRestoreRule is for EBS_SNAPSHOT_MANAGEMENT only",
    )
    refuse(len(rule.zones) > ZONES_MAX, f"A FastRestoreRule has at most {ZONES_MAX} zones")
    try:
        names = rule.names(region)
    except EC2Error as strange:
        raise InvalidLifecycleRequest(str(strange)) from strange
    refuse(len(set(names)) < len(names), "A zone can be named only once in a FastRestoreRule")
    _check_limit("FastRestoreRule", rule.lasts, RETAINED_MAX_DAYS, schedule.retain)


def _check_same_kind(name: str, limit: Limit, retain: Limit) -> None:
    refuse(
        (limit.count is None) != (retain.count is None),
        f"{name} and RetainRule both have a Count, or both an Interval",
    )


def _check_limit(
    name: str, limit: Limit, days_max: int, within: Limit | None = None, least: int = 1
) -> None:
    """A count or an age, which ends no later than that of `within`."""
    if limit.count is not None and limit.age is not None:
        raise exclusive("Count", "Interval", "IntervalUnit")
    if limit.count is not None:
        refuse(
            not least <= limit.count <= COUNT_MAX, f"{name}.Count is from {least} to {COUNT_MAX}"
        )
    elif limit.age is not None:
        _check_period(name, limit.age, days_max, least)
    else:
        raise missing(name)
    if within is None:
        return
    _check_same_kind(name, limit, within)
    refuse(
        (limit.count or 0) > (within.count or 0) or _days(limit) > _days(within),
        f"{name} is at most what the RetainRule says",
    )


def _days(limit: Limit) -> float:
    return 0 if limit.age is None else limit.age.days


def _check_copy(rule: CopyRule, images: bool) -> None:
    retain = None if rule.retain is None else Limit(age=rule.retain)
    if retain is not None:
        _check_limit("RetainRule of a copy", retain, RETAINED_MAX_DAYS)
    if rule.deprecate is not None:
        refuse(not images, "DeprecateRule of a copy is for IMAGE_MANAGEMENT only")
        deprecate = Limit(age=rule.deprecate)
        _check_limit("DeprecateRule of a copy", deprecate, DEPRECATED_MAX_DAYS, retain)


def _check_period(name: str, period: Period, days_max: int, least: int = 1) -> None:
    refuse(period.interval < least, f"{name}.Interval is at least {least}")
    refuse(period.days > days_max, f"{name}.Interval is at most {days_max} days")
