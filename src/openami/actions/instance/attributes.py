"""What of an instance may be changed after its launch, and when."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from openami.catalog import instance_settings, instances, security_groups, volumes
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import (
    EC2Error,
    IncorrectInstanceState,
    InvalidParameterValue,
    SecurityGroupNotFound,
)
from openami.domain.filter import Page
from openami.domain.ids import InstanceId, SecurityGroupId
from openami.domain.instance import Instance, InstanceState, MetadataOptions
from openami.domain.instance_type import known_type
from openami.domain.launch import MetadataChange
from openami.services import Services
from openami.workflows import machines


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChange:
    """What ModifyInstanceAttribute changes; None leaves an attribute as it is."""

    instance_type: str | None = None
    user_data: bytes | None = None  # empty: no user data any more
    disable_api_termination: bool | None = None
    disable_api_stop: bool | None = None
    shutdown_behavior: str | None = None
    source_dest_check: bool | None = None
    ebs_optimized: bool | None = None
    ena_support: bool | None = None
    security_group_ids: tuple[SecurityGroupId, ...] | None = None
    delete_on_termination: tuple[tuple[str, bool], ...] = ()  # device name and flag


_STOPPED_ONLY: Final = ("instance_type", "user_data", "ebs_optimized", "ena_support")
"""https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyInstanceAttribute.html"""


def modify_instance_attribute(
    svc: Services, caller: Caller, instance_id: InstanceId, change: AttributeChange
) -> None:
    """Raises IncorrectInstanceState for what only a stopped instance lets be changed."""
    with svc.catalog.begin() as tx:
        before = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        if before.state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
            raise IncorrectInstanceState(before.id, before.state, "ModifyInstanceAttribute")
        after = _changed(before, change)
        if change.security_group_ids is not None:
            after = replace(
                after, security_group_ids=_checked_groups(tx, caller, change.security_group_ids)
            )
        instances.save(tx, after)
        _save_devices(tx, after, change.delete_on_termination)
    if before.security_group_ids != after.security_group_ids:
        machines.refresh(svc, [instance_id])
        machines.refresh_peers(
            svc, {*before.security_group_ids, *after.security_group_ids}, [instance_id]
        )


def _changed(instance: Instance, change: AttributeChange) -> Instance:
    for name in _STOPPED_ONLY:
        if getattr(change, name) is not None and instance.state is not InstanceState.STOPPED:
            raise IncorrectInstanceState(
                instance.id, instance.state, "a change that needs a stopped instance"
            )
    if change.instance_type is not None:
        _check_type(instance, change.instance_type)
        # Processors that were chosen of the old type are no choice of the new one.
        instance = replace(instance, core_count=None, threads_per_core=None)
    return replace(
        instance,
        instance_type=change.instance_type or instance.instance_type,
        user_data=instance.user_data if change.user_data is None else change.user_data or None,
        shutdown_behavior=change.shutdown_behavior or instance.shutdown_behavior,
        disable_api_termination=_or(
            change.disable_api_termination, instance.disable_api_termination
        ),
        disable_api_stop=_or(change.disable_api_stop, instance.disable_api_stop),
        source_dest_check=_or(change.source_dest_check, instance.source_dest_check),
        ebs_optimized=_or(change.ebs_optimized, instance.ebs_optimized),
        ena_support=_or(change.ena_support, instance.ena_support),
    )


def _or(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


def _check_type(instance: Instance, name: str) -> None:
    if instance.current_boot_mode not in known_type(name).boot_modes:
        raise EC2Error.of(
            "Unsupported",
            f"The instance '{instance.id}' boots by {instance.current_boot_mode}, which the"
            f" instance type '{name}' does not support.",
        )


def _checked_groups(
    tx: Transaction, caller: Caller, group_ids: Sequence[SecurityGroupId]
) -> tuple[SecurityGroupId, ...]:
    if not group_ids:
        raise SecurityGroupNotFound("")
    return tuple(
        dict.fromkeys(security_groups.fetch_owned(tx, each, caller).id for each in group_ids)
    )


def _save_devices(tx: Transaction, instance: Instance, flags: Sequence[tuple[str, bool]]) -> None:
    attached = {
        volume.attachment.device_name: (volume, volume.attachment)
        for volume in volumes.of_instance(tx, instance.id)
        if volume.attachment is not None
    }
    for device_name, flag in flags:
        if device_name not in attached:
            raise EC2Error.of(
                "InvalidInstanceAttributeValue",
                f"No device is currently mapped at {device_name}",
            )
        volume, attachment = attached[device_name]
        changed = replace(attachment, delete_on_termination=flag)
        volumes.save(tx, replace(volume, attachment=changed))


def modify_instance_metadata_options(
    svc: Services, caller: Caller, instance_id: InstanceId, change: MetadataChange
) -> MetadataOptions:
    """The options as they are now; the metadata service heeds them from its next answer."""
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        if instance.state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
            raise IncorrectInstanceState(
                instance.id, instance.state, "ModifyInstanceMetadataOptions"
            )
        options = change.applied_to(instance.metadata_options)
        if change.http_tokens is not None:
            settings = instance_settings.of(tx, caller.account, caller.region)
            settings.check(options, "run an instance")
        instances.save(tx, replace(instance, metadata_options=options))
    return options


def instance_credits(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId]
) -> list[tuple[InstanceId, str]]:
    """The credit option of burstable instances; without ids, of those that run unlimited.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceCreditSpecifications.html
    """
    with svc.catalog.read() as tx:
        found = instances.describe(tx, caller, instance_ids, (), Page())
    for each in found:
        if instance_ids and each.cpu_credits is None:
            raise InvalidParameterValue(f"The instance '{each.id}' is not of a burstable type.")
    return [
        (each.id, each.cpu_credits)
        for each in found
        if each.cpu_credits is not None and (instance_ids or each.cpu_credits == "unlimited")
    ]
