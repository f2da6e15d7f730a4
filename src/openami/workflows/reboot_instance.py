"""The reboot of a running instance: its guest shuts down and its machine starts again.

A reset would be faster and would lose what the guest has not written yet.
"""

from typing import Final

from openami.catalog import instances
from openami.domain.ids import InstanceId
from openami.domain.instance import Instance, InstanceState
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services
from openami.workflows import machines, scratch, stop_instance

NAME: Final = "reboot_instance"
REBOOT: Final = "RebootInstances"
"""What `Instance.rebooting_for` says while this workflow has the machine."""


def start(svc: Services, instance: Instance) -> str:
    """Begin the reboot, once per request. The id of the job."""
    job_id = f"{NAME}:{instance.id}:{instance.transitions}"
    svc.jobs.start(NAME, job_id, {"instance_id": instance.id})
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        running = instances.in_state(tx, InstanceState.RUNNING)
    for instance in running:
        if instance.rebooting_for == REBOOT:
            start(svc, instance)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("shut down the guest", lambda args: _shut_down(svc, args)),
            ("start the machine", lambda args: _start(svc, args)),
        ),
        give_up=lambda args, _: give_up(svc, args),
    )


def _shut_down(svc: Services, args: Args) -> None:
    instance_id = InstanceId(str(args["instance_id"]))
    with svc.catalog.read() as tx:
        instance = instances.fetch_any(tx, instance_id)
    if instance is not None and instance.rebooting_for == REBOOT:
        scratch.wait_for_copies(svc, instance_id, svc.settings.stop_timeout_s)
        machines.shut_down(svc, instance_id, svc.settings.stop_timeout_s)


def _start(svc: Services, args: Args) -> None:
    try:
        machines.run_again(svc, InstanceId(str(args["instance_id"])))
    except machines.CANNOT_START as failure:
        raise GiveUp(str(failure)) from failure


def give_up(svc: Services, args: Args) -> None:
    stop_instance.leave_stopped(svc, InstanceId(str(args["instance_id"])), REBOOT)
