"""Instances: what they are, and what moves them between their states."""

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from openami.actions.quotas import Quota, check_room
from openami.actions.run_instances import free_memory_mib, new_public_ip
from openami.catalog import instances, root_replacements, security_groups, tags, volumes
from openami.catalog.catalog import Transaction
from openami.compute.driver import MachineState
from openami.domain.caller import Caller
from openami.domain.errors import (
    IncorrectInstanceState,
    OperationNotPermitted,
)
from openami.domain.filter import Filter, Page
from openami.domain.ids import InstanceId
from openami.domain.instance import Instance, InstanceEvent, InstanceState
from openami.domain.instance_type import known_type
from openami.domain.launch import check_capacity
from openami.domain.state_reason import StateReason
from openami.domain.volume import Volume
from openami.jobs.engine import NotRunning, wait_for_all
from openami.services import Services
from openami.workflows import (
    machines,
    reboot_instance,
    start_instance,
    stop_instance,
    terminate_instance,
)

QUICK_S: Final = 0.5
"""How long StopInstances waits for guests, which may take minutes to shut down."""

TERMINATED_SHOWN: Final = timedelta(hours=1)
"""How long a terminated instance can still be described, as at EC2."""


_ENDED_BY_HOST: Final = "The instance ended unexpectedly"
"""Why it did is for the log: QEMU's own words name files of the host."""

S, E = InstanceState, InstanceEvent

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedInstance:
    """An instance with what is recorded elsewhere: volumes, names of groups, tags."""

    instance: Instance
    volumes: tuple[Volume, ...]
    group_names: Mapping[str, str]
    tags: Mapping[str, str]
    interface_tags: Mapping[str, str]

    @property
    def id(self) -> InstanceId:
        return self.instance.id


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """What EC2 answers to a request that moves an instance."""

    instance_id: InstanceId
    previous: InstanceState
    current: InstanceState


def describe_instances(
    svc: Services,
    caller: Caller,
    instance_ids: Sequence[InstanceId],
    conditions: Sequence[Filter],
    page: Page,
) -> list[DescribedInstance]:
    """The caller's instances in the region, by id. Raises InstanceNotFound."""
    with svc.catalog.read() as tx:
        found = instances.describe(tx, caller, instance_ids, conditions, page)
        return _described(tx, caller, found)


def _described(
    tx: Transaction, caller: Caller, found: Sequence[Instance]
) -> list[DescribedInstance]:
    attached = volumes.of_instances(tx, [each.id for each in found])
    named = security_groups.names_of(
        tx, {group_id for each in found for group_id in each.security_group_ids}
    )
    tagged = tags.of_many(
        tx,
        caller.account,
        [name for each in found for name in (each.id, each.network_interface_id)],
    )
    return [
        DescribedInstance(
            instance=each,
            volumes=tuple(attached.get(each.id, [])),
            group_names=named,
            tags=tagged.get(each.id, {}),
            interface_tags=tagged.get(each.network_interface_id, {}),
        )
        for each in found
    ]


def reachable(svc: Services, instance_ids: Iterable[InstanceId]) -> set[InstanceId]:
    """Those whose guests have answered on the network since they were started."""
    return {each for each in instance_ids if svc.compute.reachable(each)}


def stalled(svc: Services) -> Set[InstanceId]:
    """Those that errors of their disks keep from running."""
    return svc.compute.stalled().keys()


def start_instances(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId]
) -> list[StateChange]:
    """Start what is stopped, all or none.

    Raises IncorrectInstanceState for what is neither up nor stopped, and
    InsufficientInstanceCapacity when the host has not the memory now.
    """
    starting: list[Instance] = []
    changes: list[StateChange] = []
    with svc.catalog.begin() as tx:
        for instance in _owned(tx, caller, instance_ids):
            if instance.state in (S.PENDING, S.RUNNING):
                changes.append(_change(instance, instance))
                continue
            _require(instance, E.START, S.STOPPED)
            kind = known_type(instance.instance_type)
            check_capacity(kind, 1, free_memory_mib(svc, tx))
            check_room(svc, tx, Quota.INSTANCES, caller.account, caller.region)
            check_room(svc, tx, Quota.VCPUS, caller.account, caller.region, kind.vcpus)
            pending = replace(
                instance.after(E.START),
                launched_at=svc.clock.now(),
                public_ip=new_public_ip(svc, tx) if instance.associates_public_ip else None,
            )
            instances.save(tx, pending)
            starting.append(pending)
            changes.append(_change(instance, pending))
    _wait(svc, [start_instance.start(svc, each) for each in starting])
    return changes


