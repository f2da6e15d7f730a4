"""The launch of a reservation: its volumes, then its machines, each for itself.

An instance that cannot be started is terminated with a reason; the others go on.
"""

import logging
from typing import Final

from openami.catalog import instances
from openami.domain.ids import InstanceId, ReservationId
from openami.domain.instance import Instance, InstanceEvent, InstanceState
from openami.domain.state_reason import StateReason
from openami.jobs.engine import Args, Job
from openami.services import Services
from openami.workflows import machines, terminate_instance

NAME: Final = "launch"

_log = logging.getLogger(__name__)


def start(svc: Services, reservation_id: ReservationId) -> str:
    """Begin the launch, once per reservation. The id of the job."""
    job_id = f"{NAME}:{reservation_id}"
    svc.jobs.start(NAME, job_id, {"reservation_id": reservation_id})
    return job_id


def resume(svc: Services) -> None:
    """Give every instance that waits for its first start its workflow."""
    with svc.catalog.read() as tx:
        waiting = instances.in_state(tx, InstanceState.PENDING)
    for reservation_id in dict.fromkeys(
        instance.reservation_id for instance in waiting if instance.transitions == 0
    ):
        start(svc, reservation_id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("start the machines", lambda args: _start_machines(svc, args)),),
        give_up=lambda args, why: give_up(svc, args, machines.not_started(why)),
        patience_s=svc.settings.launch_patience_s,
        afterwards=lambda args: _tell_peers(svc, args),
    )


def _all(svc: Services, args: Args) -> list[Instance]:
    with svc.catalog.read() as tx:
        return instances.of_reservation(tx, ReservationId(str(args["reservation_id"])))


def _pending(svc: Services, args: Args) -> list[Instance]:
    return [
        instance
        for instance in _all(svc, args)
        if instance.state is InstanceState.PENDING and instance.transitions == 0
    ]


def _start_machines(svc: Services, args: Args) -> None:
    for instance in _pending(svc, args):
        try:
            machines.bring_up(svc, instance.id)
        except machines.CANNOT_START as failure:
            _log.warning("%s cannot be launched: %s", instance.id, failure)
            _fail(svc, instance.id)


def _tell_peers(svc: Services, args: Args) -> None:
    """Machines that run already let the new addresses in; the new ones knew each other's.

    Nobody waits for this: a machine that was just started is seconds away from its first packet.
    A crash loses nothing, since a server that starts writes the rules of all machines anew.
    """
    launched = _all(svc, args)
    groups = {group for instance in launched for group in instance.security_group_ids}
    machines.refresh_peers(svc, groups, {instance.id for instance in launched})


def give_up(svc: Services, args: Args, why: StateReason = machines.NOT_STARTED) -> None:
    for instance in _pending(svc, args):
        _fail(svc, instance.id, why)


def _fail(svc: Services, instance_id: InstanceId, why: StateReason = machines.NOT_STARTED) -> None:
    """Commit first that it ends: what is interrupted after that, the sweep takes up."""
    with svc.catalog.begin() as tx:
        instance = instances.fetch_any(tx, instance_id)
        if instance is None or instance.state is not InstanceState.PENDING:
            return
        instances.save(tx, instance.after(InstanceEvent.LAUNCH_FAILED, why))
    terminate_instance.release(svc, instance_id)
