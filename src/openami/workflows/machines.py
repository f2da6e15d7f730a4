"""From an instance in the catalog to its machine on the host, and back.

What a machine should be is always made anew from the catalog: nothing of it is kept.
Whoever starts or ends a machine holds `svc.locks(instance_id)`.
"""

import logging
import shutil
import time
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from openami.blockstore.store import ChunkLost, StoreFull
from openami.blockstore.volumes import VolumeAbsent
from openami.catalog import instances, security_groups, volumes, vpcs
from openami.catalog.catalog import Transaction
from openami.compute.driver import (
    Disk,
    Firmware,
    Machine,
    MachineFailed,
    MachineState,
    Port,
    Rule,
)
from openami.diskimage.qcow2 import create_overlay
from openami.domain.ids import InstanceId
from openami.domain.instance import EphemeralDisk, Instance, InstanceEvent, InstanceState
from openami.domain.instance_type import known_type
from openami.domain.instance_types.cpu_options import cpu_options_of
from openami.domain.manifest import Root
from openami.domain.network import SecurityGroupRule
from openami.domain.state_reason import StateReason
from openami.domain.volume import AttachmentState, Volume, VolumeState
from openami.jobs.running import AWAY
from openami.services import Services
from openami.workflows import cold_disks

CANNOT_START: Final = (MachineFailed, ChunkLost, StoreFull, VolumeAbsent)
"""What keeps a machine from starting. The text is for the log: it may name files of the host."""

NOT_STARTED: Final = StateReason(
    code="Server.InternalError", message="Server.InternalError: Internal error on launch"
)
"""In EC2's words, for whoever may see the instance."""


def not_started(why: str) -> StateReason:
    """That a store was away may be told as it is; all else is the operator's."""
    return replace(NOT_STARTED, message=why) if why.startswith(AWAY) else NOT_STARTED


PRESS_EVERY_S: Final = 5.0
"""A guest that boots still does not hear the power button: it is pressed again."""

_log = logging.getLogger(__name__)

_FIREWALL_PROTOCOLS: Final = ("tcp", "udp", "icmp", "-1")  # the network is IPv4 only


def port_of(tx: Transaction, instance: Instance) -> Port:
    """The instance's place in the network, its security groups resolved to addresses."""
    assert instance.port_number is not None, f"{instance.id} has no place on the host"
    return Port(
        number=instance.port_number,
        instance_id=instance.id,
        vpc_id=instance.vpc_id,
        vpc_cidr=vpcs.fetch_any(tx, instance.vpc_id).cidr,
        subnet_cidr=vpcs.fetch_any_subnet(tx, instance.subnet_id).cidr,
        mac=instance.mac,
        private_ip=instance.private_ip,
        hostname=instance.private_dns_name,
        public_ip=instance.public_ip,
        ingress=_ingress(tx, instance.security_group_ids),
    )


def _ingress(tx: Transaction, group_ids: Sequence[str]) -> tuple[Rule, ...]:
    rules = [
        rule
        for rule in security_groups.rules_of(tx, group_ids)
        if not rule.is_egress and rule.protocol in _FIREWALL_PROTOCOLS
    ]
    named = {rule.source_group_id for rule in rules if rule.source_group_id is not None}
    members = security_groups.addresses_of(tx, named)
    resolved = [
        Rule(
            protocol=rule.protocol,
            from_port=rule.from_port,
            to_port=rule.to_port,
            sources=_sources(rule, members.get(rule.source_group_id or "", [])),
        )
        for rule in rules
    ]
    return tuple(rule for rule in resolved if rule.sources)


def _sources(rule: SecurityGroupRule, members: Sequence[str]) -> tuple[str, ...]:
    if rule.cidr_ipv4 is not None:
        return (rule.cidr_ipv4,)
    return tuple(f"{address}/32" for address in members)


@contextmanager
def held_volumes(svc: Services, instance_id: InstanceId) -> Generator[Sequence[Volume]]:
    """The attached volumes, which nobody copies or deletes while a machine opens them.

    One that was just attached may still be copied as the loose volume it was. Volumes are
    locked after their instance, in the order of their ids.
    """
    with svc.catalog.read() as tx:
        attached = volumes.of_instance(tx, instance_id)
    with ExitStack() as held:
        for volume_id in sorted(volume.id for volume in attached):
            held.enter_context(svc.locks(volume_id))
        yield attached


