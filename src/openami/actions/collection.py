"""What the operator asks of the stores: that what no disk needs goes now."""

import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from openami.blockstore.ownership import ForeignStore
from openami.blockstore.store import ChunkLost
from openami.domain.collection import Phase, Round
from openami.domain.ids import Region
from openami.services import Services
from openami.workflows import collect, tenure
from openami.workflows.tenure import Contested

WAIT_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1


def from_operator(svc: Services, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """A whole round in every region, as `openami store gc` asks for it: what became free.

    What a round waits for still, after `wait_s` seconds, is told by name. Where a disk is not
    whole, or a store is away, nothing more is deleted.
    """
    deadline = time.monotonic() + float(request.get("wait_s", WAIT_S))
    return {"regions": [_collected(svc, region, deadline) for region in svc.stores]}


def settled_by_operator(svc: Services, request: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG001
    """This catalog alone relies on its stores, as `openami store settle` says: they are collected
    again, unasked when the server has been up for as long as after a start."""
    try:
        for region in svc.stores:
            tenure.settle(svc, region)
    except (ForeignStore, *collect.NOT_NOW) as reason:
        return {"error": "Unsettled", "message": str(reason)}
    return {"regions": list(svc.stores)}


def _collected(svc: Services, region: Region, deadline: float) -> Mapping[str, Any]:
    try:
        one = _whole_round(svc, region, deadline)
    except ChunkLost as lost:
        return {"region": region, "not_whole": str(lost)}
    except collect.NOT_NOW as away:
        return {"region": region, "away": str(away)}
    except (Contested, ForeignStore) as reason:
        return {"region": region, "held_up": str(reason)}
    return {
        "region": region,
        "freed_objects": one.freed_objects,
        "freed_bytes": one.freed_bytes,
        "waits_for": [] if one.phase is Phase.ENDED else list(collect.waits_for(svc, region)),
    }


def _whole_round(svc: Services, region: Region, deadline: float) -> Round:
    """The rest of one that is under way may pass by what was deleted since: then another."""
    is_ours = not collect.is_open(svc, region)
    while True:
        one = collect.advance(svc, region)
        has_ended = one.phase is Phase.ENDED
        if (has_ended and is_ours) or time.monotonic() > deadline:
            return one
        is_ours = is_ours or has_ended
        if not has_ended:
            threading.Event().wait(_LOOK_EVERY_S)
