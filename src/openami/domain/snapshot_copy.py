"""A snapshot that is being copied: what it is a copy of, until it has the bytes itself."""

from dataclasses import dataclass

from openami.domain.ids import ImageId, Region, SnapshotId


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotCopy:
    """`root` is the source's content: it is held by this, also when the source is deleted.

    `image_id` is the copied image to which the new snapshot belongs, if it does.
    """

    snapshot_id: SnapshotId
    source_snapshot_id: SnapshotId
    source_region: Region
    root: str
    image_id: ImageId | None = None
