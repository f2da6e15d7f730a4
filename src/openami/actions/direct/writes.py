"""Snapshots made block by block, without a volume: begun, written in any order, completed.

The order of effects is chunk, row, answer. A row keeps its chunk as long as the snapshot is
pending, so a block that was acknowledged is there; no collection waits for who writes, so a put
looks once more in the transaction of its row. The snapshot gets its content in one transaction at
its end. Its lease keeps the parent's content.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from openami.actions.direct.access import at_the_store, readable, visible
from openami.actions.quotas import Quota, check_room
from openami.blockstore import codec
from openami.blockstore.store import ChunkStore, Kind, NoLongerThere
from openami.catalog import idempotency, ingests, snapshots, tags
from openami.catalog.catalog import Transaction
from openami.catalog.direct import writings
from openami.catalog.storage import collection
from openami.domain.block import BLOCK_BYTES, BLOCKS_PER_GIB, HOLE, Digest
from openami.domain.caller import Caller
from openami.domain.direct.refusals import conflict, invalid, not_yours, throttled
from openami.domain.direct.writing import SIZE_GIB_MAX, Writing
from openami.domain.errors import EC2Error
from openami.domain.idempotency import ClientToken
from openami.domain.ids import Region, SnapshotId
from openami.domain.snapshot import NO_VOLUME, Snapshot, SnapshotState
from openami.services import Services
from openami.workflows import complete_direct_snapshot as workflow

CHECKSUMS_AT_ONCE: Final = 10_000
TRIES: Final = 10
_ZEROS: Final = bytes(BLOCK_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """What StartSnapshot is told."""

    volume_size_gib: int
    parent_id: SnapshotId | None
    description: str
    tags: Mapping[str, str]
    timeout_minutes: int


def start_snapshot(
    svc: Services, caller: Caller, asked: SnapshotRequest, token: ClientToken | None
) -> Snapshot:
    """A pending snapshot, whose blocks are those of its parent until they are written.

    Raises ValidationException, ConflictException for a token that came with another request,
    ConcurrentLimitExceededException, and for the parent as `readable` does.
    """
    if asked.volume_size_gib > SIZE_GIB_MAX:
        raise _too_large()
    with svc.catalog.begin() as tx:
        made = idempotency.earlier(tx, caller, token)
        if made is not None:
            return _made_earlier(tx, SnapshotId(made))
        _check_room(svc, tx, caller)
        snapshot = _begun(svc, tx, caller, asked)
        tags.put(tx, caller.account, caller.region, ("snapshot", snapshot.id), asked.tags)
        idempotency.remember(tx, caller, token, snapshot.id, snapshot.started_at)
    return snapshot


def _made_earlier(tx: Transaction, snapshot_id: SnapshotId) -> Snapshot:
    found = snapshots.fetch_any(tx, snapshot_id)
    if found is None:  # another one now would be another one at each retry, too
        raise conflict(f"The snapshot '{snapshot_id}' of this client token was deleted.")
    return found


def _check_room(svc: Services, tx: Transaction, caller: Caller) -> None:
    check_room(svc, tx, Quota.SNAPSHOTS, caller.account, caller.region)
    limit = svc.settings.direct_snapshots_max
    if writings.count_pending(tx, caller.account, caller.region) >= limit:
        raise EC2Error.of(
            "ConcurrentLimitExceededException",
            f"There are {limit} snapshots pending that StartSnapshot began.",
        )


def _begun(svc: Services, tx: Transaction, caller: Caller, asked: SnapshotRequest) -> Snapshot:
    """The rows, and the lease, which keeps the parent's content if that is deleted meanwhile."""
    parent, root = None, None
    if asked.parent_id is not None:
        parent, root = readable(tx, caller, asked.parent_id)
        if parent.volume_size_gib > asked.volume_size_gib:
            raise invalid(
                "INVALID_VOLUME_SIZE",
                f"The volume size is less than the {parent.volume_size_gib} GiB of the parent.",
            )
    now = svc.clock.now()
    snapshot = Snapshot(
        id=SnapshotId(svc.ids.new("snap")),
        region=caller.region,
        owner=caller.account,
        volume_id=NO_VOLUME,
        volume_size_gib=asked.volume_size_gib,
        state=SnapshotState.PENDING,
        started_at=now,
        description=asked.description,
        lineage=None if parent is None else parent.line,
    )
    snapshots.add(tx, snapshot)
    ingests.begin(tx, snapshot.id, snapshot.region, now)
    if root is not None:
        ingests.rely_on(tx, snapshot.id, root.to_text())
    writing = Writing(
        snapshot_id=snapshot.id,
        region=snapshot.region,
        owner=snapshot.owner,
        timeout_minutes=asked.timeout_minutes,
        written_at=now,
    )
    writings.add(tx, writing)
    return snapshot


