"""Snapshots with something in them, for the tests of what becomes of snapshots."""

from openami.catalog import snapshots
from openami.domain.ids import SnapshotId
from openami.domain.manifest import Root
from openami.services import Services
from support.asking import ask
from support.builders import ZONE
from support.disk_contents import write_volume


def a_volume(svc: Services, **blocks: int) -> str:
    """A volume with signs in some of its blocks."""
    volume_id = str(ask(svc, "CreateVolume", AvailabilityZone=ZONE, Size=1)["VolumeId"])
    for sign, block in blocks.items():
        write_volume(svc, volume_id, block, sign)
    return volume_id


def snapshot_of(svc: Services, volume_id: str) -> SnapshotId:
    return SnapshotId(ask(svc, "CreateSnapshot", VolumeId=volume_id)["SnapshotId"])


def archive(svc: Services, snapshot_id: str) -> None:
    ask(svc, "ModifySnapshotTier", SnapshotId=snapshot_id, StorageTier="archive")


def root_of(svc: Services, snapshot_id: str) -> Root:
    with svc.catalog.read() as tx:
        snapshot = snapshots.fetch_any(tx, SnapshotId(snapshot_id))
    assert snapshot is not None
    assert snapshot.root is not None
    return Root.from_text(snapshot.root)