def stop_instances(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId], *, force: bool
) -> list[StateChange]:
    """Shut down what runs. With `force` the guest is not asked.

    Raises OperationNotPermitted for one with stop protection, IncorrectInstanceState for
    one that has not come up or is terminated.
    """
    stopping: list[Instance] = []
    changes: list[StateChange] = []
    with svc.catalog.begin() as tx:
        for instance in _owned(tx, caller, instance_ids):
            if instance.state in (S.STOPPING, S.STOPPED):
                changes.append(_change(instance, instance))
                continue
            _require(instance, E.STOP, S.RUNNING)
            if instance.disable_api_stop:
                raise OperationNotPermitted(
                    f"The instance '{instance.id}' may not be stopped. Modify its"
                    " 'disableApiStop' instance attribute and try again."
                )
            changed = replace(_by_user(svc, instance, E.STOP), rebooting_for=None)
            instances.save(tx, changed)
            stopping.append(changed)
            changes.append(_change(instance, changed))
    jobs = [stop_instance.start(svc, each, force=force) for each in stopping]
    if force:
        for change in changes:
            if change.previous is S.STOPPING:
                stop_instance.end_now(svc, change.instance_id)
    _wait(svc, jobs, None if force else QUICK_S)
    return changes


def terminate_instances(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId]
) -> list[StateChange]:
    """End them for good. Raises OperationNotPermitted, and ends none, if one is protected."""
    ending: list[Instance] = []
    changes: list[StateChange] = []
    with svc.catalog.begin() as tx:
        for instance in _owned(tx, caller, instance_ids):
            if instance.state in (S.SHUTTING_DOWN, S.TERMINATED):
                changes.append(_change(instance, instance))
                continue
            if instance.disable_api_termination:
                raise OperationNotPermitted(
                    f"The instance '{instance.id}' may not be terminated. Modify its"
                    " 'disableApiTermination' instance attribute and try again."
                )
            changed = replace(_by_user(svc, instance, E.TERMINATE), rebooting_for=None)
            instances.save(tx, changed)
            ending.append(changed)
            changes.append(_change(instance, changed))
    _wait(svc, [terminate_instance.start(svc, each.id) for each in ending])
    return changes


def reboot_instances(svc: Services, caller: Caller, instance_ids: Sequence[InstanceId]) -> None:
    """Ask the guests to shut down and start their machines again; the state stays running."""
    rebooting: list[Instance] = []
    with svc.catalog.begin() as tx:
        for instance in _owned(tx, caller, instance_ids):
            if instance.state is not S.RUNNING:
                raise IncorrectInstanceState(instance.id, instance.state, "RebootInstances")
            if instance.rebooting_for is None:
                changed = replace(
                    instance,
                    rebooting_for=reboot_instance.REBOOT,
                    transitions=instance.transitions + 1,
                )
                instances.save(tx, changed)
                rebooting.append(changed)
    for each in rebooting:
        reboot_instance.start(svc, each)


def _owned(tx: Transaction, caller: Caller, instance_ids: Sequence[InstanceId]) -> list[Instance]:
    return instances.fetch_all_owned(tx, instance_ids, caller.account, caller.region)


def _require(instance: Instance, event: InstanceEvent, state: InstanceState) -> None:
    if instance.state is not state:
        raise IncorrectInstanceState(instance.id, instance.state, event)


def _by_user(svc: Services, instance: Instance, event: InstanceEvent) -> Instance:
    """The move and why, in EC2's words."""
    code = "Client.UserInitiatedShutdown"
    return instance.after(
        event,
        StateReason(code=code, message=f"{code}: User initiated shutdown"),
        f"User initiated ({svc.clock.now():%Y-%m-%d %H:%M:%S} GMT)",
    )


