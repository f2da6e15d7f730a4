"""What a snapshot of a running volume need not copy, because an earlier snapshot has it.

The machine notes which blocks change, from a snapshot's moment on and under the snapshot's id.
So there is nothing to remember: what was noted under an id are the changes to the content that
the catalog has for it, if that snapshot was completed. One that failed has no content, and what
changed before it is still noted under the id of the one before.
"""

from dataclasses import dataclass
from pathlib import Path

from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkLost
from openami.catalog import ingests, snapshot_tiers, snapshots, volumes
from openami.catalog.catalog import Transaction
from openami.catalog.storage import losses
from openami.compute.driver import DiskCopy
from openami.domain.ids import SnapshotId, VolumeId
from openami.domain.manifest import Root
from openami.domain.snapshot import Progress, Snapshot, SnapshotState
from openami.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A copy of a volume for `key`, if possible of no more than the changes to `root`."""

    key: SnapshotId
    volume_id: VolumeId
    root: Root | None
    copy: DiskCopy


def wished(svc: Services, key: SnapshotId, volume_id: VolumeId, target: Path) -> Wish:
    """What to ask of the machine. From here on the lease of `key` covers `root` too."""
    with svc.catalog.begin() as tx:
        mine = snapshots.fetch_any(tx, key)  # None for what is copied but for a snapshot
        earlier = _earlier(tx, mine, volume_id)
        pending = {each.id for each in snapshots.pending_of_volume(tx, volume_id)}
        if earlier is not None and earlier.root is not None:
            ingests.rely_on(tx, key, earlier.root)
    if earlier is not None and not _seems_whole(svc, earlier):
        earlier = None
    return Wish(
        key=key,
        volume_id=volume_id,
        root=None if earlier is None else Root.from_text(str(earlier.root)),
        copy=DiskCopy(
            target=target,
            mark=key if mine is not None and mine.state is SnapshotState.PENDING else None,
            since=None if earlier is None else earlier.id,
            keep=frozenset(pending - {key}),
        ),
    )


def _earlier(tx: Transaction, mine: Snapshot | None, volume_id: VolumeId) -> Snapshot | None:
    """The volume's latest snapshot, if its blocks stay and it has all of the volume.

    While anything of the region is known to be lost, there is none: the new snapshot would inherit
    the loss, although the disk may have the bytes. All that is copied of it is stored again.

    One that was asked for before the volume grew may have been copied after it, and lacks what
    was written beyond its end by then: that is noted nowhere.
    """
    volume = volumes.fetch_any(tx, volume_id)
    if volume is None or losses.known(tx, volume.region):
        return None
    found = snapshots.latest_of_volume(tx, volume_id, volume.region)
    wanted_gib = volume.size_gib if mine is None else mine.volume_size_gib
    if found is None or not found.volume_size_gib == volume.size_gib == wanted_gib:
        return None
    tiering = snapshot_tiers.find(tx, found.id)
    moves = tiering is not None and tiering.progress is Progress.GOING_ON
    return None if moves else found


def _seems_whole(svc: Services, earlier: Snapshot) -> bool:
    """Whether everything that the snapshot names is there, as far as that can be told for little.

    Others wait for who asks, so what was looked at within the last hour is not looked at again: of
    snapshots in a row that is all but what changed. The caller's lease covers it.
    """
    store, root = svc.stores[earlier.region], Root.from_text(str(earlier.root))
    if not store.looks_are_cheap:
        return True
    lost: list[ChunkLost] = []
    lately = svc.looks.lately(earlier.region)
    pages = set(lately)
    leaves = Manifests(store).leaves(root, pages, lost.append)
    if any(store.missing(chunks) for chunks in leaves) or lost:
        return False
    svc.looks.note(earlier.region, pages - lately)
    return True
