"""What the operator asks of the stores: that what no disk needs goes now."""

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from openami.blockstore.store import ChunkLost
from openami.domain.collection import Phase, Round
from openami.domain.errors import EC2Error
from openami.domain.ids import Region
from openami.services import Services
from openami.workflows import collect

WAIT_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1


def from_operator(svc: Services, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """A whole round in every region, as `openami store gc` asks for it: what became free.

    What the round waits for still, after `wait_s` seconds, is told by name; it then goes on by
    itself. Raises EC2Error when a disk is not whole: nothing is deleted then.
    """
    deadline = time.monotonic() + float(request.get("wait_s", WAIT_S))
    return {"regions": [_collected(svc, region, deadline) for region in svc.stores]}


def _collected(svc: Services, region: Region, deadline: float) -> Mapping[str, Any]:
    try:
        one = _round_after_now(svc, region, deadline)
    except ChunkLost as lost:
        raise EC2Error.of(
            "IncorrectState",
            f"Nothing is deleted in {region} while a disk there is not whole: {lost}. See"
            " 'openami store verify'.",
        ) from lost
    return {
        "region": region,
        "freed_objects": one.freed_objects,
        "freed_bytes": one.freed_bytes,
        "waits_for": [] if one.phase is Phase.ENDED else list(collect.waits_for(svc, region)),
    }


def _round_after_now(svc: Services, region: Region, deadline: float) -> Round:
    """One that is under way may have passed by what was deleted since: then another."""
    asked_at = svc.clock.now()
    while True:
        one = collect.advance(svc, region)
        is_whole = one.phase is Phase.ENDED and one.began_at >= asked_at
        if is_whole or time.monotonic() > deadline:
            return one
        if one.phase is not Phase.ENDED:
            threading.Event().wait(_LOOK_EVERY_S)
