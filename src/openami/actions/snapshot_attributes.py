"""What may change about a snapshot: who may make volumes of it."""

from dataclasses import dataclass, replace

from openami.catalog import accounts, public_access, snapshots
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import IncorrectState, InvalidParameterValue
from openami.domain.ids import AccountId, SnapshotId
from openami.domain.public_access import Shareable, check_public_sharing
from openami.domain.snapshot import Snapshot, SnapshotState
from openami.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePermissions:
    """Those who may use a snapshot beside its owner; `everybody` is the group "all"."""

    accounts: frozenset[AccountId] = frozenset()
    everybody: bool = False


def fetch_own_snapshot(svc: Services, caller: Caller, snapshot_id: SnapshotId) -> Snapshot:
    """The snapshot with its permissions, for its owner. Raises AuthFailure for others."""
    with svc.catalog.read() as tx:
        return snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)


def add_volume_permission(
    svc: Services, caller: Caller, snapshot_id: SnapshotId, given: VolumePermissions
) -> None:
    """Share it with accounts or with all: with all that are named, or with none."""
    with svc.catalog.begin() as tx:
        snapshot = _changeable(tx, caller, snapshot_id).at_hand()
        for account in sorted(given.accounts):
            if accounts.find(tx, account) is None:
                raise InvalidParameterValue(f"There is no account with the user ID '{account}'.")
        if given.everybody:
            access = public_access.of(tx, Shareable.SNAPSHOT, caller.account, caller.region)
            check_public_sharing(access, Shareable.SNAPSHOT)
        changed = replace(
            snapshot,
            public=snapshot.public or given.everybody,
            shared_with=snapshot.shared_with | given.accounts,
        )
        snapshots.save(tx, changed)


def remove_volume_permission(
    svc: Services, caller: Caller, snapshot_id: SnapshotId, taken: VolumePermissions
) -> None:
    """Stop sharing it. Volumes that were made of it are unharmed."""
    with svc.catalog.begin() as tx:
        snapshot = _changeable(tx, caller, snapshot_id)
        changed = replace(
            snapshot,
            public=snapshot.public and not taken.everybody,
            shared_with=snapshot.shared_with - taken.accounts,
        )
        snapshots.save(tx, changed)


def reset_volume_permission(svc: Services, caller: Caller, snapshot_id: SnapshotId) -> None:
    """Nobody but the owner may see and use it again."""
    with svc.catalog.begin() as tx:
        snapshot = snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
        snapshots.save(tx, replace(snapshot, public=False, shared_with=frozenset()))


def _changeable(tx: Transaction, caller: Caller, snapshot_id: SnapshotId) -> Snapshot:
    snapshot = snapshots.fetch_owned(tx, snapshot_id, caller.account, caller.region)
    if snapshot.state is SnapshotState.ERROR:
        raise IncorrectState(snapshot_id, snapshot.state, "ModifySnapshotAttribute")
    return snapshot
