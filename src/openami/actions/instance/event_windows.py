"""Event windows: made, changed, given their targets, deleted. Nothing is ever scheduled in one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from openami.actions.quotas import Quota, check_room
from openami.catalog import event_windows, instances, tags
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, IncorrectInstanceState
from openami.domain.event_window import (
    EventWindow,
    Schedule,
    Targets,
    check_free,
)
from openami.domain.ids import EventWindowId
from openami.domain.instance import InstanceState
from openami.services import Services

RESOURCE_TYPE: Final = "instance-event-window"


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedWindow:
    window: EventWindow
    tags: Mapping[str, str]

    @property
    def id(self) -> EventWindowId:
        return self.window.id


def create_window(
    svc: Services, caller: Caller, name: str | None, schedule: Schedule, pairs: Mapping[str, str]
) -> DescribedWindow:
    """Raises ResourceLimitExceeded for one window too many in the region."""
    with svc.catalog.begin() as tx:
        check_room(svc, tx, Quota.EVENT_WINDOWS, caller.account, caller.region)
        window = EventWindow(
            id=EventWindowId(svc.ids.new("iew")),
            region=caller.region,
            owner=caller.account,
            name=name,
        ).scheduled(schedule)
        event_windows.add(tx, window)
        tags.put(tx, caller.account, caller.region, (RESOURCE_TYPE, window.id), pairs)
        return _described(tx, caller, window)


def modify_window(
    svc: Services,
    caller: Caller,
    window_id: EventWindowId,
    name: str | None,
    schedule: Schedule | None,
) -> DescribedWindow:
    """None leaves the name or the schedule as it is."""
    with svc.catalog.begin() as tx:
        window = event_windows.fetch_owned(tx, window_id, caller.account, caller.region)
        if name is not None:
            window = replace(window, name=name or None)
        if schedule is not None:
            window = window.scheduled(schedule)
        event_windows.save(tx, window)
        return _described(tx, caller, window)


def delete_window(svc: Services, caller: Caller, window_id: EventWindowId, *, force: bool) -> None:
    """Raises DependencyViolation for one that has targets, unless it is forced."""
    with svc.catalog.begin() as tx:
        window = event_windows.fetch_owned(tx, window_id, caller.account, caller.region)
        if window.has_targets and not force:
            raise EC2Error.of(
                "DependencyViolation",
                f"The event window '{window_id}' is associated with targets: use ForceDelete.",
            )
        event_windows.remove(tx, window_id)
        tags.remove_all(tx, window_id)


def associate(
    svc: Services, caller: Caller, window_id: EventWindowId, targets: Targets
) -> DescribedWindow:
    """Raises InstanceNotFound, IncorrectInstanceState, and what the targets are refused for."""
    with svc.catalog.begin() as tx:
        window = event_windows.fetch_owned(tx, window_id, caller.account, caller.region)
        for each in instances.fetch_all_owned(
            tx, targets.instance_ids, caller.account, caller.region
        ):
            if each.state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
                raise IncorrectInstanceState(each.id, each.state, "AssociateInstanceEventWindow")
        every = event_windows.all_owned(tx, caller.account, caller.region)
        check_free(targets, [other for other in every if other.id != window_id])
        window = window.with_targets(targets)
        event_windows.save(tx, window)
        return _described(tx, caller, window)


def disassociate(
    svc: Services, caller: Caller, window_id: EventWindowId, targets: Targets
) -> DescribedWindow:
    with svc.catalog.begin() as tx:
        window = event_windows.fetch_owned(tx, window_id, caller.account, caller.region)
        window = window.without_targets(targets)
        event_windows.save(tx, window)
        return _described(tx, caller, window)


def describe_windows(
    svc: Services, caller: Caller, window_ids: Sequence[EventWindowId]
) -> list[DescribedWindow]:
    """By id: these, or all. An account has at most 200 in a region."""
    with svc.catalog.read() as tx:
        found = event_windows.all_owned(tx, caller.account, caller.region)
        if window_ids:
            named = event_windows.fetch_all_owned(tx, window_ids, caller.account, caller.region)
            found = [each for each in found if each in named]
        tagged = tags.of_many(tx, caller.account, [each.id for each in found])
        return [DescribedWindow(window=each, tags=tagged.get(each.id, {})) for each in found]


def _described(tx: Transaction, caller: Caller, window: EventWindow) -> DescribedWindow:
    return DescribedWindow(window=window, tags=tags.of_one(tx, caller.account, window.id))
