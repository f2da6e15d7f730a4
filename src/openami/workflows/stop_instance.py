"""The stop of an instance: the guest shuts down, or is ended when it does not in time."""

from dataclasses import replace
from typing import Final

from openami.catalog import instances
from openami.domain.ids import InstanceId
from openami.domain.instance import Instance, InstanceEvent, InstanceState
from openami.jobs.engine import Args, Job
from openami.services import Services
from openami.workflows import machines, scratch

NAME: Final = "stop_instance"


def start(svc: Services, instance: Instance, *, force: bool = False) -> str:
    """Begin the stop of a stopping instance, once per request. The id of the job."""
    job_id = f"{NAME}:{instance.id}:{instance.transitions}"
    its = {"instance_id": instance.id, "transitions": instance.transitions, "force": force}
    svc.jobs.start(NAME, job_id, its)
    return job_id


def end_now(svc: Services, instance_id: InstanceId) -> None:
    """End the machine of an instance that is stopping already; its workflow sees that it is gone.

    Under the lock: the instance may be stopped by now, and started again.
    """
    with svc.locks(instance_id):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, instance_id)
        if instance is not None and instance.state is InstanceState.STOPPING:
            svc.compute.kill(instance_id)


def leave_stopped(svc: Services, instance_id: InstanceId, rebooting_for: str) -> None:
    """The machine does not come back from its reboot: the instance is stopped, with the reason."""
    with svc.catalog.begin() as tx:
        instance = instances.fetch_any(tx, instance_id)
        if instance is None or instance.rebooting_for != rebooting_for:
            return
        if instance.state is InstanceState.RUNNING:
            instance = instance.after(InstanceEvent.STOP, machines.NOT_STARTED)
        instance = replace(instance, rebooting_for=None)
        instances.save(tx, instance)
    if instance.state is InstanceState.STOPPING:
        start(svc, instance, force=True)


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        stopping = instances.in_state(tx, InstanceState.STOPPING)
    for instance in stopping:
        start(svc, instance)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("shut down the guest", lambda args: _shut_down(svc, args)),
            ("commit the stop", lambda args: _commit(svc, args)),
        ),
        give_up=lambda args, _: _commit(svc, args),
    )


def _shut_down(svc: Services, args: Args) -> None:
    """Without the instance's lock: it may take minutes, and TerminateInstances may not wait."""
    instance_id = InstanceId(str(args["instance_id"]))
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
    if not _is_this_stop(instance, args):
        return
    if args["force"]:
        machines.shut_down(svc, instance_id, 0.0)
    else:
        scratch.wait_for_copies(svc, instance_id, svc.settings.stop_timeout_s)
        machines.shut_down(svc, instance_id, svc.settings.stop_timeout_s)


def _is_this_stop(instance: Instance | None, args: Args) -> bool:
    """Whether the instance is stopping, and not for a later request than this job's."""
    return (
        instance is not None
        and instance.state is InstanceState.STOPPING
        and instance.transitions == args["transitions"]
    )


def _commit(svc: Services, args: Args) -> None:
    instance_id = InstanceId(str(args["instance_id"]))
    with svc.locks(instance_id):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, instance_id)
        if not _is_this_stop(instance, args):
            return
        svc.compute.kill(instance_id)
        machines.drop_ephemeral_disks(svc, instance_id)
        with svc.catalog.begin() as tx:
            instance = instances.fetch_any(tx, instance_id)
            if instance is not None and instance.state is InstanceState.STOPPING:
                stopped = instance.after(
                    InstanceEvent.STOPPED,
                    instance.state_reason,
                    instance.state_transition_reason,
                )
                instances.save(tx, replace(stopped, public_ip=None))
