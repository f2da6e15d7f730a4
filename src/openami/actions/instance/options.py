"""Small things about an instance that may be changed or reported at any time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from openami.catalog import idempotency, instances
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, IncorrectInstanceState
from openami.domain.idempotency import ClientToken
from openami.domain.ids import InstanceId, parse_instance_id
from openami.domain.instance import Instance, InstanceState
from openami.domain.instance_type import known_type
from openami.domain.instance_types.cpu_options import (
    CpuOptions,
    checked_cpu_options,
    cpu_options_of,
)
from openami.services import Services

_log = logging.getLogger(__name__)

_GONE: Final = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


def set_monitoring(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId], *, enabled: bool
) -> list[Instance]:
    """All or none. Raises InstanceNotFound, IncorrectInstanceState."""
    with svc.catalog.begin() as tx:
        found = instances.fetch_all_owned(tx, instance_ids, caller.account, caller.region)
        for each in found:
            if each.state in _GONE:
                raise IncorrectInstanceState(each.id, each.state, "a change of its monitoring")
        changed = [replace(each, monitoring=enabled) for each in found]
        for each in changed:
            instances.save(tx, each)
    return changed


def set_cpu_options(
    svc: Services,
    caller: Caller,
    instance_id: InstanceId,
    core_count: int | None,
    threads_per_core: int | None,
) -> CpuOptions:
    """Of a stopped instance, from its next start on; None leaves one as it is."""
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        if instance.state is not InstanceState.STOPPED:
            raise IncorrectInstanceState(instance.id, instance.state, "ModifyInstanceCpuOptions")
        before = cpu_options_of(instance)
        options = CpuOptions(
            core_count=before.core_count if core_count is None else core_count,
            threads_per_core=(
                before.threads_per_core if threads_per_core is None else threads_per_core
            ),
        )
        checked_cpu_options(options, known_type(instance.instance_type))
        changed = replace(
            instance,
            core_count=options.core_count,
            threads_per_core=options.threads_per_core,
        )
        instances.save(tx, changed)
    return options


def set_maintenance(
    svc: Services,
    caller: Caller,
    instance_id: InstanceId,
    auto_recovery: str | None,
    reboot_migration: str | None,
) -> Instance:
    """The instance as it is now; None leaves an option as it is."""
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        if instance.state in _GONE:
            raise IncorrectInstanceState(
                instance.id, instance.state, "ModifyInstanceMaintenanceOptions"
            )
        changed = replace(
            instance,
            auto_recovery=auto_recovery or instance.auto_recovery,
            reboot_migration=reboot_migration or instance.reboot_migration,
        )
        instances.save(tx, changed)
    return changed


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditChange:
    """What an instance is to have, and, where it does not get it, EC2's reason."""

    instance_id: str
    cpu_credits: str
    refusal: EC2Error | None = None


def set_credits(
    svc: Services, caller: Caller, changes: Sequence[CreditChange], token: ClientToken | None
) -> list[CreditChange]:
    """Each for itself: what is refused keeps nothing of the rest from being changed."""
    with svc.catalog.begin() as tx:
        earlier = idempotency.earlier(tx, caller, token)
        done = [_credits_set(tx, caller, each) for each in changes]
        if earlier is None:
            idempotency.remember(tx, caller, token, changes[0].instance_id, svc.clock.now())
    return done


def _credits_set(tx: Transaction, caller: Caller, change: CreditChange) -> CreditChange:
    try:
        instance_id = parse_instance_id(change.instance_id)
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        _check_credits(instance)
    except EC2Error as refusal:
        return replace(change, refusal=refusal)
    instances.save(tx, replace(instance, cpu_credits=change.cpu_credits))
    return change


def _check_credits(instance: Instance) -> None:
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        raise IncorrectInstanceState(
            instance.id, instance.state, "ModifyInstanceCreditSpecification"
        )
    if instance.cpu_credits is None:
        raise EC2Error.of(
            "InstanceCreditSpecification.NotSupported",
            f"The instance '{instance.id}' is not of a burstable type.",
        )


def check_placement(
    svc: Services, caller: Caller, instance_id: InstanceId, *, stopped: bool
) -> None:
    """Raises InstanceNotFound, IncorrectInstanceState. There is one place, where it is already."""
    with svc.catalog.read() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
    if instance.state in _GONE or (stopped and instance.state is not InstanceState.STOPPED):
        raise IncorrectInstanceState(instance.id, instance.state, "ModifyInstancePlacement")


def report_status(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId], status: str, words: str
) -> None:
    """What a user has to say of instances, for the operator: it is in the server's log."""
    with svc.catalog.begin() as tx:
        found = instances.fetch_all_owned(tx, instance_ids, caller.account, caller.region)
        for each in found:
            if each.state is not InstanceState.RUNNING:
                raise IncorrectInstanceState(each.id, each.state, "ReportInstanceStatus")
    for each in found:
        _log.warning("%s reports that %s is %s: %s", caller.account, each.id, status, words)


def fetch_instance(svc: Services, caller: Caller, instance_id: InstanceId) -> Instance:
    with svc.catalog.read() as tx:
        return instances.fetch_owned(tx, instance_id, caller.account, caller.region)


def reset_source_dest_check(svc: Services, caller: Caller, instance_id: InstanceId) -> None:
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        if instance.state in _GONE:
            raise IncorrectInstanceState(instance.id, instance.state, "ResetInstanceAttribute")
        instances.save(tx, replace(instance, source_dest_check=True))
