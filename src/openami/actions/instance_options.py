"""Small things about an instance that may be changed or reported at any time."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from openami.catalog import instances
from openami.domain.caller import Caller
from openami.domain.errors import IncorrectInstanceState
from openami.domain.ids import InstanceId
from openami.domain.instance import Instance, InstanceState
from openami.services import Services

_log = logging.getLogger(__name__)

_GONE: Final = (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED)


def set_monitoring(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId], *, enabled: bool
) -> list[Instance]:
    """All or none. Raises InstanceNotFound, IncorrectInstanceState."""
    with svc.catalog.begin() as tx:
        found = instances.fetch_all_owned(tx, instance_ids, caller.account, caller.region)
        for each in found:
            if each.state in _GONE:
                raise IncorrectInstanceState(each.id, each.state, "a change of its monitoring")
        changed = [replace(each, monitoring=enabled) for each in found]
        for each in changed:
            instances.save(tx, each)
    return changed


def report_status(
    svc: Services, caller: Caller, instance_ids: Sequence[InstanceId], status: str, words: str
) -> None:
    """What a user has to say of instances, for the operator: it is in the server's log."""
    with svc.catalog.begin() as tx:
        found = instances.fetch_all_owned(tx, instance_ids, caller.account, caller.region)
        for each in found:
            if each.state is not InstanceState.RUNNING:
                raise IncorrectInstanceState(each.id, each.state, "ReportInstanceStatus")
    for each in found:
        _log.warning("%s reports that %s is %s: %s", caller.account, each.id, status, words)


def fetch_instance(svc: Services, caller: Caller, instance_id: InstanceId) -> Instance:
    with svc.catalog.read() as tx:
        return instances.fetch_owned(tx, instance_id, caller.account, caller.region)


def reset_source_dest_check(svc: Services, caller: Caller, instance_id: InstanceId) -> None:
    with svc.catalog.begin() as tx:
        instance = instances.fetch_owned(tx, instance_id, caller.account, caller.region)
        if instance.state in _GONE:
            raise IncorrectInstanceState(instance.id, instance.state, "ResetInstanceAttribute")
        instances.save(tx, replace(instance, source_dest_check=True))
