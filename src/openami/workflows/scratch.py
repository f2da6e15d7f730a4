"""Copies of volumes at one moment, kept until their blocks are in the store.

`<state_dir>/scratch/<owner>/` holds one overlay per snapshot; `copies.json` is written when
the last of them is durable, so a set is there whole or not at all. The owner is the snapshot
or the image that they are for.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from openami.blockstore.copying import copy_file
from openami.blockstore.disk_sync import full_disk_is_told, sync_directory
from openami.blockstore.store import ChunkCorrupt, ChunkLost
from openami.blockstore.volumes import Origin
from openami.catalog import images, ingests, snapshot_copies, snapshots, volumes
from openami.catalog.catalog import Transaction
from openami.catalog.storage import losses
from openami.compute.driver import MachineState
from openami.domain.ids import InstanceId, Region, SnapshotId, VolumeId
from openami.domain.manifest import Root
from openami.domain.snapshot import Snapshot, SnapshotState
from openami.domain.volume import Volume, VolumeState
from openami.jobs.engine import GiveUp
from openami.jobs.room import NoRoom, Share
from openami.services import Services
from openami.workflows import changes

_DONE: Final = "copies.json"
_LOOK_EVERY_S: Final = 0.2
_STORED_BLINDLY_S: Final = 1.0
_UNREADABLE: Final = (VolumeState.CREATING, VolumeState.ERROR)


class _Unwanted(Exception):
    """What a copy is stored for was deleted."""


class Moved(Exception):
    """A volume was attached or detached between the look and the lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A quiescent overlay and the disk it lies on."""

    overlay: Path
    root: Root | None
    size_gib: int


def home(svc: Services, owner: str) -> Path:
    return svc.settings.state_dir / "scratch" / owner


def found(svc: Services, owner: str) -> Mapping[str, Copy] | None:
    """Snapshot id → its copy, if the set is complete."""
    directory = home(svc, owner)
    try:
        told = json.loads((directory / _DONE).read_text())
    except FileNotFoundError:
        return None
    return {
        snapshot_id: Copy(
            overlay=directory / f"{snapshot_id}.qcow2",
            root=None if each["root"] is None else Root.from_text(each["root"]),
            size_gib=each["size_gib"],
        )
        for snapshot_id, each in told.items()
    }


def take(
    svc: Services,
    owner: str,
    wanted: Mapping[SnapshotId, VolumeId],
    of: InstanceId | None = None,
) -> None:
    """Copy the volumes, all as they are at one moment. A complete set is left as it is.

    A set that a crash left incomplete is taken anew: its moment is then the second one. What has
    its content is not copied again: what changed since would be noted from the second moment on.
    All volumes are of the instance `of`; without it there is one volume, wherever it is. Raises
    GiveUp when a volume is gone or elsewhere and when there is no room for the copies,
    MachineFailed, StoreFull.
    """
    with svc.locks(f"copies for {owner}"):  # who ends a volume makes sure of them, too
        if found(svc, owner) is None and (lacking := unfilled(svc, wanted)):
            _take(svc, owner, {each: wanted[each] for each in lacking}, of)


def unfilled(svc: Services, keys: Iterable[SnapshotId]) -> list[SnapshotId]:
    """Those of what copies are for that wait for their content yet, as their leases tell."""
    with svc.catalog.read() as tx:
        return [each for each in keys if ingests.is_active(tx, each)]


def _take(
    svc: Services, owner: str, wanted: Mapping[SnapshotId, VolumeId], of: InstanceId | None
) -> None:
    targets = {
        volume_id: home(svc, owner) / f"{snapshot_id}.qcow2"
        for snapshot_id, volume_id in wanted.items()
    }
    with _held(svc, wanted, of) as (its_volumes, instance_id):
        if instance_id is None or svc.compute.state(instance_id) is MachineState.ABSENT:
            with _filling(svc, owner) as share:
                for volume in its_volumes:
                    copy_file(svc.volumes.overlay(volume.id), targets[volume.id], share.claim)
                _finish(share.directory, _origins(svc, wanted))
            return
    # A copy of a running machine may take minutes, and nobody has to wait for it but the next,
    # and who changes what the disks lie on.
    with svc.locks(copying(instance_id)), _filling(svc, owner) as share:
        wishes = [
            changes.wished(svc, key, volume_id, targets[volume_id])
            for key, volume_id in wanted.items()
        ]
        copies = {wish.volume_id: wish.copy for wish in wishes}
        partial = svc.compute.copy_disks(instance_id, copies, share.claim)
        since = {wish.key: wish.root for wish in wishes if wish.volume_id in partial}
        origins = {
            key: replace(origin, root=since.get(key, origin.root))
            for key, origin in _origins(svc, wanted).items()
        }
        _finish(share.directory, origins)


def copying(instance_id: InstanceId | None) -> str:
    """The lock of who copies the disks of a running machine: their nodes stay as they are."""
    return f"copies of {instance_id}"


def _origins(svc: Services, wanted: Mapping[SnapshotId, VolumeId]) -> Mapping[SnapshotId, Origin]:
    return {key: svc.volumes.origin(volume_id) for key, volume_id in wanted.items()}


@contextmanager
def _filling(svc: Services, owner: str) -> Generator[Share]:
    """An empty directory for the copies, and what they are promised of the room for as long as they
    are made. It goes again if they do not come about. Raises GiveUp when they do not fit."""
    directory = home(svc, owner)
    drop(svc, owner)
    _lasting(directory.parent)
    directory.mkdir()
    try:
        with svc.room.share(directory) as share, full_disk_is_told(directory):
            yield share
    except NoRoom as full:
        drop(svc, owner)
        raise GiveUp(
            "Server.InternalError: There is no room on the server to copy the volume:"
            f" {-(-full.lacking_bytes >> 20)} MiB are lacking"
        ) from full
    except Exception:
        drop(svc, owner)  # half a copy is of no use, and the disk may be full of it
        raise


def wait_for_copies(
    svc: Services, instance_id: InstanceId, timeout_s: float, but: Collection[SnapshotId] = ()
) -> None:
    """Until every pending snapshot of the instance's volumes has its copy, at most for a time.

    A copy that the end of the machine cuts off is taken anew, of a later moment than was asked.
    """
    deadline = time.monotonic() + timeout_s
    while _uncopied(svc, instance_id) - set(but) and (left_s := deadline - time.monotonic()) > 0:
        if svc.compute.wait_absent(instance_id, min(left_s, _LOOK_EVERY_S)):
            return


def _uncopied(svc: Services, instance_id: InstanceId) -> set[SnapshotId]:
    with svc.catalog.read() as tx:
        owners = {
            snapshot.id: names_for(tx, snapshot)
            for volume in volumes.of_instance(tx, instance_id)
            for snapshot in snapshots.pending_of_volume(tx, volume.id)
        }
    return {each for each in owners if all(found(svc, owner) is None for owner in owners[each])}


def names_for(tx: Transaction, snapshot: Snapshot) -> list[str]:
    """Under whose name a snapshot's copy may be kept."""
    of_set = [] if snapshot.set_id is None else [snapshot.set_id]
    return [snapshot.id, *of_set, *images.all_users_of_snapshot(tx, snapshot.id)]


