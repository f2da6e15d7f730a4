"""Lifecycle policies as DLM tells them."""

from collections.abc import Mapping
from typing import Any

from openami.domain.lifecycle_policy import (
    CopyRule,
    CreateRule,
    CustomPlan,
    DefaultPlan,
    Exclusions,
    FastRestoreRule,
    LifecyclePolicy,
    Limit,
    Pairs,
    Period,
    Plan,
    PolicyType,
    Schedule,
    ShareRule,
)

Answer = dict[str, Any]


def told(**members: Any) -> Answer:
    """What is None is absent."""
    return {name: value for name, value in members.items() if value is not None}


def policy(found: LifecyclePolicy) -> Answer:
    return told(
        PolicyId=found.id,
        PolicyArn=found.arn,
        Description=found.description,
        State=found.state,
        StatusMessage=found.status_message or found.state,
        ExecutionRoleArn=found.execution_role_arn,
        DateCreated=found.created_at,
        DateModified=found.modified_at,
        PolicyDetails=details(found.plan),
        Tags=dict(found.tags),
        DefaultPolicy=isinstance(found.plan, DefaultPlan),
    )


def summary(found: LifecyclePolicy) -> Answer:
    return told(
        PolicyId=found.id,
        Description=found.description,
        State=found.state,
        Tags=dict(found.tags),
        PolicyType=found.plan.policy_type,
        DefaultPolicy=isinstance(found.plan, DefaultPlan),
    )


def details(plan: Plan) -> Answer:
    if isinstance(plan, DefaultPlan):
        return told(
            PolicyType=plan.policy_type,
            PolicyLanguage="SIMPLIFIED",
            ResourceType=plan.target,
            CreateInterval=plan.create_days,
            RetainInterval=plan.retain_days,
            CopyTags=plan.copy_tags,
            ExtendDeletion=plan.extend_deletion,
            CrossRegionCopyTargets=[{"TargetRegion": each} for each in plan.copy_regions],
            Exclusions=None if plan.exclusions is None else _exclusions(plan.exclusions),
        )
    return told(
        PolicyType=plan.policy_type,
        PolicyLanguage="STANDARD",
        ResourceTypes=[plan.target],
        ResourceLocations=["CLOUD"],
        TargetTags=_tags(plan.target_tags),
        Schedules=[_schedule(each, plan.policy_type) for each in plan.schedules],
        Parameters=_parameters(plan) or None,
    )


def _parameters(plan: CustomPlan) -> Answer:
    left_out = plan.exclude_data_volume_tags
    return told(
        NoReboot=plan.no_reboot,
        ExcludeBootVolume=plan.exclude_boot_volume,
        ExcludeDataVolumeTags=None if left_out is None else _tags(left_out),
    )


def _exclusions(left_out: Exclusions) -> Answer:
    return told(
        ExcludeBootVolumes=left_out.boot_volumes,
        ExcludeVolumeTypes=list(left_out.volume_types) or None,
        ExcludeTags=_tags(left_out.tags) or None,
    )


def _tags(pairs: Pairs) -> list[Mapping[str, str]]:
    return [{"Key": key, "Value": value} for key, value in pairs]


def _schedule(schedule: Schedule, policy_type: PolicyType) -> Answer:
    deprecate = schedule.deprecate
    return told(
        Name=schedule.name if schedule.named else None,
        CopyTags=schedule.copy_tags,
        TagsToAdd=_tags(schedule.tags_to_add) or None,
        VariableTags=_tags(schedule.variable_tags) or None,
        CreateRule=_create_rule(schedule.create, policy_type),
        RetainRule=_limit(schedule.retain),
        DeprecateRule=deprecate and _limit(deprecate),
        CrossRegionCopyRules=[_copy_rule(each, policy_type) for each in schedule.copies] or None,
        ShareRules=[_share_rule(each) for each in schedule.shares] or None,
        FastRestoreRule=schedule.fast_restore and _fast_restore_rule(schedule.fast_restore),
        ArchiveRule=schedule.archive
        and {"RetainRule": {"RetentionArchiveTier": _limit(schedule.archive)}},
    )


def _create_rule(rule: CreateRule, policy_type: PolicyType) -> Answer:
    return told(
        Interval=rule.interval_hours,
        IntervalUnit=None if rule.interval_hours is None else "HOURS",
        Times=None if rule.time is None else [rule.time],
        CronExpression=rule.cron,
        Location="CLOUD" if policy_type is PolicyType.SNAPSHOTS else None,
    )


def _limit(limit: Limit) -> Answer:
    return told(Count=limit.count, **_period(limit.age))


def _period(period: Period | None, prefix: str = "") -> Answer:
    if period is None:
        return {}
    return {f"{prefix}Interval": period.interval, f"{prefix}IntervalUnit": period.unit}


def _copy_rule(rule: CopyRule, policy_type: PolicyType) -> Answer:
    where = "TargetRegion" if policy_type is PolicyType.IMAGES else "Target"
    return {
        where: rule.region,
        **told(
            Encrypted=False,
            CopyTags=rule.copy_tags,
            RetainRule=_period(rule.retain) or None,
            DeprecateRule=_period(rule.deprecate) or None,
        ),
    }


def _fast_restore_rule(rule: FastRestoreRule) -> Answer:
    zones = "AvailabilityZoneIds" if rule.by_id else "AvailabilityZones"
    return {**_limit(rule.lasts), zones: list(rule.zones)}


def _share_rule(rule: ShareRule) -> Answer:
    return {"TargetAccounts": list(rule.accounts), **_period(rule.unshare, "Unshare")}
