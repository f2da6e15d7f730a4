"""What is on the disks of the tests' volumes and snapshots."""

import os
from itertools import chain
from pathlib import Path

from openami.blockstore.ingest import data_ranges
from openami.blockstore.manifest import Manifests
from openami.blockstore.store import ChunkStore
from openami.catalog import snapshots, volumes
from openami.diskimage.qcow2 import changed_blocks
from openami.domain.block import BLOCK_BYTES, GIB
from openami.domain.ids import SnapshotId, VolumeId
from openami.domain.manifest import Root
from openami.services import Services
from support.blocks import qemu_io


def write_volume(svc: Services, volume_id: str, block: int, sign: str) -> None:
    """Fill one block of the volume with a sign, as its guest's QEMU would."""
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, VolumeId(volume_id))
    assert volume is not None
    overlay, _base = svc.volumes.paths(volume.id, volume.region)
    qemu_io(overlay, [f"write -P {ord(sign)} {block * 512}k 512k"])


def snapshot_blocks(svc: Services, snapshot_id: str) -> dict[int, str]:
    """Block index → the sign it is filled with, of a completed snapshot."""
    with svc.catalog.read() as tx:
        snapshot = snapshots.fetch_any(tx, SnapshotId(snapshot_id))
    assert snapshot is not None
    assert snapshot.root is not None, f"{snapshot_id} is {snapshot.state}: {snapshot.state_message}"
    return blocks_of(svc.stores[snapshot.region], Root.from_text(snapshot.root))


def volume_blocks(svc: Services, volume_id: str) -> dict[int, str]:
    """Block index → the sign it is filled with, of a volume that nobody writes to."""
    with svc.catalog.read() as tx:
        volume = volumes.fetch_any(tx, VolumeId(volume_id))
    assert volume is not None
    overlay, _base = svc.volumes.paths(volume.id, volume.region)
    root = svc.volumes.origin(volume.id).root
    found = {} if root is None else blocks_of(svc.stores[volume.region], root)
    for index, block in changed_blocks(overlay, volume.size_gib * GIB, lambda _: bytes(512 << 10)):
        assert block == block[:1] * len(block)
        found[index] = block[:1].decode()
    return found


def raw_blocks(disk: Path) -> dict[int, str]:
    """The same of a raw file, as its own bytes are."""
    found: dict[int, str] = {}
    with disk.open("rb") as opened:
        for index in chain(*data_ranges(opened.fileno(), disk.stat().st_size)):
            block = os.pread(opened.fileno(), BLOCK_BYTES, index * BLOCK_BYTES)
            if any(block):
                assert block == block[:1] * len(block)
                found[index] = block[:1].decode()
    return found


def blocks_of(store: ChunkStore, root: Root) -> dict[int, str]:
    found: dict[int, str] = {}
    for index, digest in Manifests(store).iterate(root):
        block = store.get(digest)
        assert block == block[:1] * len(block)
        found[index] = block[:1].decode()
    return found