def machine_of(svc: Services, instance: Instance, attached: Iterable[Volume]) -> Machine:
    """The whole machine. Has the bases of its volumes served, or makes them, where they are not
    here."""
    with svc.catalog.read() as tx:
        port = port_of(tx, instance)
    kind = known_type(instance.instance_type)
    return Machine(
        instance_id=instance.id,
        instance_type=kind.name,
        vcpus=cpu_options_of(instance).vcpus,
        memory_mib=kind.memory_mib,
        firmware=Firmware(instance.current_boot_mode),
        disks=(
            *(cold_disks.disk_of(svc, volume, port) for volume in _root_first(instance, attached)),
            *(_ephemeral(svc, instance.id, disk) for disk in instance.ephemeral_disks),
        ),
        port=port,
    )


def _root_first(instance: Instance, attached: Iterable[Volume]) -> list[Volume]:
    placed = [(volume.attachment.device_name, volume) for volume in attached if volume.attachment]
    placed.sort(key=lambda each: (each[0] != instance.root_device_name, each[0]))
    return [volume for _, volume in placed]


def _ephemeral(svc: Services, instance_id: InstanceId, disk: EphemeralDisk) -> Disk:
    return Disk(
        device_name=disk.device_name,
        serial=disk.virtual_name,
        overlay=_ephemeral_home(svc, instance_id) / f"{disk.virtual_name}.qcow2",
        base=None,
    )


def _ephemeral_home(svc: Services, instance_id: InstanceId) -> Path:
    return svc.settings.state_dir / "ephemeral" / instance_id


def make_ephemeral_disks(svc: Services, instance: Instance) -> None:
    """Blank instance-store disks, for a machine that does not run."""
    drop_ephemeral_disks(svc, instance.id)
    if not instance.ephemeral_disks:
        return
    home = _ephemeral_home(svc, instance.id)
    home.mkdir(parents=True)
    for directory in (home.parent, home):
        directory.chmod(0o711)  # the machine's own user passes through, and reads no names
    for disk in instance.ephemeral_disks:
        create_overlay(home / f"{disk.virtual_name}.qcow2", disk.size_gib * 2**30, None)


def drop_ephemeral_disks(svc: Services, instance_id: InstanceId) -> None:
    home = _ephemeral_home(svc, instance_id)
    if home.exists():
        shutil.rmtree(home)


def bring_up(svc: Services, instance_id: InstanceId) -> None:
    """Start the machine of a pending instance, on volumes that are made if they are new, and
    commit that it runs.

    Does nothing for one that is not pending. Raises what CANNOT_START names.
    """
    with svc.locks(instance_id):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, instance_id)
        if instance is None or instance.state is not InstanceState.PENDING:
            return
        if svc.compute.state(instance_id) is MachineState.ABSENT:
            make_ephemeral_disks(svc, instance)
        with held_volumes(svc, instance_id) as attached:
            for volume in attached:
                if volume.state is VolumeState.CREATING:
                    svc.volumes.create(volume.id, volume.region, _root(volume), volume.size_gib)
            machine = machine_of(svc, instance, attached)
            svc.compute.start(machine)
        _commit_running(svc, instance_id, machine.port)


def _root(volume: Volume) -> Root | None:
    return None if volume.root is None else Root.from_text(volume.root)


def _commit_running(svc: Services, instance_id: InstanceId, port: Port) -> None:
    with svc.catalog.begin() as tx:
        instance = instances.fetch_any(tx, instance_id)
        if instance is None or instance.state is not InstanceState.PENDING:
            return  # TerminateInstances came meanwhile; its workflow waits for our lock
        instances.save(tx, instance.after(InstanceEvent.STARTED))
        for volume in volumes.of_instance(tx, instance_id):
            volumes.save(tx, _attached(volume))
        now_due = port_of(tx, instance)
    if now_due != port:  # a rule was changed while the machine was on its way
        _update_port(svc, now_due)