def store(svc: Services, owner: str, snapshot_id: SnapshotId) -> None:
    """Bring the blocks of one copy into the store and complete its snapshot, if it is pending.

    Raises StoreFull, and GiveUp when the copies are gone.
    """
    with svc.catalog.read() as tx:
        snapshot = snapshots.fetch_any(tx, snapshot_id)
    if snapshot is None or snapshot.state is not SnapshotState.PENDING:
        return
    copy = (found(svc, owner) or {}).get(snapshot_id)
    if copy is None:
        raise GiveUp("Server.InternalError: the copy of the volume is gone")
    root = ingest(svc, snapshot_id, snapshot.region, copy, of_gib=snapshot.volume_size_gib)
    if root is not None:
        complete(svc, snapshot_id, root)


def ingest(
    svc: Services, key: SnapshotId, region: Region, copy: Copy, of_gib: int | None = None
) -> Root | None:
    """Bring a copy into the store. None if what it is for was deleted meanwhile.

    The lease went with it, so it is no loss if what the copy lies on is gone. Raises ChunkLost,
    StoreFull.
    """
    with svc.catalog.read() as tx:
        before = losses.known(tx, region)
    try:
        return svc.volumes.snapshot_from(
            *(copy.overlay, region, copy.root, copy.size_gib),
            of_gib=of_gib,
            look=_looking(svc, key),
        )
    except _Unwanted:
        return None
    except ChunkLost as lost:
        if unfilled(svc, [key]):
            raise
        named = (lost.kind, lost.digest)
        # The store has noted it. Bytes that are wrong are lost for whoever else has them, too.
        if named not in before and not isinstance(lost, ChunkCorrupt):
            with svc.catalog.begin() as tx:
                losses.forget(tx, region, [named])
        return None


def _looking(svc: Services, key: SnapshotId) -> Callable[[], None]:
    """To be called often: raises _Unwanted soon after what a copy is for was deleted."""
    looked_at = time.monotonic()

    def look() -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at >= _STORED_BLINDLY_S:
            if not unfilled(svc, [key]):
                raise _Unwanted
            looked_at = time.monotonic()

    return look


def complete(svc: Services, snapshot_id: SnapshotId, root: Root) -> None:
    """Commit the content of a pending snapshot and give its lease back."""
    with svc.catalog.begin() as tx:
        complete_in(tx, snapshot_id, root, svc.clock.now())


