"""A snapshot that was written block by block gets its content; one that nobody writes is given up.

The blocks' rows become a manifest, some at a time: the memory that takes is the same for a disk
of 64 TiB. What was made of it before a crash is garbage, or found again.
"""

import logging
from datetime import timedelta
from typing import Final

from openami.blockstore.store import ChunkLost
from openami.catalog import ingests, snapshots
from openami.catalog.catalog import Transaction
from openami.catalog.direct import writings
from openami.catalog.storage import collection
from openami.domain.block import BLOCKS_PER_GIB
from openami.domain.direct.writing import Writing
from openami.domain.ids import SnapshotId
from openami.domain.manifest import Root
from openami.domain.snapshot import Snapshot, SnapshotState
from openami.jobs.engine import Args, Job
from openami.jobs.lanes import COPIES
from openami.services import Services
from openami.workflows import scratch

NAME: Final = "complete_direct_snapshot"
BLOCKS_AT_ONCE: Final = 65_536
_ROWS_AT_ONCE: Final = 5_000
_PURGES_OF_A_SWEEP: Final = 200
_log = logging.getLogger(__name__)


def start(svc: Services, writing: Writing) -> str:
    """Begin to put a sealed snapshot together, once, when it is its owner's turn. The id of the
    job: each attempt has its own."""
    job_id = f"{NAME}:{writing.snapshot_id}:{writing.attempts}"
    with svc.catalog.read() as tx:
        snapshot = snapshots.fetch_any(tx, writing.snapshot_id)
    args = {"snapshot_id": writing.snapshot_id, "attempt": writing.attempts}
    regions = {snapshot.region} if snapshot else ()
    svc.jobs.start(NAME, job_id, args, owner=writing.owner, regions=regions)
    return job_id


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("name the blocks", lambda args: _complete(svc, args)),),
        give_up=lambda args, reason: _put_off(svc, args, reason),
        lane=COPIES,
        patience_s=0.0,  # the next attempt is; between two of them a collection may go on
    )


def _writing(tx: Transaction, args: Args) -> Writing | None:
    """None if another attempt is under way: an attempt that a crash cut off while it was put off
    is taken up beside the next one, and must not end that."""
    writing = writings.find(tx, SnapshotId(str(args["snapshot_id"])))
    return None if writing is None or writing.attempts != args["attempt"] else writing


def _complete(svc: Services, args: Args) -> None:
    """A collection that begins from now on waits until this attempt has ended."""
    snapshot_id = SnapshotId(str(args["snapshot_id"]))
    with svc.catalog.begin() as tx:
        snapshot, writing = snapshots.fetch_any(tx, snapshot_id), _writing(tx, args)
        if snapshot is None or writing is None or snapshot.state is not SnapshotState.PENDING:
            return
        writings.save(tx, writing.begun())
        since = ingests.since_root(tx, snapshot_id)
    try:
        scratch.complete(svc, snapshot_id, _content(svc, snapshot, since))
    except ChunkLost as lost:
        _log.error("%s is not whole: %s", snapshot_id, lost)
        scratch.fail(svc, snapshot_id, "Server.InternalError: what it is made of is lost")


def _put_off(svc: Services, args: Args, why: str) -> None:
    """The sweep begins anew: its blocks are nowhere else, and a store that is full or away
    today may take them tomorrow."""
    _log.warning("%s is completed later: %s", args["snapshot_id"], why)
    with svc.catalog.begin() as tx:
        writing = _writing(tx, args)
        if writing is not None:
            writings.save(tx, writing.put_off())
            collection.await_no_more(tx, writing.snapshot_id)


def _content(svc: Services, snapshot: Snapshot, since: str | None) -> Root:
    """What was written over the parent's blocks, durably."""
    size_blocks = snapshot.volume_size_gib * BLOCKS_PER_GIB
    store, manifests = svc.stores[snapshot.region], svc.volumes.manifests(snapshot.region)
    root = Root.empty(size_blocks) if since is None else Root.from_text(since)
    with store.writer() as writer:
        root = manifests.resized(writer, root, size_blocks)
    after = -1
    while True:
        with svc.catalog.read() as tx:
            blocks = writings.blocks_after(tx, snapshot.id, after, BLOCKS_AT_ONCE)
        if not blocks:
            return root
        # A writer each: the next part reads pages of this one.
        with store.writer() as writer:
            root = manifests.update(writer, root, dict(blocks))
        after = blocks[-1][0]


def is_over(svc: Services, snapshot: Snapshot, writing: Writing) -> bool:
    """Whether nothing may be written any more, although nobody completed it.

    One that is sealed is completed, however long that takes.
    """
    hours = svc.settings.direct_snapshot_hours_max
    life_max = timedelta(hours=hours) if hours else None
    ends_at = writing.ends_at(snapshot.started_at, life_max, svc.serving_since)
    return not writing.is_sealed and svc.clock.now() >= ends_at


def resume(svc: Services) -> None:
    """Complete what is sealed, give up what is over, forget the rows of blocks that are done."""
    with svc.catalog.read() as tx:
        waiting = writings.pending(tx)
        over = [each.snapshot_id for each in waiting if _is_over(svc, tx, each.snapshot_id)]
    for writing in waiting:
        if writing.is_sealed:
            start(svc, writing)
    for snapshot_id in over:
        with svc.catalog.begin() as tx:
            if _is_over(svc, tx, snapshot_id):  # it may have been written to meanwhile
                scratch.fail_in(tx, snapshot_id, "Client.Timeout: it was not completed in time")
    _purge(svc)


def _is_over(svc: Services, tx: Transaction, snapshot_id: SnapshotId) -> bool:
    snapshot, writing = snapshots.fetch_any(tx, snapshot_id), writings.find(tx, snapshot_id)
    return snapshot is not None and writing is not None and is_over(svc, snapshot, writing)


def _purge(svc: Services) -> None:
    """Some at a time: others want to write to the catalog meanwhile."""
    for _ in range(_PURGES_OF_A_SWEEP):
        with svc.catalog.read() as tx:
            snapshot_id = writings.stale(tx)
        if snapshot_id is None:
            return
        with svc.catalog.begin() as tx:
            writings.purge_blocks(tx, snapshot_id, _ROWS_AT_ONCE)