def _too_large() -> EC2Error:
    return invalid("INVALID_VOLUME_SIZE", f"A volume has at most {SIZE_GIB_MAX} GiB.")


def put_snapshot_block(
    svc: Services,
    caller: Caller,
    snapshot_id: SnapshotId,
    index: int,
    block: bytes,
    checksum: bytes,
    progress_percent: int | None = None,
) -> None:
    """The block from now on, durably. `checksum` is its SHA256, which was held against it.

    Raises as `_open` does, ValidationException for a block that the disk does not have.
    """
    for _ in range(TRIES):
        with svc.catalog.read() as tx:
            snapshot, _ = _open(svc, tx, caller, snapshot_id)
            steps = collection.steps(tx, snapshot.region)
        if index >= snapshot.volume_size_gib * BLOCKS_PER_GIB:
            raise invalid("INVALID_BLOCK", f"A volume of this size has no block {index}.")
        try:
            with at_the_store(svc):
                digest = _stored(svc, snapshot, block)
        except NoLongerThere:
            continue
        with svc.catalog.begin() as tx:
            # Again: meanwhile it may have been completed, deleted or given up.
            _, writing = _open(svc, tx, caller, snapshot_id)
            if not is_kept(tx, snapshot.region, digest, steps):
                continue
            writings.put_block(tx, snapshot_id, index, digest, checksum)
            writings.save(tx, writing.written(svc.clock.now()))
            if progress_percent is not None:
                snapshots.save_progress(tx, snapshot_id, min(progress_percent, 99))
            return
    raise throttled("The store of the blocks is being cleaned up.")


def is_kept(tx: Transaction, region: Region, digest: Digest, steps: int) -> bool:
    """Whether a chunk that was put or found there will be there as long as this transaction's row.

    No collection waits for a put. One that has gone on since `steps` was looked up may have taken
    the chunk, however it was found; one that has not spares what it has condemned meanwhile.
    """
    if collection.steps(tx, region) != steps:
        return False
    collection.spare(tx, region, [(Kind.CHUNK, digest)])
    return True


def _stored(svc: Services, snapshot: Snapshot, block: bytes) -> Digest:
    if block == _ZEROS:
        return HOLE
    digest, store = codec.digest_of(block), svc.stores[snapshot.region]
    with store.writer() as writer:
        if writer.missing((digest,)):
            _require_room(svc, store)
            writer.put(digest, codec.encode(block))
    return digest


def _require_room(svc: Services, store: ChunkStore) -> None:
    """Raises NoRoom before the disk is full: guests and the catalog may be on it, and no quota
    bounds what is written."""
    if store.directory is not None:
        with svc.room.share(store.directory) as share:
            share.look()