def complete_in(tx: Transaction, snapshot_id: SnapshotId, root: Root, now: datetime) -> None:
    """As part of a transaction that does more. Raises GiveUp when the lease is lost."""
    snapshot = snapshots.fetch_any(tx, snapshot_id)
    if snapshot is None or snapshot.state is not SnapshotState.PENDING:
        return  # deleted meanwhile; whoever did gave the lease back
    if not ingests.is_active(tx, snapshot_id):
        raise GiveUp("Server.InternalError: the lease of the snapshot is lost")
    snapshots.save(tx, snapshot.completed(root.to_text(), now))
    ingests.end(tx, snapshot_id)
    snapshot_copies.end(tx, snapshot_id)


def fail(svc: Services, snapshot_id: SnapshotId, reason: str) -> None:
    """Record that a snapshot is not to be, and give its lease back."""
    with svc.catalog.begin() as tx:
        fail_in(tx, snapshot_id, reason)


def fail_in(tx: Transaction, snapshot_id: SnapshotId, reason: str) -> None:
    """As part of a transaction that does more."""
    current = snapshots.fetch_any(tx, snapshot_id)
    if current is not None and current.state is SnapshotState.PENDING:
        snapshots.save(tx, current.given_up(reason))
    ingests.end(tx, snapshot_id)
    snapshot_copies.end(tx, snapshot_id)


def drop(svc: Services, owner: str) -> None:
    """Remove its copies; another thread may be at it, too."""
    with suppress(FileNotFoundError):
        shutil.rmtree(home(svc, owner))


def sweep(svc: Services) -> None:
    """Remove the copies that no job works on and nobody waits for.

    What a job that stands in line is for is in no record of jobs after a crash. Its copy may be all
    that there is of a volume, so the catalog has a say, too.
    """
    parent = svc.settings.state_dir / "scratch"
    if not parent.exists():
        return
    owners = [directory.name for directory in parent.iterdir()]  # before the look at the jobs
    working = {job_id.split(":")[1] for job_id in svc.jobs.active()}
    with svc.catalog.read() as tx:
        waiting = {name for each in snapshots.pending(tx) for name in names_for(tx, each)}
        waiting |= {each.id for each in volumes.in_state(tx, VolumeState.CREATING)}
    for owner in owners:
        if owner not in working | waiting:
            drop(svc, owner)


@contextmanager
def _held(
    svc: Services, wanted: Mapping[SnapshotId, VolumeId], of: InstanceId | None
) -> Generator[tuple[Sequence[Volume], InstanceId | None]]:
    """The volumes and their instance, which neither starts nor stops nor changes them meanwhile."""
    with svc.catalog.read() as tx:
        instance_id = _instance_of(_fetched(tx, wanted.values()), of)
    with svc.locks(instance_id or next(iter(wanted.values()))):
        with svc.catalog.read() as tx:
            its_volumes = _fetched(tx, wanted.values())
        if _instance_of(its_volumes, of) != instance_id:
            raise Moved(f"{', '.join(wanted.values())} moved between instances; look again")
        yield its_volumes, instance_id


def _fetched(tx: Transaction, volume_ids: Iterable[VolumeId]) -> list[Volume]:
    rows = [volumes.fetch_any(tx, volume_id) for volume_id in volume_ids]
    present = [volume for volume in rows if volume is not None]
    if len(present) < len(rows) or any(volume.state in _UNREADABLE for volume in present):
        raise GiveUp("Client.VolumeDeleted: the volume was deleted before it was copied")
    return present


def _instance_of(its_volumes: Sequence[Volume], of: InstanceId | None) -> InstanceId | None:
    """The one place where all of them are. Raises GiveUp if that is not `of`, if it is given."""
    places = {each.attachment.instance_id if each.attachment else None for each in its_volumes}
    if len(places) != 1 or (of is not None and places != {of}):
        raise GiveUp("Client.VolumeDetached: a volume was detached before it was copied")
    return places.pop()


def _finish(directory: Path, copies: Mapping[SnapshotId, Origin]) -> None:
    """Make the copies durable, then say that they are all there."""
    for snapshot_id in copies:
        _sync(directory / f"{snapshot_id}.qcow2")
    draft = directory / f".{_DONE}"
    draft.write_text(
        json.dumps(
            {
                snapshot_id: {
                    "root": None if origin.root is None else origin.root.to_text(),
                    "size_gib": origin.size_gib,
                }
                for snapshot_id, origin in copies.items()
            }
        )
    )
    _sync(draft)
    draft.rename(directory / _DONE)
    sync_directory(directory)
    sync_directory(directory.parent)


def _lasting(parent: Path) -> None:
    """Make the directory of all copies, once: a copy that is done is not to go with it."""
    if not parent.exists():
        parent.mkdir(parents=True, exist_ok=True)
        sync_directory(parent.parent)


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