def _change(before: Instance, after: Instance) -> StateChange:
    return StateChange(instance_id=before.id, previous=before.state, current=after.state)


def _wait(svc: Services, job_ids: Sequence[str], at_most_s: float | None = None) -> None:
    """Let quick work end before the client looks: its waiter would sleep for 15 s (D19)."""
    allowed_s = svc.settings.settle_timeout_s if at_most_s is None else at_most_s
    wait_for_all(svc.jobs, job_ids, allowed_s)


def machine_ended(svc: Services, instance_id: InstanceId, reason: str) -> None:
    """A machine's process ended by itself: the guest shut down, or the host ended it.

    Heard from a thread of the driver. What we stop, terminate or reboot ourselves is not news.
    """
    if not _is_news(svc, instance_id):
        return
    with svc.locks(instance_id):
        if svc.compute.state(instance_id) is not MachineState.ABSENT:
            return  # the news is of an earlier machine of this instance
        ended = _commit_end(svc, instance_id, reason)
    if ended is None:
        return
    _log.info("%s ended by itself: %s", instance_id, reason)
    try:
        if ended.state is S.STOPPING:
            stop_instance.start(svc, ended)
        else:
            terminate_instance.start(svc, ended.id)
    except NotRunning:
        _log.info("%s waits for the sweep", instance_id)  # the server is starting or closing


def _is_news(svc: Services, instance_id: InstanceId) -> bool:
    """By a look alone: who shuts a machine down on purpose may hold its lock for long.

    One that is pending may have ended before its start was committed.
    """
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
    return (
        instance is not None
        and instance.state in (S.PENDING, S.RUNNING)
        and instance.rebooting_for is None
    )


def _commit_end(svc: Services, instance_id: InstanceId, reason: str) -> Instance | None:
    """Move the instance as its shutdown behavior says; None if there is nothing to move."""
    with svc.catalog.begin() as tx:
        instance = instances.fetch_any(tx, instance_id)
        if (
            instance is None
            or instance.state is not S.RUNNING
            or instance.rebooting_for is not None
        ):
            return None
        if _by_guest(reason):
            code, sentence = "Client.InstanceInitiatedShutdown", "Instance initiated shutdown"
            ends = instance.shutdown_behavior == "terminate"
        else:
            code, sentence, ends = "Server.InternalError", _ENDED_BY_HOST, False
        moved = instance.after(
            E.TERMINATE if ends else E.STOP,
            StateReason(code=code, message=f"{code}: {sentence}"),
        )
        instances.save(tx, moved)
        return moved


def _by_guest(reason: str) -> bool:
    """Whether the guest shut itself down. A host that shuts down tells QEMU to, by a signal."""
    return reason.startswith("shutdown") and "host" not in reason


def machine_reset(svc: Services, instance_id: InstanceId) -> None:
    """A guest restarted itself: the instance goes on as it was, and EC2 says nothing of it."""
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
    if instance is not None:
        _log.info("the guest of %s (%s) restarted itself", instance_id, instance.owner)


def adopt(svc: Services) -> None:
    """After a start of the server: take up the machines that run, and stop what lost its own.

    Before the engine is launched; what this leaves to do, the first sweep does.
    """
    with svc.catalog.read() as tx:
        # The stopped ones too: what is kept of their machines (the console) is still theirs.
        held = instances.in_state(tx, *(state for state in S if state is not S.TERMINATED))
        ports = {each.id: machines.port_of(tx, each) for each in held}
    alive = svc.compute.adopt(ports)
    for each in held:
        if each.state is S.STOPPED and each.id in alive:
            svc.compute.kill(each.id)
        elif each.state is S.RUNNING and each.id not in alive:
            machine_ended(svc, each.id, "the machine did not outlive a restart of the host")


def purge(svc: Services) -> None:
    """Forget the instances that were terminated an hour ago."""
    before = svc.clock.now() - TERMINATED_SHOWN
    with svc.catalog.begin() as tx:
        gone = instances.terminated_before(tx, before)
        for instance in gone:
            instances.remove(tx, instance.id)
            for resource_id in (instance.id, *root_replacements.remove_of(tx, instance.id)):
                tags.remove_all(tx, resource_id)
    for instance in gone:
        terminate_instance.drop_console(svc, instance.id)
