"""The start of an instance that was stopped."""

from dataclasses import replace
from typing import Final

from openami.catalog import instances
from openami.domain.ids import InstanceId
from openami.domain.instance import Instance, InstanceEvent, InstanceState
from openami.domain.state_reason import StateReason
from openami.jobs.engine import Args, GiveUp, Job
from openami.services import Services
from openami.workflows import machines

NAME: Final = "start_instance"


def start(svc: Services, instance: Instance) -> str:
    """Begin the start of a pending instance, once per request. The id of the job."""
    job_id = f"{NAME}:{instance.id}:{instance.transitions}"
    svc.jobs.start(NAME, job_id, {"instance_id": instance.id})
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = instances.in_state(tx, InstanceState.PENDING)
    for instance in waiting:
        if instance.transitions > 0:  # a first start is the launch's
            start(svc, instance)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("start the machine", lambda args: _start(svc, args)),),
        give_up=lambda args, why: give_up(svc, args, machines.not_started(why)),
        patience_s=svc.settings.launch_patience_s,
    )


def _start(svc: Services, args: Args) -> None:
    try:
        machines.bring_up(svc, InstanceId(str(args["instance_id"])))
    except machines.CANNOT_START as failure:
        raise GiveUp(str(failure)) from failure


def give_up(svc: Services, args: Args, why: StateReason = machines.NOT_STARTED) -> None:
    """Back to stopped, with the reason."""
    instance_id = InstanceId(str(args["instance_id"]))
    with svc.locks(instance_id):
        with svc.catalog.read() as tx:
            instance = instances.fetch_any(tx, instance_id)
        if instance is None or instance.state is not InstanceState.PENDING:
            return
        svc.compute.kill(instance_id)
        machines.drop_ephemeral_disks(svc, instance_id)
        with svc.catalog.begin() as tx:
            instance = instances.fetch_any(tx, instance_id)
            if instance is not None and instance.state is InstanceState.PENDING:
                failed = instance.after(InstanceEvent.START_FAILED, why)
                instances.save(tx, replace(failed, public_ip=None))
