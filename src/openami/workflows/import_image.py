"""A disk file of the operator becomes the snapshot of an image."""

import logging
import os
from pathlib import Path
from typing import Final

from openami.blockstore.ingest import SourceChanged, ingest_file
from openami.blockstore.store import StoreFull
from openami.catalog import images, snapshots
from openami.catalog.transfers import image_restores
from openami.diskimage import qemu_img
from openami.diskimage.errors import DiskImageError, DiskRejected
from openami.diskimage.formats import DiskFormat
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import Image, ImageEvent, ImageState
from openami.domain.snapshot import SnapshotState
from openami.domain.state_reason import StateReason
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.room import NoRoom
from openami.services import Services
from openami.workflows import scratch
from openami.workflows.progress import progress_of

NAME: Final = "import_image"
_log = logging.getLogger(__name__)


def start(
    svc: Services, image_id: ImageId, snapshot_id: SnapshotId, path: Path, disk_format: DiskFormat
) -> str:
    """Begin to bring the disk in, once per image. The id of the job."""
    job_id = f"{NAME}:{image_id}"
    args = {
        "image_id": image_id,
        "snapshot_id": snapshot_id,
        "path": str(path),
        "format": str(disk_format),
    }
    svc.jobs.start(NAME, job_id, args)
    return job_id


def resume(svc: Services) -> None:
    """Fail the imports that a crash cut off between their commit and the start of their job.

    Which file it was is lost. One that is beginning now holds the lock until its job is known.
    """
    with svc.catalog.read() as tx:
        restored = {each.image_id for each in image_restores.every(tx)}
        pending = [image for image in images.pending(tx) if image.id not in restored]
    waiting = [image for image in pending if _is_first(image)]
    for image in waiting:
        with svc.locks(image.id):
            if not svc.jobs.known(f"{NAME}:{image.id}"):
                _fail(svc, image.id, "the server stopped before the import began")


def _is_first(image: Image) -> bool:
    """Neither made of an instance nor copied from another image."""
    return image.source_instance_id is None and image.source_image_id is None


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(
            ("convert", lambda args: _convert(svc, args)),
            ("store the blocks", lambda args: _store(svc, args)),
            ("complete the image", lambda args: _complete(svc, args)),
        ),
        give_up=lambda args, reason: _fail(svc, _image_id(args), reason),
    )


def _image_id(args: Args) -> ImageId:
    return ImageId(str(args["image_id"]))


def _snapshot_id(args: Args) -> SnapshotId:
    return SnapshotId(str(args["snapshot_id"]))


def _raw(svc: Services, args: Args) -> Path:
    """Where the disk is as raw bytes: a raw file is read where it lies."""
    if args["format"] == DiskFormat.RAW:
        return Path(str(args["path"]))
    return scratch.home(svc, _image_id(args)) / "disk.raw"


def _convert(svc: Services, args: Args) -> None:
    raw = _raw(svc, args)
    if args["format"] == DiskFormat.RAW or raw.exists():
        return
    raw.parent.mkdir(parents=True, exist_ok=True)
    draft = raw.with_name(".disk.raw")
    draft.unlink(missing_ok=True)  # of an attempt that died
    source, disk_format = Path(str(args["path"])), DiskFormat(str(args["format"]))
    with svc.room.share(draft.parent) as share:
        try:
            qemu_img.convert_to_raw(
                *(source, disk_format, draft), watch=share.look, needs=share.claim
            )
        except (DiskImageError, DiskRejected, NoRoom) as failure:
            raise GiveUp(str(failure)) from failure
    draft.rename(raw)


def _store(svc: Services, args: Args) -> None:
    with svc.catalog.read() as tx:
        snapshot = snapshots.fetch_any(tx, _snapshot_id(args))
    if snapshot is None or snapshot.state is not SnapshotState.PENDING:
        return
    _convert(svc, args)  # once more, where a power cut took away what was done
    raw = _raw(svc, args)
    try:
        root = ingest_file(svc.stores[snapshot.region], raw, progress=progress_of(svc, snapshot))
    except (OSError, ValueError, SourceChanged, StoreFull) as failure:
        _log.warning("the import of %s failed: %s", raw, failure)
        raise GiveUp(_said(failure)) from failure
    if root.size_bytes > snapshot.volume_size_gib << 30:
        raise GiveUp("the disk grew while it was read")
    scratch.complete(svc, snapshot.id, root)


def _said(failure: Exception) -> str:
    if isinstance(failure, OSError) and failure.errno is not None:
        return f"the disk cannot be read: {os.strerror(failure.errno)}"
    if isinstance(failure, StoreFull):
        return "there is no room for the disk"  # where, is for the log: it is a path of the host
    return str(failure)


def _complete(svc: Services, args: Args) -> None:
    with svc.catalog.begin() as tx:
        image = _pending(images.fetch_any(tx, _image_id(args)))
        if image is not None:
            images.save(tx, image.after(ImageEvent.SNAPSHOTS_COMPLETED))
    scratch.drop(svc, _image_id(args))


def _pending(image: Image | None) -> Image | None:
    return image if image is not None and image.state is ImageState.PENDING else None


def _fail(svc: Services, image_id: ImageId, why: str) -> None:
    reason = StateReason(code="Client.ImportFailed", message=why)
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, image_id)
        if image is None:
            return
        if image.state is ImageState.PENDING:
            images.save(tx, image.after(ImageEvent.SNAPSHOT_FAILED, reason))
        for mapping in image.block_device_mappings:  # now: nobody looks at a failed image again
            if mapping.ebs is not None and mapping.ebs.snapshot_id is not None:
                scratch.fail_in(tx, mapping.ebs.snapshot_id, why)
    scratch.drop(svc, image_id)
