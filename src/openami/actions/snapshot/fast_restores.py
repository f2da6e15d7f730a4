"""Fast snapshot restores: who wants which snapshot at hand, and whose volumes find it so."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from openami.catalog import fast_restores, snapshots
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error
from openami.domain.fast_restore import ON, FastRestore, FastRestoreEvent, FastRestoreState
from openami.domain.filter import Filter, selected
from openami.domain.ids import SnapshotId
from openami.domain.snapshot import SnapshotState
from openami.domain.volume import Volume
from openami.domain.zone import checked_zone, zone_id
from openami.jobs.engine import wait_for_all
from openami.services import Services
from openami.workflows import fast_restores as workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing was done for a snapshot in a zone."""

    snapshot_id: SnapshotId
    zone: str
    why: EC2Error


Outcome = tuple[Sequence[FastRestore], Sequence[Refusal]]
_Change = Callable[[Transaction, SnapshotId, str], FastRestore]


def enable_fast_snapshot_restores(
    svc: Services, caller: Caller, snapshot_ids: Sequence[SnapshotId], zones: Sequence[str]
) -> Outcome:
    """Keep snapshots at hand, each in every zone: the caller's own and those shared with him.

    One that is pending is restored when it is complete. Raises InvalidParameterValue for a zone
    that the region does not have.
    """

    def enabled(tx: Transaction, snapshot_id: SnapshotId, zone: str) -> FastRestore:
        found = fast_restores.find(tx, snapshot_id, zone, caller.account)
        snapshot = snapshots.fetch_visible(tx, snapshot_id, caller.account, caller.region)
        if snapshot.state is not SnapshotState.PENDING:
            snapshot.usable()
        if found is not None and found.state in ON:
            return found
        if found is not None and found.state is FastRestoreState.DISABLING:
            raise EC2Error.of(
                "IncorrectState",
                f"Fast snapshot restores of {snapshot_id} are being disabled in {zone}.",
            )
        return FastRestore(
            snapshot_id=snapshot_id,
            zone=zone,
            owner=caller.account,
            region=caller.region,
            state=FastRestoreState.ENABLING,
            enabling_at=svc.clock.now(),
            turns=0 if found is None else found.turns + 1,
        )

    return _each(svc, caller, snapshot_ids, zones, enabled)


def disable_fast_snapshot_restores(
    svc: Services, caller: Caller, snapshot_ids: Sequence[SnapshotId], zones: Sequence[str]
) -> Outcome:
    """Keep them no longer. Volumes that were made of them are unharmed."""

    def disabled(tx: Transaction, snapshot_id: SnapshotId, zone: str) -> FastRestore:
        found = fast_restores.find(tx, snapshot_id, zone, caller.account)
        if found is None or found.state not in ON:
            snapshots.fetch_visible(tx, snapshot_id, caller.account, caller.region)
            raise EC2Error.of(
                "IncorrectState",
                f"Fast snapshot restores of {snapshot_id} are not enabled in {zone}.",
            )
        return found.after(FastRestoreEvent.DISABLE, svc.clock.now())

    return _each(svc, caller, snapshot_ids, zones, disabled)


def _each(
    svc: Services,
    caller: Caller,
    snapshot_ids: Sequence[SnapshotId],
    zones: Sequence[str],
    change: _Change,
) -> Outcome:
    changed: list[FastRestore] = []
    refused: list[Refusal] = []
    places = [checked_zone(zone, caller.region) for zone in dict.fromkeys(zones)]
    with svc.catalog.begin() as tx:
        for snapshot_id in dict.fromkeys(snapshot_ids):
            for zone in places:
                try:
                    changed.append(change(tx, snapshot_id, zone))
                except EC2Error as why:
                    refused.append(Refusal(snapshot_id=snapshot_id, zone=zone, why=why))
                else:
                    fast_restores.put(tx, changed[-1])
        begun = [each for each in changed if workflow.startable(tx, each)]
    jobs = [workflow.start(svc, each) for each in begun]
    wait_for_all(svc.jobs, jobs, svc.settings.settle_timeout_s)
    return changed, refused


_FILTERS: Final[Mapping[str, Callable[[FastRestore], Iterable[str]]]] = {
    "availability-zone": lambda each: (each.zone,),
    "availability-zone-id": lambda each: (zone_id(each.zone),),
    "owner-id": lambda each: (each.owner,),
    "snapshot-id": lambda each: (each.snapshot_id,),
    "state": lambda each: (each.state,),
}


def describe_fast_snapshot_restores(
    svc: Services, caller: Caller, conditions: Sequence[Filter]
) -> Sequence[FastRestore]:
    """Those that the caller enabled, by snapshot and zone."""
    with svc.catalog.read() as tx:
        return selected(fast_restores.of_caller(tx, caller), conditions, _FILTERS)


def fast_if_wanted(tx: Transaction, volume: Volume) -> Volume:
    """A volume that is being made, which says whether it finds its snapshot at hand."""
    return replace(volume, fast_restored=fast_restores.serves(tx, volume))
