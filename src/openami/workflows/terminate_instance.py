"""The end of an instance: its machine, its volumes, its place in the network."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from openami.catalog import event_windows, instances, tags, volumes
from openami.catalog.catalog import Transaction
from openami.domain.ids import InstanceId
from openami.domain.instance import Instance, InstanceEvent, InstanceState
from openami.domain.volume import Volume, VolumeState
from openami.jobs.engine import Args, Job
from openami.services import Services
from openami.workflows import cold_disks, create_snapshot, machines, recycle_bin

NAME: Final = "terminate_instance"
STALLED_TIMEOUT_S: Final = 30.0
"""It is resumed every two seconds: one that still cannot write by then, without a break, is not
likely to write at all. A single error counts for 15 seconds and does not fill this."""

_ENDING: Final = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


def start(svc: Services, instance_id: InstanceId) -> str:
    """Begin the end, once per instance. The id of the job."""
    job_id = f"{NAME}:{instance_id}"
    svc.jobs.start(NAME, job_id, {"instance_id": instance_id})
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        ending = instances.in_state(tx, InstanceState.SHUTTING_DOWN)
    for instance in ending:
        start(svc, instance.id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("keep what snapshots need", lambda args: _keep(svc, args)),
            ("end the machine", lambda args: _end_machine(svc, args)),
            ("release what it held", lambda args: _release(svc, args)),
        ),
        give_up=lambda args, _: _release(svc, args),
    )


def _id(args: Args) -> InstanceId:
    return InstanceId(str(args["instance_id"]))


def _keep(svc: Services, args: Args) -> None:
    with svc.catalog.read() as tx:
        going = [volume for volume in volumes.of_instance(tx, _id(args)) if _goes(volume)]
    for volume in going:
        create_snapshot.keep_what_is_wanted(svc, volume.id)


def _end_machine(svc: Services, args: Args) -> None:
    """At once, unless a volume outlives the instance: then the guest may write what it cached."""
    instance_id = _id(args)
    with svc.catalog.read() as tx:
        kept = [volume for volume in volumes.of_instance(tx, instance_id) if not _goes(volume)]
    if kept:
        machines.shut_down(svc, instance_id, svc.settings.stop_timeout_s, STALLED_TIMEOUT_S)


def _release(svc: Services, args: Args) -> None:
    _keep(svc, args)  # for who asked while the guest shut down, or when the first try failed
    release(svc, _id(args))


def release(svc: Services, instance_id: InstanceId) -> None:
    """End the machine, delete or free the volumes, and commit that the instance is terminated.

    Only of an instance that is shutting down: nothing else says that its disks may go.
    """
    with svc.locks(instance_id):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, instance_id)
            attached = volumes.of_instance(tx, instance_id)
        if instance is None or instance.state not in _ENDING:
            return
        if instance.state is InstanceState.SHUTTING_DOWN:
            _remove(svc, instance, attached)
    machines.refresh_peers(svc, instance.security_group_ids)


def _remove(svc: Services, instance: Instance, attached: Sequence[Volume]) -> None:
    keep_console(svc, instance.id)
    svc.compute.forget(instance.id)
    cold_disks.let_go(svc, [volume.id for volume in attached])
    machines.drop_ephemeral_disks(svc, instance.id)
    attached = _unretained(svc, attached)
    for volume in attached:
        if _goes(volume):
            svc.volumes.delete(volume.id)
    with svc.catalog.begin() as tx:
        for volume in attached:
            _let_go(tx, volume)
        _commit_terminated(svc, tx, instance.id)


def _unretained(svc: Services, attached: Sequence[Volume]) -> Sequence[Volume]:
    """All but those that go to the Recycle Bin, which they do now that nothing writes to them."""
    with svc.catalog.begin() as tx:
        return [
            volume
            for volume in attached
            if not (_goes(volume) and recycle_bin.retains_volume(svc, tx, volume))
        ]


def _goes(volume: Volume) -> bool:
    """Whether the volume is deleted with its instance; one that never came to be is, too."""
    never_used = volume.state is VolumeState.CREATING
    return never_used or (volume.attachment is not None and volume.attachment.delete_on_termination)


def _let_go(tx: Transaction, volume: Volume) -> None:
    if _goes(volume):
        volumes.remove(tx, volume.id)
        tags.remove_all(tx, volume.id)
    else:
        volumes.save(tx, volume.detached())


def _commit_terminated(svc: Services, tx: Transaction, instance_id: InstanceId) -> None:
    instance = instances.fetch_any(tx, instance_id)
    if instance is None:
        return
    tags.remove_all(tx, instance.network_interface_id)
    event_windows.forget_instance(tx, instance.owner, instance.region, instance_id)
    after = instance.after(
        InstanceEvent.TERMINATED, instance.state_reason, instance.state_transition_reason
    )
    instances.save(tx, _without_place(after, svc))


def _without_place(instance: Instance, svc: Services) -> Instance:
    return replace(
        instance,
        public_ip=None,
        port_number=None,
        rebooting_for=None,
        terminated_at=svc.clock.now(),
    )


def keep_console(svc: Services, instance_id: InstanceId) -> None:
    """What the serial console said last, for GetConsoleOutput after the machine is forgotten."""
    output = svc.compute.console_output(instance_id)
    if output:
        directory = svc.settings.state_dir / "consoles"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = directory / instance_id
        file.touch(mode=0o600)  # what a guest says at its console is its account's alone
        file.write_bytes(output)


def kept_console(svc: Services, instance_id: InstanceId) -> bytes:
    file = svc.settings.state_dir / "consoles" / instance_id
    return file.read_bytes() if file.exists() else b""


def drop_console(svc: Services, instance_id: InstanceId) -> None:
    (svc.settings.state_dir / "consoles" / instance_id).unlink(missing_ok=True)
