"""Which snapshots the EBS direct APIs let a caller read, and how many callers wait for a store.

Those of the caller, and those that were shared with its account by name; those that are shared
with everybody are not read this way.
https://docs.aws.amazon.com/ebs/latest/userguide/ebsapi-elements.html
"""

from collections.abc import Generator
from contextlib import contextmanager

from openami.blockstore.guarded import StillDoomed
from openami.blockstore.store import StoreAway, StoreFull
from openami.catalog import snapshots
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.direct.refusals import full, invalid, no_such_snapshot, not_yours, throttled
from openami.domain.errors import EC2Error
from openami.domain.ids import SnapshotId
from openami.domain.manifest import Root
from openami.domain.snapshot import Snapshot
from openami.jobs.room import NoRoom
from openami.jobs.turns import NoTurn
from openami.services import Services


def visible(tx: Transaction, caller: Caller, snapshot_id: SnapshotId) -> Snapshot:
    """Raises ResourceNotFoundException, also for one that the caller may not know of."""
    found = snapshots.find_visible(tx, snapshot_id, caller.account, caller.region)
    if found is None:
        raise no_such_snapshot(snapshot_id)
    return found


def readable(tx: Transaction, caller: Caller, snapshot_id: SnapshotId) -> tuple[Snapshot, Root]:
    """The snapshot and its content.

    Raises ResourceNotFoundException, AccessDeniedException, and ValidationException for one that
    is not complete or that is archived.
    """
    snapshot = visible(tx, caller, snapshot_id)
    if caller.account not in (snapshot.owner, *snapshot.shared_with):
        raise not_yours(snapshot_id)
    try:
        root = snapshot.usable().root
    except EC2Error as refusal:
        raise invalid("INVALID_SNAPSHOT_ID", str(refusal)) from refusal
    if root is None:
        raise invalid("INVALID_SNAPSHOT_ID", f"Snapshot '{snapshot_id}' is not 'completed'.")
    return snapshot, Root.from_text(root)


@contextmanager
def at_the_store(svc: Services) -> Generator[None]:
    """For what a request reads and writes in a store, which may be slow or away.

    Raises RequestThrottledException, ServiceQuotaExceededException where the store is full.
    """
    try:
        with svc.direct_turns.one():
            yield
    except (NoTurn, StoreAway, StillDoomed) as reason:
        raise throttled() from reason
    except (StoreFull, NoRoom) as reason:
        raise full() from reason
