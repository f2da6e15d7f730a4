"""An object that holds a stored image becomes an image with snapshots of its own.

The image and its snapshots are there, pending, before the first byte is read, and come to their
end together. An object that is not whole and true to the last byte makes nothing
but a failed image.
"""

import logging
from typing import Final

from openami.blockstore import archive
from openami.blockstore.archive import NotAnArchive, Source
from openami.blockstore.parallel import Progress
from openami.blockstore.store import StoreFull
from openami.catalog import images, ingests, snapshots
from openami.catalog.transfers import image_restores
from openami.domain.ids import ImageId, SnapshotId
from openami.domain.image import Image, ImageEvent, ImageState
from openami.domain.state_reason import StateReason
from openami.domain.transfers.image_restore import ImageRestore
from openami.domain.transfers.stored_image import NotAStoredImage, StoredImage, parsed
from openami.jobs.engine import Args, GiveUp, Job
from openami.jobs.lanes import TRANSFERS
from openami.objects.store import ObjectAbsent, ObjectChanged, ObjectInfo, ObjectStoreError, stream
from openami.services import Services
from openami.workflows import outages, scratch, uploads
from openami.workflows.outages import PatientReader
from openami.workflows.progress import whole_percents

NAME: Final = "restore_image"
_OBJECTS_FAULT: Final = "Client.InvalidObject"
_OURS: Final = "Server.InternalError"
_log = logging.getLogger(__name__)


def start(svc: Services, restore: ImageRestore) -> str:
    """Begin to fill a pending image, once, when it is its owner's turn. The id of the job."""
    job_id = f"{NAME}:{restore.image_id}"
    svc.jobs.start(
        NAME, job_id, {"image_id": restore.image_id}, owner=restore.owner, regions=[restore.region]
    )
    return job_id


def resume(svc: Services) -> None:
    with svc.catalog.read() as tx:
        waiting = image_restores.every(tx)
    for restore in waiting:
        start(svc, restore)


def job(svc: Services) -> Job:
    return Job(
        name=NAME,
        steps=(("bring the disks", lambda args: _bring(svc, args)),),
        give_up=lambda args, reason: _fail(svc, args, reason),
        lane=TRANSFERS,
    )


def _image_id(args: Args) -> ImageId:
    return ImageId(str(args["image_id"]))


def snapshot_ids(image: Image) -> list[SnapshotId]:
    """Of its devices, in their order, each once: the order of the stored image's, too."""
    named = [each.ebs.snapshot_id for each in image.block_device_mappings if each.ebs is not None]
    return list(dict.fromkeys(each for each in named if each is not None))


def head_of(source: Source, svc: Services) -> StoredImage:
    """What the object says of its image. Raises NotAnArchive, NotAStoredImage."""
    return parsed(archive.text_of(source), svc.clock.now())


def _bring(svc: Services, args: Args) -> None:
    image, restore = _begun(svc, _image_id(args))
    if image is None or restore is None:
        return
    if not uploads.is_of(svc, restore.owner, restore.bucket):
        raise GiveUp(f"{_OBJECTS_FAULT}: The bucket {restore.bucket} is no longer the account's")
    try:
        stored = _restored(svc, image, restore)
    except (NotAnArchive, NotAStoredImage) as wrong:
        why = f"The object {restore.key} is not a whole stored image: {wrong}"
        raise GiveUp(f"{_OBJECTS_FAULT}: {why}") from wrong
    except (ObjectAbsent, ObjectChanged) as changed:
        why = f"The object {restore.key} was changed while it was read"
        raise GiveUp(f"{_OBJECTS_FAULT}: {why}") from changed
    except ObjectStoreError as failure:
        _log.warning("%s/%s cannot be read: %s", restore.bucket, restore.key, failure)
        why = outages.away(svc.settings, f"the object {restore.key} was read")
        raise GiveUp(f"{_OURS}: {why} Restore it again when it answers.") from failure
    except StoreFull as full:
        _log.warning("%s cannot be restored: %s", image.id, full)
        raise GiveUp(f"{_OURS}: There is no room in {image.region}") from full
    _complete(svc, image, stored)


def _begun(svc: Services, image_id: ImageId) -> tuple[Image | None, ImageRestore | None]:
    """What is to be done, with the leases of the snapshots; nothing of an image that is gone.

    Not before it is our turn: a collection waits for every lease.
    """
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, image_id)
        restore = image_restores.fetch_any(tx, image_id)
        if image is None:
            image_restores.end(tx, image_id)
        elif restore is not None:
            for snapshot_id in snapshot_ids(image):
                ingests.begin(tx, snapshot_id, image.region, svc.clock.now())
    return image, restore


def _restored(svc: Services, image: Image, restore: ImageRestore) -> StoredImage:
    objects = PatientReader(
        store=svc.objects,
        settings=svc.settings,
        who=image.id,
        look=lambda: None,  # nothing cancels it
    )
    found = objects.head(restore.bucket, restore.key)
    info = ObjectInfo(size_bytes=found.size_bytes, etag=restore.etag)
    source = Source(stream(objects, restore.bucket, restore.key, info))
    stored = head_of(source, svc)
    store = svc.stores[image.region]
    archive.restore(source, store, stored.roots, progress=_progress(svc, image))
    return stored


def _progress(svc: Services, image: Image) -> Progress:
    """All snapshots of the image are as far as the object is read."""
    ids = snapshot_ids(image)

    def tell(percent: int) -> None:
        with svc.catalog.begin() as tx:
            for snapshot_id in ids:
                snapshots.save_progress(tx, snapshot_id, percent)

    return whole_percents(tell)


def _complete(svc: Services, image: Image, stored: StoredImage) -> None:
    """The image and its snapshots, which it names as the stored one named its own."""
    roots = {disk.snapshot_id: disk.root for disk in stored.disks}
    pairs = zip(snapshot_ids(image), snapshot_ids(stored.image), strict=True)
    with svc.catalog.begin() as tx:
        for snapshot_id, was in pairs:
            scratch.complete_in(tx, snapshot_id, roots[was], svc.clock.now())
        now = images.fetch_any(tx, image.id)
        if now is not None and now.state is ImageState.PENDING:
            images.save(tx, now.after(ImageEvent.SNAPSHOTS_COMPLETED))
        image_restores.end(tx, image.id)


def _fail(svc: Services, args: Args, why: str) -> None:
    code = _OBJECTS_FAULT if why.startswith(_OBJECTS_FAULT) else _OURS
    reason = StateReason(code=code, message=why)
    with svc.catalog.begin() as tx:
        image = images.fetch_any(tx, _image_id(args))
        for snapshot_id in [] if image is None else snapshot_ids(image):
            scratch.fail_in(tx, snapshot_id, why)
        if image is not None and image.state is ImageState.PENDING:
            images.save(tx, image.after(ImageEvent.SNAPSHOT_FAILED, reason))
        image_restores.end(tx, _image_id(args))