def _attached(volume: Volume) -> Volume:
    attachment = volume.attachment
    if attachment is None or attachment.state is not AttachmentState.ATTACHING:
        return volume
    done = replace(attachment, state=AttachmentState.ATTACHED)
    if volume.state is VolumeState.CREATING:
        return volume.attached(done)
    return replace(volume, attachment=done)


def run_again(svc: Services, instance_id: InstanceId) -> None:
    """Start the machine of a running instance that was shut down on purpose, and say it is back.

    Its instance-store disks keep their content, as over any reboot. Raises MachineFailed.
    """
    with svc.locks(instance_id):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, instance_id)
        if (
            instance is None
            or instance.state is not InstanceState.RUNNING
            or instance.rebooting_for is None
        ):
            return
        with held_volumes(svc, instance_id) as attached:
            svc.compute.start(machine_of(svc, instance, attached))
        _commit_rebooting(svc, instance_id, None)
        if svc.compute.state(instance_id) is MachineState.ABSENT:
            # While it rebooted, its end was no news.
            _commit_rebooting(svc, instance_id, instance.rebooting_for)
            raise MachineFailed(f"{instance_id} ended as soon as it was back")


def _commit_rebooting(svc: Services, instance_id: InstanceId, rebooting_for: str | None) -> None:
    with svc.catalog.begin() as tx:
        instance = instances.fetch_any(tx, instance_id)
        if instance is not None and instance.state is InstanceState.RUNNING:
            instances.save(tx, replace(instance, rebooting_for=rebooting_for))


def shut_down(
    svc: Services, instance_id: InstanceId, timeout_s: float, stalled_timeout_s: float | None = None
) -> None:
    """Press the power button until the machine is gone, at most for a time; then end it.

    `stalled_timeout_s` is how long at most its disks may keep it from running without a break. A
    machine counts as stalled for 15 seconds after an error, so it has to be more than these.
    """
    began = time.monotonic()
    well_at = began
    while True:
        now = time.monotonic()
        if stalled_timeout_s is None or instance_id not in svc.compute.stalled():
            well_at = now
        until = began + timeout_s
        if stalled_timeout_s is not None:
            until = min(until, well_at + stalled_timeout_s)
        if until <= now:
            break
        svc.compute.power_button(instance_id)
        if svc.compute.wait_absent(instance_id, min(until - now, PRESS_EVERY_S)):
            return
    svc.compute.kill(instance_id)


def refresh(svc: Services, instance_ids: Iterable[InstanceId]) -> None:
    """Make the firewalls of running machines what the catalog says now.

    One that cannot be is left for the sweep, and keeps none of the others waiting.
    """
    wanted = list(instance_ids)
    svc.stale_ports.update(wanted)  # whatever keeps us from the last of them
    for instance_id in wanted:
        with svc.locks(instance_id):
            if _is_up_to_date(svc, instance_id):
                svc.stale_ports.discard(instance_id)


def _is_up_to_date(svc: Services, instance_id: InstanceId) -> bool:
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
        if instance is None or instance.state is not InstanceState.RUNNING:
            return True
        port = port_of(tx, instance)
    return _update_port(svc, port)


def _update_port(svc: Services, port: Port) -> bool:
    try:
        svc.compute.update_port(port)
    except (MachineFailed, OSError) as failure:
        _log.warning("the firewall of %s is out of date: %s", port.instance_id, failure)
        svc.stale_ports.add(port.instance_id)
        return False
    return True


def refresh_stale(svc: Services) -> None:
    """Try again what `refresh` could not do."""
    refresh(svc, sorted(svc.stale_ports))


def refresh_peers(
    svc: Services, group_ids: Iterable[str], but: Collection[InstanceId] = ()
) -> None:
    """After an address came to groups or left them: the machines whose rules name the groups."""
    with svc.catalog.read() as tx:
        naming = security_groups.groups_that_name(tx, group_ids)
        peers = security_groups.running_members(tx, naming)
    refresh(svc, [peer for peer in peers if peer not in but])
