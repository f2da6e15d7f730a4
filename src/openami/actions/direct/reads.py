"""The content of snapshots: which blocks there are, which have changed, and what is in one.

A snapshot's content is a tree that never changes, so a listing goes on anywhere without any
state: a page costs what it shows and the tree's depth, however large the disk is.
"""

import logging
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Final

from openami.actions.direct.access import at_the_store, readable
from openami.blockstore.manifest import Change
from openami.blockstore.store import ChunkCorrupt, ChunkLost
from openami.catalog.direct import token_key
from openami.catalog.storage import losses
from openami.catalog.storage.collection import Named
from openami.domain.block import BLOCK_BYTES, BLOCKS_PER_GIB, HOLE
from openami.domain.caller import Caller
from openami.domain.direct import block_token
from openami.domain.direct.refusals import internal, invalid
from openami.domain.errors import EC2Error
from openami.domain.ids import SnapshotId
from openami.domain.manifest import FANOUT, Root
from openami.domain.snapshot import Snapshot
from openami.services import Services

LEAVES_MAX: Final = 1000
"""Of a listing's page: where each block is in a leaf of its own, the page is shorter."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From which block on a listing is asked for, and for how many."""

    start: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTokens:
    """A block, with its token in the snapshot and, if two are compared, in the first of them."""

    index: int
    token: str
    first_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Part of a snapshot's blocks. `next_start` is None where there are no more."""

    blocks: tuple[BlockTokens, ...]
    next_start: int | None
    volume_size_gib: int
    expires_at: datetime


def list_snapshot_blocks(
    svc: Services, caller: Caller, snapshot_id: SnapshotId, span: Span
) -> Listing:
    """The blocks that hold data, in order. Raises as `readable` does."""
    with svc.catalog.read() as tx:
        snapshot, root = readable(tx, caller, snapshot_id)
        known = losses.known(tx, caller.region)
    listed = _Tokens.new(svc)
    manifests = svc.volumes.manifests(caller.region)
    found = (
        BlockTokens(index=index, token=listed.of(snapshot_id, index))
        for index, _ in manifests.iterate(root, span.start)
    )
    with _lost_only_if_there(svc, caller, known, snapshot_id), at_the_store(svc):
        return listed.page(found, span, snapshot)


def list_changed_blocks(
    svc: Services, caller: Caller, first_id: SnapshotId, second_id: SnapshotId, span: Span
) -> Listing:
    """The blocks of the second snapshot that are not as in the first, in order.

    One that the second does not have any more is among them: it reads as zeros. Raises as
    `readable` does, and ValidationException for snapshots that are not to be compared.
    """
    with svc.catalog.read() as tx:
        first, before = readable(tx, caller, first_id)
        second, after = readable(tx, caller, second_id)
        known = losses.known(tx, caller.region)
    _check_comparable(svc, first, second)
    listed = _Tokens.new(svc)

    def told(change: Change) -> BlockTokens:
        return BlockTokens(
            index=change.index,
            token=listed.of(second_id, change.index),
            first_token=None if change.before == HOLE else listed.of(first_id, change.index),
        )

    changes = svc.volumes.manifests(caller.region).diff(before, after, span.start)
    end = second.volume_size_gib * BLOCKS_PER_GIB
    found = map(told, takewhile(lambda change: change.index < end, changes))
    with _lost_only_if_there(svc, caller, known, first_id, second_id), at_the_store(svc):
        return listed.page(found, span, second)


def _check_comparable(svc: Services, first: Snapshot, second: Snapshot) -> None:
    if first.is_related(second):
        return
    if svc.settings.changed_blocks_of == "lineage":
        raise invalid(
            "UNRELATED_SNAPSHOTS",
            f"The snapshots '{first.id}' and '{second.id}' are not of the same lineage.",
        )
    if first.volume_size_gib != second.volume_size_gib:
        raise invalid(
            "UNRELATED_SNAPSHOTS",
            f"The snapshots '{first.id}' and '{second.id}' are neither of the same lineage nor of"
            " volumes of one size.",
        )


def get_snapshot_block(
    svc: Services, caller: Caller, snapshot_id: SnapshotId, index: int, token: str
) -> bytes:
    """The block's 512 KiB, which were verified; zeros where the snapshot has none.

    Raises as `readable` does, and ValidationException for a token that is not of this block or
    has expired.
    """
    key, now = token_key.of(svc.catalog, svc.ids), svc.clock.now()
    with svc.catalog.read() as tx:
        snapshot, root = readable(tx, caller, snapshot_id)
        known = losses.known(tx, caller.region)
    if not block_token.is_good(key, token, snapshot_id, index, now):
        raise invalid("INVALID_BLOCK_TOKEN", "The block token is invalid or has expired.")
    with _lost_only_if_there(svc, caller, known, snapshot_id), at_the_store(svc):
        return _block(svc, snapshot, root, index)


def _block(svc: Services, snapshot: Snapshot, root: Root, index: int) -> bytes:
    # A disk may be shorter than the volumes that are made of it.
    beyond = index >= root.blocks
    digest = HOLE if beyond else svc.volumes.manifests(snapshot.region).lookup(root, index)
    return bytes(BLOCK_BYTES) if digest == HOLE else svc.stores[snapshot.region].get(digest)


@contextmanager
def _lost_only_if_there(
    svc: Services, caller: Caller, known: Collection[Named], *snapshot_ids: SnapshotId
) -> Generator[None]:
    """What is missing of a snapshot that was deleted meanwhile is no loss, and is told as that.

    What was `known` to be lost before stays so, and what is corrupt: no collection did that, and
    others may share it.
    """
    try:
        yield
    except ChunkLost as lost:
        try:
            with svc.catalog.read() as tx:
                for each in snapshot_ids:
                    readable(tx, caller, each)
        except EC2Error:
            # The store has noted it. If others rely on it, the next who meets it notes it again.
            if not isinstance(lost, ChunkCorrupt) and (lost.kind, lost.digest) not in known:
                with svc.catalog.begin() as tx:
                    losses.forget(tx, caller.region, [(lost.kind, lost.digest)])
            raise
        _log.error("what a request wants to read of %s is lost: %s", snapshot_ids, lost)
        raise internal("What is asked for is lost, or cannot be read.") from lost


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """Those of one listing, which all expire at once."""

    key: bytes
    expires_at: datetime

    @staticmethod
    def new(svc: Services) -> "_Tokens":
        expires_at = svc.clock.now().replace(microsecond=0) + block_token.LIFE
        return _Tokens(key=token_key.of(svc.catalog, svc.ids), expires_at=expires_at)

    def of(self, snapshot_id: SnapshotId, index: int) -> str:
        return block_token.token_of(self.key, snapshot_id, index, self.expires_at)

    def page(self, found: Iterator[BlockTokens], span: Span, snapshot: Snapshot) -> Listing:
        blocks: list[BlockTokens] = []
        leaves: set[int] = set()
        next_start: int | None = None
        for block in found:
            leaves.add(block.index // FANOUT)
            if len(blocks) == span.limit or len(leaves) > LEAVES_MAX:
                next_start = block.index
                break
            blocks.append(block)
        return Listing(
            blocks=tuple(blocks),
            next_start=next_start,
            volume_size_gib=snapshot.volume_size_gib,
            expires_at=self.expires_at,
        )
