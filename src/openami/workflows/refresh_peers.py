"""The firewalls of machines whose rules name a group that other machines have joined.

Nobody waits for this: a machine that was just started is seconds away from its first packet.
A crash loses nothing, since a server that starts writes the rules of all machines anew.
"""

import logging
from collections.abc import Iterable
from typing import Final

from openami.domain.ids import InstanceId, ReservationId
from openami.jobs.engine import Args, Job, NotRunning
from openami.services import Services
from openami.workflows import machines

NAME: Final = "refresh_peers"
_log = logging.getLogger(__name__)


def start(
    svc: Services,
    reservation_id: ReservationId,
    group_ids: Iterable[str],
    launched: Iterable[InstanceId],
) -> None:
    """Begin to tell the peers of a launch, once."""
    args = {"group_ids": sorted(group_ids), "launched": sorted(launched)}
    try:
        svc.jobs.start(NAME, f"{NAME}:{reservation_id}", args)
    except NotRunning:
        _log.info("the server closes; its next start tells the peers of %s", reservation_id)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("write their rules", lambda args: _refresh(svc, args)),),
        give_up=lambda _args, _reason: None,  # the engine has logged it; there is no row to fail
    )


def _refresh(svc: Services, args: Args) -> None:
    group_ids, launched = args["group_ids"], args["launched"]
    assert isinstance(group_ids, list)
    assert isinstance(launched, list)
    machines.refresh_peers(
        svc,
        [str(each) for each in group_ids],
        {InstanceId(str(each)) for each in launched},
    )