def complete_snapshot(
    svc: Services,
    caller: Caller,
    snapshot_id: SnapshotId,
    changed_blocks: int,
    checksum: bytes | None = None,
) -> SnapshotState:
    """Seal it: nothing can be written any more, and its content is being put together.

    Asked again, it says how far that is. Raises as `_open` does, and ValidationException if other
    blocks were written than `changed_blocks` and `checksum` (AWS's LINEAR method) say.
    """
    with svc.catalog.read() as tx:
        snapshot, writing = _fetched(tx, caller, snapshot_id)
        if not writing.is_sealed:
            _check_open(svc, snapshot, writing)
            if writings.count_blocks(tx, snapshot_id) != changed_blocks:
                raise _other_blocks()
    if not writing.is_sealed:
        if checksum is not None and _checksum_of_all(svc, writing) != checksum:
            raise _other_checksum()
        with svc.catalog.begin() as tx:
            _, current = _open(svc, tx, caller, snapshot_id)
            if current.writes != writing.writes:
                raise invalid("CONFLICTING_BLOCK_UPDATE", "A block was written meanwhile.")
            writings.save(tx, current.sealed(changed_blocks))
    elif writing.changed_blocks != changed_blocks:
        raise _other_blocks()
    job_id = workflow.start(svc, writing)
    svc.jobs.wait(job_id, svc.settings.settle_timeout_s)
    with svc.catalog.read() as tx:
        return visible(tx, caller, snapshot_id).state


def _checksum_of_all(svc: Services, writing: Writing) -> bytes:
    """The SHA256 of the blocks' SHA256s in the order of their indices: AWS's LINEAR method.

    It may take a minute, and be asked for in vain: no transaction is as long, and one request of
    an account at a time does it. It takes nobody's turn at the stores, which it does not ask. What
    is written meanwhile is seen by the count of the writes. Raises RequestThrottledException.
    """
    total, after = hashlib.sha256(), -1
    with svc.locks.if_free(f"checksums of {writing.owner}") as is_first:
        if not is_first:
            raise throttled("A checksum is being computed for another request of the account.")
        while True:
            with svc.catalog.read() as tx:
                found = writings.checksums_after(tx, writing.snapshot_id, after, CHECKSUMS_AT_ONCE)
            if not found:
                return total.digest()
            total.update(b"".join(checksum for _, checksum in found))
            after = found[-1][0]


def _other_checksum() -> EC2Error:
    return invalid(
        "INVALID_PARAMETER_VALUE",
        "The checksum is not that of the blocks that were written to the snapshot.",
    )


def _other_blocks() -> EC2Error:
    return invalid(
        "INVALID_PARAMETER_VALUE",
        "ChangedBlocksCount is not the number of blocks that were written to the snapshot.",
    )


def _open(
    svc: Services, tx: Transaction, caller: Caller, snapshot_id: SnapshotId
) -> tuple[Snapshot, Writing]:
    """One that may be written to.

    Raises ResourceNotFoundException, AccessDeniedException, and ValidationException for one that
    StartSnapshot did not begin, or that is sealed or given up.
    """
    snapshot, writing = _fetched(tx, caller, snapshot_id)
    _check_open(svc, snapshot, writing)
    return snapshot, writing


def _fetched(tx: Transaction, caller: Caller, snapshot_id: SnapshotId) -> tuple[Snapshot, Writing]:
    snapshot = visible(tx, caller, snapshot_id)
    if snapshot.owner != caller.account:
        raise not_yours(snapshot_id)
    writing = writings.find(tx, snapshot_id)
    if writing is None:
        raise invalid("INVALID_SNAPSHOT_ID", f"StartSnapshot did not begin '{snapshot_id}'.")
    return snapshot, writing


def _check_open(svc: Services, snapshot: Snapshot, writing: Writing) -> None:
    if snapshot.state is not SnapshotState.PENDING or writing.is_sealed:
        raise invalid("INVALID_SNAPSHOT_ID", f"Snapshot '{snapshot.id}' is not 'pending'.")
    if workflow.is_over(svc, snapshot, writing):
        raise invalid("WRITE_REQUEST_TIMEOUT", f"Snapshot '{snapshot.id}' has timed out.")
